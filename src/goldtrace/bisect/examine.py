"""Both sides of a change trained once more: confirmed, diagnosed, the culprit called by itself."""

from __future__ import annotations

import dataclasses
import hashlib
import re
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from goldtrace.diagnose import diagnose
from goldtrace.diagnose.narrow import needs_replay
from goldtrace.errors import GoldtraceError
from goldtrace.model.diagnosis import Reproduction
from goldtrace.model.spec import RunSpec
from goldtrace.packages.uv import FetchError
from goldtrace.reproducing import Case, culprit_of, reproduce, write_reproducer

if TYPE_CHECKING:
    from goldtrace.bisect.bench import Bench, Probed
    from goldtrace.model.diagnosis import Diagnosis
    from goldtrace.model.verdict import Comparison
    from goldtrace.packages.uv import Wish

FOLDER = "reproducers"


@dataclass(frozen=True, slots=True, kw_only=True)
class Side:
    """One of the two environments: what it gave, and how it is had again."""

    probed: Probed
    wish: Wish


@dataclass(frozen=True, slots=True, kw_only=True)
class Examined:
    """What is known about a change beyond its two traces.

    ``confirmed`` is ``None`` where nothing was trained again; ``note`` says why there is no
    reproducer although an operator is named.
    """

    confirmed: bool | None = None
    diagnosis: Diagnosis | None = None
    reproduction: Reproduction | None = None
    note: str | None = None


def examine(
    bench: Bench, good: Side, bad: Side, comparison: Comparison | None, *, confirm: bool
) -> Examined:
    """Train both sides again, with a tape of the step where they part, and say what parted them.

    Without ``confirm`` nothing is trained: the tapes at hand must do. ``comparison`` is ``None``
    where one of the two failed.

    Raises:
        FetchError: the index or the disk gave out.
        StoreError: the journal can't be written.
    """
    before, after = good.probed.trace, bad.probed.trace
    if comparison is None or before is None or after is None:
        same = all(bench.again(s.probed, s.wish).same for s in (good, bad)) if confirm else None
        return Examined(confirmed=same)
    if not confirm:
        return Examined(diagnosis=diagnose(before, after, comparison))
    step = needs_replay(after, comparison) if isinstance(bench.target.run, RunSpec) else None
    with ExitStack() as held:
        if not _is_known(bench, good, bad, step):
            _hold(bench, (good, bad), held)
        again = [bench.again(side.probed, side.wish, step=step) for side in (good, bad)]
        confirmed = all(one.same for one in again)
        if step is not None and confirmed:
            before, after = (one.trace or t for one, t in zip(again, (before, after), strict=True))
        diagnosis = diagnose(before, after, comparison)
        if diagnosis is None or not confirmed or not isinstance(bench.target.run, RunSpec):
            return Examined(confirmed=confirmed, diagnosis=diagnosis)
        case = Case(
            spec=bench.target.run,
            device=bench.target.device,
            diagnosis=diagnosis,
            golden=before,
            now=after,
        )
        reproduction, note = _reproduction(bench, good, bad, case)
    return Examined(confirmed=confirmed, diagnosis=diagnosis, reproduction=reproduction, note=note)


def _is_known(bench: Bench, good: Side, bad: Side, step: int | None) -> bool:
    """Whether nothing is left to train: then no environment is needed."""
    again = all(bench.trained_again(side.probed, step=step) for side in (good, bad))
    return again and _key(good, bad) in bench.journal


def _hold(bench: Bench, sides: tuple[Side, ...], held: ExitStack) -> None:
    """Keep both environments until all is done, whatever the limit of the disk."""
    try:
        for side in sides:
            resolution = bench.workspace.uv.resolve(side.wish)
            held.enter_context(bench.workspace.environment(resolution))
    except FetchError:
        raise
    except GoldtraceError:
        return  # Training will say what is wrong.


def _key(good: Side, bad: Side) -> str:
    return f"reproducer: {good.probed.label} to {bad.probed.label}"


def _reproduction(
    bench: Bench, good: Side, bad: Side, case: Case
) -> tuple[Reproduction | None, str | None]:
    """The culprit by itself under both environments, from the journal if it was called before."""
    known = bench.journal.get(_key(good, bad))
    if known is None or (known["found"] and not Path(known["found"]["folder"]).exists()):
        known = _reproduced(bench, good, bad, case)
        bench.journal.add(_key(good, bad), known)
    found = known["found"]
    return Reproduction(**found) if found else None, known["note"]


def _reproduced(bench: Bench, good: Side, bad: Side, case: Case) -> dict[str, Any]:
    folder = bench.workspace.directory / FOLDER / _folder(good, bad)
    try:
        bench.progress(f"calling {culprit_of(case).op} by itself in both environments")
        with ExitStack() as held:
            pythons = []
            for side in (good, bad):
                resolution = bench.workspace.uv.resolve(side.wish)
                python = held.enter_context(bench.workspace.environment(resolution))
                pythons.append(str(python))
            culprit = write_reproducer(case, folder, root=bench.target.root, interpreter=pythons[1])
            found = reproduce(folder, culprit, golden=pythons[0], now=pythons[1])
    except FetchError:
        raise
    except GoldtraceError as error:
        why = ": ".join(filter(None, (error.what, error.found)))
        return {"found": None, "note": f"no reproducer: {why}"}
    return {"found": dataclasses.asdict(found), "note": None}


def _folder(good: Side, bad: Side) -> str:
    """A name for people, and a digest that tells it from those of other questions."""
    name = re.sub(r"[^\w.]+", "-", f"{good.probed.label}-to-{bad.probed.label}").strip("-")[:80]
    traces = f"{good.probed.outcome.trace} {bad.probed.outcome.trace}"
    return f"{name}-{hashlib.sha256(traces.encode()).hexdigest()[:8]}"
