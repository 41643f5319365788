"""The steps and the end of a trace as JSON lines, and back; see ``codec`` for the form."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from goldtrace.errors import GoldenError, RecordingError
from goldtrace.model import fields
from goldtrace.model.scalar import Scalar
from goldtrace.model.sealed import RESTORE, wrong_type
from goldtrace.model.trace import INITIAL_STEP, End, StepRecord

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence

    from goldtrace.model.trace import Trace

_NOTHING = StepRecord(number=INITIAL_STEP - 1)
"""What the first line is told apart from."""

_RATE = "lr"
"""The last part of the name of a learning rate, which is written at every step."""


def encode_lines(trace: Trace) -> Iterator[dict[str, Any]]:
    """One document a step and one for the end.

    Raises:
        RecordingError: the numbers of the steps do not ascend, or a value cannot be written.
    """
    before = _NOTHING
    for step in trace.steps:
        if step.number <= before.number:
            raise RecordingError(
                "the numbers of the steps must ascend from the initial record",
                where=f"step {step.number}",
                expected=f"more than {before.number}",
                found=str(step.number),
            )
        yield _encode_step(step, before)
        before = step
    yield {
        "end": {
            "metrics": _encode_scalars(trace.end.metrics),
            "final": _encode_texts(fields.sort_rungs(trace.end.final)),
        }
    }


def decode_lines(
    lines: Sequence[Mapping[str, Any]], *, where: str
) -> tuple[tuple[StepRecord, ...], End]:
    """The steps and the end that ``encode_lines`` wrote, their tensors left out.

    Raises:
        GoldenError: a line is missing or holds something else; ``where`` gets its number.
    """
    if not lines or "end" not in lines[-1]:
        raise GoldenError(
            "the end of the run is missing",
            where=f"{where}:{len(lines)}",
            expected="a last line with the key end",
            hint=RESTORE,
        )
    before = _NOTHING
    steps = []
    for number, line in enumerate(lines[:-1], start=1):
        before = _decode_step(line, before, f"{where}:{number}")
        steps.append(before)
    last = f"{where}:{len(lines)}"
    end = fields.required(lines[-1], "end", fields.mapping(fields.anything), last)
    return tuple(steps), End(
        metrics=fields.required(end, "metrics", fields.mapping(fields.scalar), last),
        final=fields.required(end, "final", fields.by_rung(fields.text), last),
    )


def _encode_step(step: StepRecord, before: StepRecord) -> dict[str, Any]:
    hyperparameters = _changes(step.hyperparameters, before.hyperparameters, keep=_is_rate)
    line: dict[str, Any] = {
        "step": step.number,
        "scalars": _encode_scalars(step.scalars),
        "hyper": {name: _encode_value(value) for name, value in hyperparameters.items()},
        "grad_norm": None if step.grad_norm is None else fields.encode_scalar(step.grad_norm),
        "buffer_norm": None if step.buffer_norm is None else fields.encode_scalar(step.buffer_norm),
        "ladder": _encode_texts(fields.sort_rungs(step.ladder)),
        "rng": {
            name: _encode_value(value)
            for name, value in _changes(step.rng, before.rng, keep=lambda _: False).items()
        },
        "samples": None if step.samples is None else fields.checked(step.samples),
    }
    optional = ("grad_norm", "buffer_norm", "samples")
    absent = {key for key in line if line[key] == {} or (key in optional and line[key] is None)}
    return {key: value for key, value in line.items() if key not in absent}


def _decode_step(line: Mapping[str, Any], before: StepRecord, where: str) -> StepRecord:
    def get(key: str, decode: fields.Decoder[fields.T], absent: Any) -> fields.T:
        return decode(line.get(key, absent), key, where)

    hyper = get("hyper", fields.mapping(fields.optional(_decode_value)), {})
    rng = get("rng", fields.mapping(fields.optional(fields.text)), {})
    number = fields.required(line, "step", fields.integer, where)
    if number <= before.number:
        raise wrong_type("step", f"a number above {before.number}", number, where=where)
    return StepRecord(
        number=number,
        scalars=get("scalars", fields.mapping(fields.scalar), {}),
        hyperparameters=_apply(hyper, before.hyperparameters),
        grad_norm=get("grad_norm", fields.optional(fields.scalar), None),
        buffer_norm=get("buffer_norm", fields.optional(fields.scalar), None),
        ladder=get("ladder", fields.by_rung(fields.text), {}),
        rng=_apply(rng, before.rng),
        samples=get("samples", fields.optional(fields.text), None),
    )


def _changes(
    now: Mapping[str, fields.T], before: Mapping[str, fields.T], *, keep: Callable[[str], bool]
) -> dict[str, fields.T | None]:
    """The entries that differ from the line before, ``None`` for one that has gone."""
    changed = {
        name: now.get(name)
        for name in {**now, **before}
        if now.get(name) != before.get(name) or (name in now and keep(name))
    }
    return fields.sort_names(changed)


def _apply(
    changes: Mapping[str, fields.T | None], before: Mapping[str, fields.T]
) -> dict[str, fields.T]:
    merged = {**before, **changes}
    return {name: value for name, value in merged.items() if value is not None}


def _is_rate(name: str) -> bool:
    return name.rpartition(".")[2] == _RATE


def _encode_scalars(scalars: Mapping[str, Scalar]) -> dict[str, Any]:
    return {name: fields.encode_scalar(value) for name, value in fields.sort_names(scalars).items()}


def _encode_texts(texts: Mapping[str, str]) -> dict[str, str]:
    return {name: fields.checked(value) for name, value in texts.items()}


def _encode_value(value: Scalar | str | None) -> Any:
    if isinstance(value, Scalar):
        return fields.encode_scalar(value)
    return None if value is None else fields.checked(value)


def _decode_value(value: Any, key: str, where: str) -> Scalar | str:
    return value if isinstance(value, str) else fields.scalar(value, key, where)
