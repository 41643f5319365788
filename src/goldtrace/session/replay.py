"""Reports of a child made into reports of this session."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Any

import pytest

from goldtrace.model.verdict import RunResult
from goldtrace.session.identity import GOLDEN
from goldtrace.session.outcome import Outcome, attach

if TYPE_CHECKING:
    from goldtrace.errors import GoldtraceError


class Replay:
    """Collects the reports of one item, in the order of its phases."""

    def __init__(self, item: pytest.Item) -> None:
        self.reports: list[pytest.TestReport] = []
        self._item = item
        self._began = time.time()

    def take(self, data: dict[str, Any]) -> None:
        """Read one report; JSON has made lists of its tuples."""
        data["nodeid"] = self._item.nodeid
        data["location"] = self._item.location
        if isinstance(data["longrepr"], list):
            data["longrepr"] = tuple(data["longrepr"])
        for name in ("sections", "user_properties"):
            data[name] = [tuple(pair) for pair in data[name]]
        config = self._item.config
        self.reports.append(config.hook.pytest_report_from_serializable(config=config, data=data))

    def fail(self, error: GoldtraceError) -> None:
        """Make the phase that did not come to an end a failure, and complete the phases."""
        reported = {report.when for report in self.reports}
        broken = all(report.passed for report in self.reports)
        if "teardown" in reported:
            self.reports.pop()
            self._add("teardown", error)
            return
        if "setup" not in reported:
            self._add("setup", error)
        elif "call" not in reported and broken:
            self._add("call", error)
        else:
            self._add("teardown", error)
            return
        self._add("teardown", None)

    def _add(self, when: Any, error: GoldtraceError | None) -> None:
        report = pytest.TestReport(
            nodeid=self._item.nodeid,
            location=self._item.location,
            keywords=dict.fromkeys(self._item.keywords, 1),
            outcome="failed" if error is not None else "passed",
            longrepr=str(error) if error is not None else None,
            when=when,
            duration=time.time() - self._began if error is not None else 0,
            start=self._began,
            stop=time.time(),
        )
        if error is not None and when != "teardown":
            golden = self._item.stash[GOLDEN]
            result = RunResult(
                name=golden.spec.name,
                device=golden.device or "",
                error=error,
                origin=golden.spec.entry,
            )
            attach(report, Outcome.of(result))
        self.reports.append(report)
