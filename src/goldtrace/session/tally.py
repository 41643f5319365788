"""The plugin that sums up: the report directory, the summary in the terminal, unused goldens."""

from __future__ import annotations

import os
import shlex
from typing import TYPE_CHECKING, Any

import pytest

from goldtrace.errors import GoldtraceError
from goldtrace.model.verdict import Proposal, Verdict
from goldtrace.report.document import SCHEMA
from goldtrace.session.outcome import outcome_of
from goldtrace.session.settings import settings_of
from goldtrace.workflow.commands import golden_option
from goldtrace.workflow.proposing import clear_candidates
from goldtrace.workflow.sentences import describe_proposal

if TYPE_CHECKING:
    from collections.abc import Sequence

    from _pytest.terminal import TerminalReporter

    from goldtrace.session.outcome import Outcome

_GITHUB = {"GITHUB_ACTIONS", "GITHUB_STEP_SUMMARY"}


class Tally:
    """Lives where the terminal is: in the session, or in xdist's controller."""

    def __init__(self, config: pytest.Config) -> None:
        self._settings = settings_of(config)
        self._outcomes: dict[tuple[str, str], Outcome] = {}
        self._unused: Sequence[str] = ()
        self._broken: str | None = None

    def take(self, report: object) -> None:
        """Take the outcome that hangs on a report, if there is one."""
        outcome = outcome_of(report)
        if outcome is not None:
            self._outcomes[outcome.run["name"], outcome.run["device"]] = outcome

    def finish(self, session: pytest.Session, unused: Sequence[str]) -> None:
        """Write report.json, and fail a strict session that has unused goldens.

        A session that only collects leaves a report as it is.
        """
        self._unused = unused
        settings = self._settings
        if settings.report is not None and not session.config.option.collectonly:
            from goldtrace.report.folder import write_report

            document = self._document()
            try:
                clear_candidates(settings.report, document["runs"])
                write_report(
                    settings.report, document, root=settings.root, golden=settings.golden_dir
                )
            except (GoldtraceError, OSError) as error:
                self._broken = str(error)
                if session.exitstatus == pytest.ExitCode.OK:
                    session.exitstatus = pytest.ExitCode.TESTS_FAILED
        if self._unused and settings.strict and session.exitstatus == pytest.ExitCode.OK:
            session.exitstatus = pytest.ExitCode.TESTS_FAILED

    def summarize(self, terminal: TerminalReporter) -> None:
        """A section about what was written, what was rounding, and what is unused."""
        settings = self._settings
        outcomes = [self._outcomes[key] for key in sorted(self._outcomes)]
        self._publish(terminal)
        if self._broken is not None:
            terminal.write_line(f"ERROR: {self._broken}", red=True)
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
                o.run["name"],
                o.run["device"],
                Proposal(**o.run["candidate"]),
                settings.report,
                golden_dir=settings.golden_dir,
            )
            for o in outcomes
            if settings.report is not None and o.run["candidate"] is not None
        ]
        unused = self._unused
        table = terminal.verbosity > 0 and bool(outcomes)
        if not (written or rounding or notes or candidates or unused or table):
            return
        terminal.section("goldens")
        if table:
            from goldtrace.report.terminal import render_rows

            columns = terminal._tw.fullwidth  # noqa: SLF001 - it has no public name
            runs = self._document()["runs"]
            terminal.write_line(render_rows(runs, width=columns, terminal=terminal.hasmarkup))
        for text in candidates:
            for line in text.splitlines():
                terminal.line(line)
        told = {"written": written, "rounding": rounding, "note": notes, "unused": unused}
        for title, lines in told.items():
            for line in lines:
                terminal.line(f"{title}: {line}")
        if unused:
            one = len(unused) == 1
            # Not by hand: the ledger would miss it.
            run = shlex.quote(unused[0].partition(" (")[0]) if one else "RUN"
            folder = self._settings.golden_dir
            place = golden_option(folder)
            terminal.line(
                f"nothing uses {'this golden' if one else 'these goldens'} in {folder} "
                f"any more: goldtrace ledger --remove {run}{place} --reason '…'"
                + (" (an error under --golden-strict)" if self._settings.strict else "")
            )

    def _document(self) -> dict[str, Any]:
        runs = [self._outcomes[key].run for key in sorted(self._outcomes)]
        return {"schema": SCHEMA, "runs": runs}

    def _publish(self, terminal: TerminalReporter) -> None:
        """On a runner of GitHub: the summary of the step, and annotations among the output."""
        if not self._outcomes or not _GITHUB & os.environ.keys():
            return
        from goldtrace.report.ci import publish

        lines = publish(
            self._document(),
            root=self._settings.root,
            variables=os.environ,
            golden=self._settings.golden_dir,
        )
        for line in lines:
            # At the start of a line, where the runner looks for commands.
            terminal.ensure_newline()
            terminal.write_line(line)
