"""How a result and a difference are put into words; every phrase is one line of plain text."""

from __future__ import annotations

import math
import shlex
from typing import TYPE_CHECKING

from goldtrace.errors import GoldtraceError
from goldtrace.model.verdict import Rung, Verdict
from goldtrace.report.text import at, clip, count_of, distance, is_digest, plain, since

if TYPE_CHECKING:
    from goldtrace.model.verdict import Change, Comparison, Divergence, RunResult

_MANY = 1e5  # ulp; above, a power of ten reads better
_STATE = (Rung.GRADIENTS, Rung.OPTIMIZER, Rung.WEIGHTS, Rung.BUFFERS)


def headline(result: RunResult) -> str:
    """The finding in one line, as for pytest's short summary."""
    return f"{plain(result.name)} [{plain(result.device)}]: {finding(result)}"


def finding(result: RunResult) -> str:
    """The verdict and what it rests on, without the name of the run."""
    verdict, comparison = result.verdict, result.comparison
    if result.skipped is not None:
        text = f"skipped: {result.skipped}"
    elif verdict is None or result.error is not None:
        text = f"{verdict.value if verdict else 'error'}: {_what(result.error)}"
    elif verdict is Verdict.MISSING:
        text = f"no golden for {result.platform}" if result.platform else "no golden"
    elif comparison is None:
        text = verdict.value
    elif verdict is Verdict.INCOMPARABLE:
        text = f"{verdict.value}: {(*comparison.notes, 'no reason was given')[0]}"
    elif comparison.first is None:
        text = f"{verdict.value}, {count_of(comparison.steps_compared, 'step')} compared"
    else:
        more = _beside_first(comparison, comparison.first)
        noise = comparison.equivalent_ulp
        measured = f" ({ulps(noise)})" if noise else ""
        where = describe_divergence(comparison.first, more=more)
        text = f"{verdict.value}{measured} {where}"
    return plain(text)


def nothing_found(conclusive: bool) -> str:  # noqa: FBT001 - what a bisection says of itself
    """The answer of a bisection that names no release and no package."""
    return "no change point" if conclusive else "inconclusive"


def next_command(result: RunResult) -> str | None:
    """What to do next: the workflow's hint, the error's, or how to write a missing golden.

    A pair of traces that was held against no golden has nothing to record.
    """
    if result.verdict is Verdict.IDENTICAL:
        return None
    if result.hint is not None:
        return result.hint
    if isinstance(result.error, GoldtraceError) and result.error.hint is not None:
        return result.error.hint
    if result.verdict is not Verdict.MISSING:
        return None
    return f"goldtrace record {shlex.quote(plain(result.name))} --reason '…'"


def replaces_golden(verdict: str | None, command: str) -> bool:
    """Whether the command that comes next accepts the change: it must not read like the repair."""
    differs = verdict in (Verdict.DRIFT.value, Verdict.ROUNDING.value)
    return differs and ("goldtrace record" in command or "--golden-update" in command)


def describe_divergence(divergence: Divergence, *, more: int = 0) -> str:
    """Where and what, in one line: ``from step 7: group0.lr 0.1 → 0.1001``.

    ``more`` counts further tensors at the same step and rung.
    """
    where = since(divergence.step)
    if _is_lack_of_steps(divergence):
        return plain(f"{where}: {divergence.note}")
    rung = divergence.rung.value
    speaks = divergence.name in (rung, f"final {rung}", "samples")
    speaks |= divergence.rung in (Rung.LR, Rung.METRIC, Rung.LOSS)
    link = " of " if divergence.rung in _STATE else " "
    text = divergence.name if speaks else f"{rung}{link}{divergence.name}"
    if more:
        text += f" and {more:,} more"
    if divergence.ulp is not None:
        text += f" {divergence.golden} → {divergence.current}"
    return plain(f"{where}: {text}")


def value_lines(divergence: Divergence, room: int) -> list[str]:
    """What a reader is told of one difference: one line, or three where that is too long."""
    golden, current = divergence.golden, divergence.current
    if _is_lack_of_steps(divergence):
        return [clip(divergence.note or "", room)]
    note = f"  ({plain(divergence.note)})" if divergence.note is not None else ""
    if is_digest(golden) or is_digest(current):
        one_sided = golden is None or current is None
        return [_beside(divergence.name, note if one_sided else f"differs{note}", room)]
    values = f"{value_or_none(golden)} → {value_or_none(current)}"
    if divergence.ulp is not None and golden is not None and current is not None:
        values += f"  {distance(golden, current, divergence.ulp)}"
    if len(values) <= room // 2 or len(divergence.name) + len(values) + 2 <= room:
        return [_beside(divergence.name, values + note, room)]
    sides = [f"  golden  {value_or_none(golden)}", f"  now     {value_or_none(current)}"]
    return [clip(line, room) for line in (plain(divergence.name) + note, *sides)]


def equivalent_noise(comparison: Comparison) -> list[str]:
    """How much noise in the gradients would do the same, and where it shows most."""
    if comparison.equivalent_ulp is None or not comparison.equivalents:
        return []
    if comparison.equivalent_ulp == 0:
        return []
    peak, *others = comparison.equivalents
    text = f"as {ulps(peak.ulp)} of noise in the gradients would: {peak.quantity} {at(peak.step)}"
    least = [each for each in others if each.ulp > 0][:2]
    return [text + "".join(f"; {each.quantity} {ulps(each.ulp)}" for each in least)]


def ulps(noise: float) -> str:
    """An equivalent noise, with as many digits as it is known to."""
    if not math.isfinite(noise):
        return "no amount"
    if noise >= _MANY:
        return f"{noise:.1e} ulp".replace("e+0", "e").replace("e+", "e")
    digits = max(0, 1 - math.floor(math.log10(noise))) if noise > 0 else 0
    return f"{noise:,.{digits if noise < 10 else 0}f} ulp"  # noqa: PLR2004 - two digits


def value_or_none(value: str | None) -> str:
    """A recorded value for a reader, a digest by its first characters."""
    if value is None:
        return "none"
    return value[:12] if is_digest(value) else plain(value)


def describe_change(change: Change) -> str:
    """What differs around a run, and from what to what: ``setting config.lr 0.1 → 0.2``."""
    return f"{plain(change.what)} {value_or_none(change.golden)} → {value_or_none(change.now)}"


def _beside(name: str, text: str, room: int) -> str:
    """A name, shortened if need be, and what is said of it."""
    return clip(f"{clip(name, max(room // 3, room - len(text) - 2))}  {text.lstrip()}", room)


def _beside_first(comparison: Comparison, first: Divergence) -> int:
    return sum(
        1
        for d in comparison.divergences
        if d is not first
        and (d.step, d.rung, d.tolerated) == (first.step, first.rung, first.tolerated)
        and is_digest(d.golden or d.current)
    )


def _is_lack_of_steps(divergence: Divergence) -> bool:
    return divergence.rung is Rung.STRUCTURE and divergence.name == "step" and bool(divergence.note)


def _what(error: Exception | None) -> str:
    if error is None:
        return "no verdict and no reason"
    text = error.what if isinstance(error, GoldtraceError) else str(error)
    return text or type(error).__name__
