"""The plugin that shows golden errors as messages and hangs outcomes on reports."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import pytest

from goldtrace.isolation.role import is_isolated
from goldtrace.session.identity import GOLDEN
from goldtrace.session.outcome import (
    RESULT,
    WRITTEN,
    Outcome,
    attach,
    describe_in_junit,
    explain,
    unjudged,
)
from goldtrace.session.settings import settings_of

if TYPE_CHECKING:
    from collections.abc import Generator


class Reporter:
    """Serves every item that runs in this process and has a golden."""

    @pytest.hookimpl(wrapper=True)
    def pytest_runtest_makereport(
        self, item: pytest.Item, call: pytest.CallInfo[None]
    ) -> Generator[None, pytest.TestReport, pytest.TestReport]:
        """Explain before the report is made, attach afterwards."""
        golden = item.stash.get(GOLDEN, None)
        if golden is None or golden.device is None:
            return (yield)
        settings = settings_of(item.config)
        raised = call.excinfo.value if call.excinfo is not None else None
        explain(call, golden.spec.name, golden.device, strict=settings.strict)
        result = item.stash.get(RESULT, None)
        if result is None:
            result = unjudged(golden.spec.name, golden.device, call, raised)
        report = yield
        if report.when == "call" or (report.when == "setup" and not report.passed):
            due = report.passed and is_isolated(item.config) and settings.update.covers(result)
            timed = replace(result, seconds=report.duration, origin=golden.spec.entry)
            outcome = Outcome.of(timed, due=due, written=item.stash.get(WRITTEN, None))
            attach(report, outcome)
            # JUnit reads them from the teardown's report, which takes them from the item.
            describe_in_junit((item, report), outcome)
        return report
