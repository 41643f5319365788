"""A file of a golden as lines of text, one fact each: what ``git diff`` compares."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

from goldtrace.errors import GoldenError
from goldtrace.model.gzipped import decompress
from goldtrace.model.migrations import tape_from_1
from goldtrace.model.step_codec import decode_lines
from goldtrace.model.tape_codec import decode_tape
from goldtrace.model.tensor_codec import decode_tensors
from goldtrace.model.trace import StepRecord
from goldtrace.model.verdict import Rung
from goldtrace.report.text import plain

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping

    from goldtrace.model.scalar import Scalar
    from goldtrace.model.tape import TapedStep
    from goldtrace.model.trace import End

_GZIP = b"\x1f\x8b"
_STEP = b'{"step":'
_SHORT = 12  # digits of a digest


def as_text(content: bytes) -> bytes:
    """The files of lines of a trace as lines for readers; anything else as it is.

    git calls this for every version that it compares, so what is damaged, of another release or
    full of the marks of a conflict must come out as well as it can.
    """
    try:
        if content.startswith(_GZIP):
            lines = _compressed(_parse(decompress(content, where="")))
        elif content.startswith(_STEP):
            lines = _steps(*decode_lines(_parse(content), where=""))
        else:
            return content
        # A name in JSON may hold half a character.
        return "".join(f"{line}\n" for line in lines).encode("utf-8", "backslashreplace")
    except (GoldenError, ValueError, TypeError, KeyError, AttributeError, RecursionError):
        return content


def _parse(lines: bytes) -> list[dict[str, Any]]:
    return [json.loads(line) for line in lines.splitlines()]


def _compressed(documents: list[dict[str, Any]]) -> Iterator[str]:
    if not all("calls" in document for document in documents):
        steps = [StepRecord(number=document["step"]) for document in documents]
        return _tensors(decode_tensors(documents, steps, where=""))
    try:
        return _tape(decode_tape(documents, where=""))
    except GoldenError:
        return _tape(decode_tape(map(tape_from_1, documents), where=""))


def _steps(steps: Iterable[StepRecord], end: End) -> Iterator[str]:
    before: Mapping[str, Scalar | str] = {}
    for step in steps:
        at = _at(step)
        yield from _scalars(at, step.scalars)
        # As in the file: a setting where it changes, a learning rate at every step.
        settings = step.hyperparameters.items()
        yield from _scalars(at, {k: v for k, v in settings if _is_news(k, v, before)})
        before = step.hyperparameters
        if step.grad_norm is not None:
            yield from _scalars(at, {"gradient norm": step.grad_norm})
        yield from _digests(at, step.ladder)
    yield from _scalars("end", end.metrics)
    yield from _digests("end", end.final)


def _tensors(steps: Iterable[StepRecord]) -> Iterator[str]:
    for step in steps:
        for rung, tensors in step.tensors.items():
            for name, kept in tensors.items():
                shown = kept if rung is Rung.STRUCTURE else kept[:_SHORT]
                yield plain(f"{_at(step)}  {rung.value}  {name}  {shown}")


def _at(step: StepRecord) -> str:
    return f"step {step.number}" if step.number >= 0 else "start"


def _is_news(name: str, value: Scalar | str, before: Mapping[str, Scalar | str]) -> bool:
    return name.rpartition(".")[2] == "lr" or before.get(name) != value


def _scalars(at: str, scalars: Mapping[str, Scalar | str]) -> Iterator[str]:
    for name, value in scalars.items():
        shown = value if isinstance(value, str) else f"{value.value:.9g}  {value.exact}"
        yield plain(f"{at}  {name}  {shown}")


def _digests(at: str, digests: Mapping[Rung, str]) -> Iterator[str]:
    for rung, digest in digests.items():
        yield f"{at}  {rung.value}  {digest[:_SHORT]}"


def _tape(tape: Iterable[TapedStep]) -> Iterator[str]:
    for step in tape:
        for call in step.calls:
            arguments = (f"{name}={value}" for name, value in call.arguments.items())
            given = ", ".join(step.values[place].digest[:_SHORT] for place in call.outputs)
            at = f"step {step.number}"
            yield plain("  ".join((at, call.phase.value, call.op, *arguments, f"→ {given}")))
