"""Piece `tests`: runs tests/gpu by pytest. Also the pytest plugin that records each test, so that a later call
continues with those that are left."""

from __future__ import annotations

import json
import os
import sys
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import pytest

from evidence.kit import ROOT, Failed, Kit, OutOfTime, Result, finish

RECORD = "SHAPEFLOW_EVIDENCE_TESTS"
"""The environment variable with the path of the record: one JSON object a line."""


def tests(kit: Kit, found: Result) -> Iterator[Result]:
    """Run the tests that have no outcome yet. The result: the number of each outcome, failures, reasons of skips."""
    record = kit.folder / "tests" / "outcomes.jsonl"
    record.parent.mkdir(parents=True, exist_ok=True)
    os.environ[RECORD] = str(record)
    try:
        finish(kit, command(), record.parent / "log.txt")
    except OutOfTime:
        yield summary(record)
        raise
    except Failed:
        # Failed tests are a result. Without one, pytest itself failed.
        if not summary(record)["failed"]:
            raise
    yield summary(record)


def command() -> list[str]:
    folder = str(ROOT / "tests" / "gpu")
    return [sys.executable, "-m", "pytest", folder, "--rootdir", str(ROOT), "-p", "evidence.gpu_tests"]


def outcomes(record: Path) -> list[tuple[str, str, str]]:
    """(test, outcome, reason) of each test in a record; the last line may be cut off."""
    found = {}
    for line in record.read_text(encoding="utf-8").splitlines() if record.exists() else ():
        try:
            each = json.loads(line)
        except ValueError:
            continue
        found[each["test"]] = (each["test"], each["outcome"], each["reason"])
    return list(found.values())


def summary(record: Path) -> Result:
    found = outcomes(record)
    return {
        "outcomes": dict(Counter(outcome for _, outcome, _ in found)),
        "failed": [{"test": test, "reason": reason} for test, outcome, reason in found if outcome == "failed"],
        "skipped": dict(Counter(reason for _, outcome, reason in found if outcome == "skipped")),
    }


def pytest_collection_modifyitems(items: list[pytest.Item], config: pytest.Config) -> None:
    """Leave out tests that have an outcome."""
    done = {test for test, _, _ in outcomes(Path(os.environ[RECORD]))}
    old = [item for item in items if item.nodeid in done]
    config.hook.pytest_deselected(items=old)
    items[:] = [item for item in items if item.nodeid not in done]


def pytest_runtest_logreport(report: pytest.TestReport) -> None:
    """Append the outcome of a test: that of its call, or of a set-up that failed or skipped it."""
    if report.when == "teardown" and not report.failed:
        return
    if report.when == "setup" and report.passed:
        return
    reason = ""
    if report.skipped and isinstance(report.longrepr, tuple):
        reason = str(report.longrepr[2]).removeprefix("Skipped: ")
    elif report.failed:
        reason = str(report.longrepr).strip().splitlines()[-1]
    line = json.dumps({"test": report.nodeid, "outcome": report.outcome, "reason": reason})
    with Path(os.environ[RECORD]).open("a", encoding="utf-8") as record:
        record.write(f"{line}\n")


def pytest_sessionfinish(session: pytest.Session) -> None:
    """A later call may find no test left: that is not an error."""
    if session.exitstatus == pytest.ExitCode.NO_TESTS_COLLECTED:
        session.exitstatus = pytest.ExitCode.OK
