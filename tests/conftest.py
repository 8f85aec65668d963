"""Says at the end of a run how many of the known mistakes the graders caught."""


def pytest_terminal_summary(terminalreporter):
    reports = [report for outcome in ("passed", "failed") for report in terminalreporter.stats.get(outcome, [])]
    counted = [dict(report.user_properties) for report in reports]
    known, caught = (sum(c.get(name, 0) for c in counted) for name in ("known_mistakes", "caught_mistakes"))
    if known:
        terminalreporter.write_line(f"{caught} of {known} known mistakes caught")
