"""Declared runs as pytest items: ``golden/<run>/run.toml``, one item a device."""

from __future__ import annotations

from dataclasses import replace
from functools import partial
from typing import TYPE_CHECKING, Any

import pytest

from goldtrace.errors import GoldtraceError, PlatformUnsupportedError
from goldtrace.launch import launch
from goldtrace.session.candidates import announce
from goldtrace.session.identity import GOLDEN, GoldenTest
from goldtrace.session.outcome import RESULT, WRITTEN, express
from goldtrace.session.progress import shown
from goldtrace.session.settings import settings_of, trace_folder
from goldtrace.store.declared import load_run
from goldtrace.store.golden import GoldenStore
from goldtrace.workflow.calibrating import calibrate
from goldtrace.workflow.certifying import certify_and_store
from goldtrace.workflow.checking import incomparable, judge, keep, remember
from goldtrace.workflow.proposing import deserves_candidate, propose_declared
from goldtrace.workflow.sentences import describe_written

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from _pytest._code.code import TerminalRepr

    from goldtrace.model.calibration import Calibration
    from goldtrace.model.spec import RunSpec
    from goldtrace.model.trace import Trace
    from goldtrace.model.verdict import RunResult


class DeclaredFile(pytest.File):
    """One ``run.toml``."""

    def collect(self) -> Iterator[pytest.Item]:
        """One item for each device of the run that the session has chosen."""
        settings = settings_of(self.config)
        spec = load_run(self.path)
        chosen = [device for device in settings.devices if device in spec.devices]
        for device in chosen or spec.devices:
            item = DeclaredRun.from_parent(self, name=device, spec=spec)
            if not chosen:
                item.add_marker(pytest.mark.skip(reason=f"needs --golden-device {device}"))
            yield item

    def repr_failure(  # type: ignore[override]  # as pytest.Collector has it
        self, excinfo: pytest.ExceptionInfo[BaseException]
    ) -> str | TerminalRepr:
        """A mistake in the file is shown as a message."""
        if isinstance(excinfo.value, GoldtraceError):
            return str(excinfo.value)
        return super().repr_failure(excinfo)


class DeclaredRun(pytest.Item):
    """One run on one device; it trains in an interpreter of its own, never in this one."""

    def __init__(self, *, spec: RunSpec, **parent: Any) -> None:
        super().__init__(**parent)
        self.stash[GOLDEN] = GoldenTest(spec=spec, device=self.name)
        self.add_marker("golden")

    def runtest(self) -> None:
        """Train, judge, and write the golden where the session asks for it."""
        settings = settings_of(self.config)
        golden = self.stash[GOLDEN]
        store = GoldenStore(settings.golden_dir)
        try:
            with shown(self.config, store.step_count(golden.spec.name)) as show:
                trace = launch(golden.spec, self.name, root=settings.root, watch=show)
        except PlatformUnsupportedError as error:
            self.stash[RESULT] = incomparable(golden.spec, self.name, error)
            express(self.stash[RESULT])
            return
        result = judge(golden.spec, trace, store, root=settings.root, nearest=settings.nearest)
        if settings.update.covers(result):
            again = launch(golden.spec, self.name, root=settings.root)
            recorded = certify_and_store(
                [trace, again],
                store=store,
                root=settings.root,
                reason=settings.reason,
                calibrate=self._calibrate if settings.calibrate else None,
            )
            self.stash[WRITTEN] = describe_written(recorded)
            result = judge(golden.spec, trace, store, root=settings.root)
        remember(golden.spec, result, trace, store)
        folder = trace_folder(settings, golden.spec.name, self.name)
        if folder is not None:
            result = keep(result, trace, folder)
        self.stash[RESULT] = result
        if settings.proposes and settings.report is not None and deserves_candidate(result):
            self.stash[RESULT] = result = self._propose(result, trace, settings.report)
        express(result)

    def _propose(self, result: RunResult, trace: Trace, report: Path) -> RunResult:
        """Put a candidate golden into the report; the result says what became of it."""
        settings = settings_of(self.config)
        try:
            proposal = propose_declared(
                self.stash[GOLDEN].spec,
                result,
                trace,
                store=GoldenStore(settings.golden_dir),
                root=settings.root,
                report=report,
                calibrated=settings.calibrate,
                progress=partial(announce, self.config),
            )
        except KeyboardInterrupt:
            # The verdict is there, and is reported; then the session ends.
            self.session.shouldstop = "interrupted while a candidate golden was made"
            return result
        return replace(result, proposal=proposal)

    def _calibrate(self, golden: Trace) -> Calibration:
        spec, root = self.stash[GOLDEN].spec, settings_of(self.config).root
        return calibrate(golden, spec, self.name, root=root)

    def reportinfo(self) -> tuple[Path, int, str]:
        """Named by the run, not by its file."""
        return self.path, 0, f"{self.stash[GOLDEN].spec.name}[{self.name}]"
