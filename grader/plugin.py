"""The pytest plugin for `pytest exercises`: options, the fixture that grades, and the table at the end."""

from pathlib import Path

import pytest

from grader.exercise import Exercise
from grader.grading import grade_exercise
from grader.places import EXERCISES
from grader.reports import table, write_gradescope
from grader.runner import Runner

RESULTS = pytest.StashKey[list]()


def pytest_addoption(parser: pytest.Parser):
    group = parser.getgroup("grader")
    group.addoption(
        "--impl", default=str(EXERCISES), help="folder with the code to grade: exercises (default), solutions, or yours"
    )
    group.addoption("--grader-seed", type=int, default=0, help="seed of the random test cases")
    group.addoption("--report", type=Path, help="write the results to this file, in Gradescope's format")


def pytest_configure(config: pytest.Config):
    config.stash[RESULTS] = []
    folder = Path(config.getoption("--impl"))
    if not folder.is_dir():
        raise pytest.UsageError(f"--impl {folder} is not a folder: expected one with files such as ch02_patches.py")
    if config.option.tbstyle == "auto":
        config.option.tbstyle = "no"  # the table has everything


@pytest.fixture(scope="session")
def runner() -> Runner:
    return Runner()


@pytest.fixture
def grade(request: pytest.FixtureRequest, runner: Runner):
    """Grade an exercise of the test's own file; fail with a message that says what is wrong."""

    def grade(exercise: Exercise):
        config = request.config
        folder, seed = Path(config.getoption("--impl")), config.getoption("--grader-seed")
        result = grade_exercise(exercise, request.path, folder, seed, runner)
        config.stash[RESULTS].append(result)
        if not result.verdict.passed:
            pytest.fail(f"{result.verdict.message} (--grader-seed {seed})", pytrace=False)

    return grade


def pytest_terminal_summary(terminalreporter, config: pytest.Config):
    results = config.stash[RESULTS]
    if results:
        terminalreporter.write_line(table(results))


def pytest_sessionfinish(session: pytest.Session):
    path = session.config.getoption("--report")
    if path is not None:
        write_gradescope(session.config.stash[RESULTS], path)
