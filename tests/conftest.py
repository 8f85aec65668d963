"""Says at the end of a run how many of the known mistakes the graders caught."""

MISTAKES = "test_a_known_mistake_is_failed_and_named["


def pytest_terminal_summary(terminalreporter):
    outcomes: dict[str, bool] = {}  # a mistake is tried with several seeds, and must be caught with each
    for outcome in ("passed", "failed"):
        for report in terminalreporter.stats.get(outcome, []):
            if MISTAKES in report.nodeid:
                name = report.nodeid.split(MISTAKES)[1].rsplit("-", 1)[0]
                outcomes[name] = outcomes.get(name, True) and outcome == "passed"
    if outcomes:
        terminalreporter.write_line(f"{sum(outcomes.values())} of {len(outcomes)} known mistakes caught")
