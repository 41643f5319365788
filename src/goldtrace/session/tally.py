"""The plugin that sums up: report.json, the summary in the terminal, unused goldens."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from goldtrace.model.verdict import Proposal, Verdict
from goldtrace.proposing import clear_candidates, describe_proposal
from goldtrace.report.document import SCHEMA, dump_document
from goldtrace.session.outcome import outcome_of
from goldtrace.session.settings import settings_of

if TYPE_CHECKING:
    from collections.abc import Sequence

    from _pytest.terminal import TerminalReporter

    from goldtrace.session.outcome import Outcome


class Tally:
    """Lives where the terminal is: in the session, or in xdist's controller."""

    def __init__(self, config: pytest.Config) -> None:
        self._settings = settings_of(config)
        self._outcomes: dict[tuple[str, str], Outcome] = {}
        self._unused: Sequence[str] = ()

    def take(self, report: object) -> None:
        """Take the outcome that hangs on a report, if there is one."""
        outcome = outcome_of(report)
        if outcome is not None:
            self._outcomes[outcome.run["name"], outcome.run["device"]] = outcome

    def finish(self, session: pytest.Session, unused: Sequence[str]) -> None:
        """Write report.json, and fail a strict session that has unused goldens."""
        self._unused = unused
        settings = self._settings
        if settings.report is not None:
            runs = [self._outcomes[key].run for key in sorted(self._outcomes)]
            settings.report.mkdir(parents=True, exist_ok=True)
            clear_candidates(settings.report, runs)
            (settings.report / "report.json").write_text(
                dump_document({"schema": SCHEMA, "runs": runs}), encoding="ascii"
            )
        if self._unused and settings.strict and session.exitstatus == pytest.ExitCode.OK:
            session.exitstatus = pytest.ExitCode.TESTS_FAILED

    def summarize(self, terminal: TerminalReporter) -> None:
        """A section about what was written, what was rounding, and what is unused."""
        settings = self._settings
        outcomes = [self._outcomes[key] for key in sorted(self._outcomes)]
        written = [o.written for o in outcomes if o.written is not None]
        rounding = [
            o.headline
            for o in outcomes
            if o.run["verdict"] == Verdict.ROUNDING.value and o.run["passed"]
        ]
        notes = [
            f"{o.run['name']} [{o.run['device']}]: {note}"
            for o in outcomes
            if o.run["passed"]
            for note in o.run["notes"]
        ]
        candidates = [
            describe_proposal(
                o.run["name"], o.run["device"], Proposal(**o.run["candidate"]), settings.report
            )
            for o in outcomes
            if settings.report is not None and o.run["candidate"] is not None
        ]
        unused = self._unused
        if not (written or rounding or notes or candidates or unused):
            return
        terminal.section("goldens")
        for text in candidates:
            for line in text.splitlines():
                terminal.line(line)
        told = {"written": written, "rounding": rounding, "note": notes, "unused": unused}
        for title, lines in told.items():
            for line in lines:
                terminal.line(f"{title}: {line}")
        if unused:
            shown = self._settings.golden_dir
            terminal.line(
                f"nothing uses {'this golden' if len(unused) == 1 else 'these goldens'} in {shown} "
                f"any more: delete {'its directory' if len(unused) == 1 else 'their directories'}"
                + (" (an error under --golden-strict)" if self._settings.strict else "")
            )
