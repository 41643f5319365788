"""What became of a golden item: its verdict as a test outcome, and a document beside the report."""

from __future__ import annotations

import warnings
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from goldtrace.determinism import explained_refusal
from goldtrace.errors import (
    DataUnavailableError,
    DeviceUnavailableError,
    GoldenRoundingWarning,
    GoldtraceError,
    RunError,
)
from goldtrace.model.verdict import RunResult, Verdict
from goldtrace.report.ci.junit import PROPERTIES, properties
from goldtrace.report.document import to_document
from goldtrace.report.phrases import headline
from goldtrace.report.terminal import render_failure

if TYPE_CHECKING:
    from collections.abc import Iterable

_ATTRIBUTE = "goldtrace"
_PACKAGE = Path(__file__).parents[1]

RESULT = pytest.StashKey[RunResult]()
"""In the stash of an item that was judged."""


WRITTEN = pytest.StashKey[str]()
"""In the stash of an item whose golden was written: a line about it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Outcome:
    """What travels with a test's report to whoever sums up: ``run`` is its entry in report.json.

    ``due`` says that the golden is to be written; ``written`` is a line about it once it is.
    """

    run: dict[str, Any]
    headline: str
    due: bool = False
    written: str | None = None

    @classmethod
    def of(cls, result: RunResult, *, due: bool = False, written: str | None = None) -> Outcome:
        """The outcome of a run with this result."""
        [run] = to_document([result])["runs"]
        return cls(run=run, headline=headline(result), due=due, written=written)


def attach(report: pytest.TestReport, outcome: Outcome) -> None:
    """Hang the outcome on a report, in the form that survives the way to another process."""
    fields = {name: getattr(outcome, name) for name in Outcome.__dataclass_fields__}
    setattr(report, _ATTRIBUTE, fields)


def describe_in_junit(reports: Iterable[pytest.TestReport | pytest.Item], outcome: Outcome) -> None:
    """Give an item, or its reports, the properties that JUnit files show; earlier ones go."""
    found = properties(outcome.run)
    for report in reports:
        report.user_properties = [
            pair for pair in report.user_properties if pair[0] not in PROPERTIES
        ]
        report.user_properties += found


def outcome_of(report: object) -> Outcome | None:
    """The outcome that hangs on a report, if there is one."""
    fields = getattr(report, _ATTRIBUTE, None)
    return None if fields is None else Outcome(**fields)


def express(result: RunResult) -> None:
    """Pass, warn or fail as the verdict says."""
    if not result.passed:
        pytest.fail(render_failure(result), pytrace=False)
    if result.verdict is Verdict.ROUNDING:
        warnings.warn(GoldenRoundingWarning(headline(result)), stacklevel=2)


def explain(call: pytest.CallInfo[None], name: str, device: str, *, strict: bool) -> None:
    """Turn an error of goldtrace's own into what a user is shown: a message, or a skip.

    So is torch's refusal to run an operator that has no deterministic implementation.

    Data and devices that this machine lacks skip the test unless ``strict``.
    """
    if call.excinfo is None:
        return
    error = explained_refusal(call.excinfo.value, device, where=name) or call.excinfo.value
    if not isinstance(error, GoldtraceError):
        return
    line = _users_line(call.excinfo)
    if line is not None and error is call.excinfo.value:
        error.where = line if error.where is None else f"{line}: {error.where}"
    try:
        if isinstance(error, DataUnavailableError | DeviceUnavailableError) and not strict:
            pytest.skip(_one_line(error))
        pytest.fail(str(error), pytrace=False)
    except (pytest.skip.Exception, pytest.fail.Exception) as shown:
        if isinstance(shown, pytest.skip.Exception):
            shown._use_item_location = True  # noqa: SLF001 - as pytest does for its skip marker
        call.excinfo = pytest.ExceptionInfo.from_exception(shown)


def unjudged(
    name: str, device: str, call: pytest.CallInfo[None], raised: BaseException | None
) -> RunResult:
    """The result of an item that came to no verdict, because it ``raised``, or was skipped."""
    shown = call.excinfo.value if call.excinfo is not None else None
    if isinstance(shown, pytest.skip.Exception):
        return RunResult(name=name, device=device, skipped=shown.msg)
    refusal = None if raised is None else explained_refusal(raised, device, where=name)
    if refusal is not None:
        return RunResult(name=name, device=device, error=refusal, hint=refusal.hint)
    if raised is None or isinstance(raised, GoldtraceError):
        return RunResult(name=name, device=device, error=raised)
    error = RunError("the test raised", found=f"{type(raised).__name__}: {raised}")
    return RunResult(name=name, device=device, error=error)


def _users_line(shown: pytest.ExceptionInfo[BaseException]) -> str | None:
    """The innermost line outside of goldtrace that led to the error, for errors of a test's own."""
    for entry in reversed(shown.traceback):
        path = Path(str(entry.path))
        if _PACKAGE in path.parents:
            continue
        if path.name.startswith(("test_", "conftest")) or path.stem.endswith("_test"):
            return f"{path.name}:{entry.lineno + 1}"
    return None


def _one_line(error: GoldtraceError) -> str:
    reason = error.what if error.hint is None else f"{error.what}; next: {error.hint}"
    return " ".join(reason.split())
