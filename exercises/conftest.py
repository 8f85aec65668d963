"""Makes `pytest exercises` the grader; see `grader/plugin.py`."""

from grader.plugin import (  # noqa: F401
    grade,
    pytest_addoption,
    pytest_configure,
    pytest_sessionfinish,
    pytest_terminal_summary,
    runner,
)
