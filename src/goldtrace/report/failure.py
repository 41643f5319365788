"""The message of a run that isn't as its golden says: the finding first, all on one screen."""

from __future__ import annotations

import shlex
from collections.abc import Iterable, Iterator

from goldtrace.model.verdict import Change, Comparison, Divergence, Rung, RunResult, Verdict
from goldtrace.report.text import clip, count_of, pad, plain, shown, step_name, ulps

HEIGHT = 24
"""The lines of the smallest screen that a failure must fit."""

_TENSORS = 5  # at the first rung; more don't help anybody to find the cause
_CHANGES = 5
_NOTES = 3
_LABEL = 10  # columns of "   then   " before the text of a line


def render_failure(result: RunResult, *, width: int = 80) -> str:
    """What a red check says about one run, in at most ``HEIGHT`` lines of ``width`` columns.

    The first line names the run, its device, the verdict and the first difference; then come the
    values there, where the difference went, what else differs around the run, and the next command.
    """
    lines = [clip(headline(result), width)]
    if result.error is not None:
        lines += _error(result.error, width)
    if result.comparison is not None:
        lines += _evidence(result.comparison, width, tensors=_TENSORS)
        lines += _changes(result.comparison.environment_changes, width, limit=_CHANGES)
        lines += _labelled("note", _few(result.comparison.notes, _NOTES), width)
    if result.exact and result.verdict is Verdict.ROUNDING:
        lines += _labelled("note", ["exact = true: this run allows no rounding"], width)
    lines = lines[: HEIGHT - 1]
    # The command is meant to be copied: never shortened.
    if (hint := next_command(result)) is not None:
        lines.append(pad("  next", _LABEL) + plain(hint))
    return "\n".join(line.rstrip() for line in lines)


def headline(result: RunResult) -> str:
    """The finding in one line."""
    return f"{plain(result.name)} [{plain(result.device)}]: {finding(result)}"


def finding(result: RunResult) -> str:
    """The verdict and what it rests on, without the name of the run."""
    if result.skipped is not None:
        return f"skipped: {plain(result.skipped)}"
    if result.verdict is None:
        return f"not judged: {plain(_what(result.error))}"
    if result.verdict is Verdict.MISSING:
        where = f" for {plain(result.platform)}" if result.platform else ""
        return f"no golden{where}"
    comparison = result.comparison
    if comparison is None:
        return f"{result.verdict.value}"
    if comparison.first is None:
        steps = count_of(comparison.steps_compared, "step")
        return f"{result.verdict.value}, {steps} compared"
    return f"{result.verdict.value} from {_place(comparison.first)}"


def render_comparison(
    comparison: Comparison, *, golden: str, current: str, width: int = 80, limit: int = 40
) -> str:
    """Two traces held against each other, for ``goldtrace diff``.

    ``golden`` and ``current`` are the names under which the reader knows the two; at most
    ``limit`` differences are listed.
    """
    steps = count_of(comparison.steps_compared, "step")
    lines = [
        clip(f"{comparison.verdict.value}, {steps} compared", width),
        *_labelled("golden", [golden], width),
        *_labelled("current", [current], width),
    ]
    if comparison.divergences:
        lines.append("")
        step: object = ()
        for divergence in comparison.divergences[:limit]:
            if divergence.step != step:
                step = divergence.step
                lines.append(f"  {step_name(divergence.step)}")
            lines.append(clip(f"    {_values(divergence)}", width))
        left_out = len(comparison.divergences) - limit
        if left_out > 0:
            lines.append(f"    and {count_of(left_out, 'further difference')}")
        lines.append("")
    lines += _changes(comparison.environment_changes, width, limit=limit)
    lines += _labelled("note", comparison.notes, width)
    return "\n".join(line.rstrip() for line in lines)


def next_command(result: RunResult) -> str | None:
    """What to type next: the workflow's hint, or how to accept what is meant."""
    if result.hint is not None:
        return result.hint
    if result.passed or result.verdict is None:
        return None
    name = shlex.quote(plain(result.name))
    if result.verdict is Verdict.MISSING:
        return f'goldtrace record {name} --reason "first golden"'
    return f'if you meant this: goldtrace record {name} --reason "…"'


def _evidence(comparison: Comparison, width: int, *, tensors: int) -> Iterator[str]:
    first = comparison.first
    if first is None:
        return
    yield ""
    same = [
        d
        for d in comparison.divergences
        if d.step == first.step and d.rung is first.rung and d.tolerated == first.tolerated
    ]
    yield from _labelled("first", [_values(d) for d in same[:tensors]], width)
    if len(same) > tensors:
        yield from _labelled("", [f"and {len(same) - tensors:,} more at this rung"], width)
    yield from _labelled("then", _spread(comparison, first), width)
    yield from _labelled("last", _outcome(comparison, first), width)


def _spread(comparison: Comparison, first: Divergence) -> list[str]:
    """Which rungs differ afterwards, each from where on."""
    seen = {first.rung}
    places: dict[int | None, list[str]] = {}
    for divergence in comparison.divergences:
        if divergence.rung not in seen and divergence.tolerated == first.tolerated:
            seen.add(divergence.rung)
            places.setdefault(divergence.step, []).append(divergence.rung.value)
    return [f"{', '.join(rungs)} from {step_name(step)}" for step, rungs in places.items()]


def _outcome(comparison: Comparison, first: Divergence) -> list[str]:
    """Where it led: the last loss that differs and the metrics of the end."""
    losses = [d for d in comparison.divergences if d.rung is Rung.LOSS]
    metrics = [d for d in comparison.divergences if d.rung is Rung.METRIC and d.step is None]
    return [
        f"{_values(d)} at {step_name(d.step)}" for d in [*losses[-1:], *metrics[:3]] if d != first
    ]


def _place(divergence: Divergence) -> str:
    name, rung = plain(divergence.name), divergence.rung.value
    what = rung if name == rung else f"{rung} {name}"
    return f"{step_name(divergence.step)}, {what}"


def _values(divergence: Divergence) -> str:
    """``loss 2.302585 → 2.302601, 67 ulp (note)``."""
    text = f"{plain(divergence.name)}  {shown(divergence.golden)} → {shown(divergence.current)}"
    if divergence.ulp is not None:
        text += f"  {ulps(divergence.ulp)}"
    if divergence.note is not None:
        text += f"  ({plain(divergence.note)})"
    return text


def _changes(changes: tuple[Change, ...], width: int, *, limit: int) -> Iterator[str]:
    texts = [f"{plain(c.what)} {_or_none(c.golden)} → {_or_none(c.now)}" for c in changes[:limit]]
    if len(changes) > limit:
        texts.append(f"and {len(changes) - limit:,} more")
    yield from _labelled("changed", texts, width)


def _or_none(value: str | None) -> str:
    return "none" if value is None else shown(value)


def _error(error: Exception, width: int) -> Iterator[str]:
    for line in str(error).splitlines()[1:12]:
        yield clip(line, width)


def _what(error: Exception | None) -> str:
    if error is None:
        return "no reason was given"
    lines = str(error).splitlines()
    return lines[0] if lines else type(error).__name__


def _labelled(label: str, texts: Iterable[str], width: int) -> Iterator[str]:
    for text in texts:
        yield clip(pad(f"  {label}", _LABEL) + plain(text), width)
        label = ""


def _few(texts: tuple[str, ...], limit: int) -> list[str]:
    if len(texts) <= limit:
        return list(texts)
    return [*texts[:limit], f"and {count_of(len(texts) - limit, 'further note')}"]
