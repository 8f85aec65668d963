"""Reports how many known mistakes the graders caught; builds the web pages once for all tests, and opens them."""

import fcntl
import os
from pathlib import Path

import pytest
from book_pages import CHROMIUM, PageServer, Visit, build_pages


def pytest_terminal_summary(terminalreporter):
    reports = [report for outcome in ("passed", "failed") for report in terminalreporter.stats.get(outcome, [])]
    counted = [dict(report.user_properties) for report in reports]
    known, caught = (sum(counts.get(name, 0) for counts in counted) for name in ("known_mistakes", "caught_mistakes"))
    if known:
        terminalreporter.write_line(f"{caught} of {known} known mistakes caught")


@pytest.fixture(scope="session")
def site(tmp_path_factory) -> Path:
    """The folder of the built pages. The processes of a test run share it: the first builds it, the others wait."""
    folder = tmp_path_factory.getbasetemp()
    if "PYTEST_XDIST_WORKER" in os.environ:
        folder = folder.parent  # each process has its own below it
    built = folder / "site"
    with (folder / "site.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        return built / "_build" / "html" if built.is_dir() else build_pages(built)


@pytest.fixture(scope="module")
def server(site):
    with PageServer(site) as server:
        yield server
        server.shutdown()


@pytest.fixture(scope="module")
def browser():
    if CHROMIUM is None:
        pytest.skip("NO BROWSER: install chromium (or set CHROMIUM), then `make browser`")
    from playwright.sync_api import sync_playwright

    with sync_playwright() as playwright:
        # Containers have no user namespaces for the sandbox; only our own pages are opened here.
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox"])
        yield browser
        browser.close()


@pytest.fixture
def visit(browser, server):
    here = Visit(browser, server)
    yield here
    here.context.close()
