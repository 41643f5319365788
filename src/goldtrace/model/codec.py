"""A trace as files of JSON, and back.

``header.json`` is for people and machines: sorted keys, one entry a line. ``steps.jsonl`` has one
line a step, the initial record first and the end last. A line begins with what a reviewer reads
(step, decimals of the losses, learning rates) and ends with what only a machine does:

* a number is ``[decimal, exact, dtype]``; the decimal is for the reader alone, and is checked;
* hyper-parameters and RNG digests that are the same as on the line before are left out, learning
  rates excepted; ``null`` says that one has gone.

What no person reads is compressed: ``tensors.jsonl.gz``, where something was kept of single
tensors (``tensor_codec``), and ``tape.jsonl.gz``, where steps were taped (``tape_codec``).

The header carries the SHA-256 of the lines of each file, before they were compressed, and of
itself, so the SHA-256 of ``header.json`` identifies the whole trace.
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from goldtrace.errors import GoldenError, RecordingError
from goldtrace.model import fields, sealed
from goldtrace.model.gzipped import compress, decompress
from goldtrace.model.header_codec import decode_header, encode_header
from goldtrace.model.migrations import Documents, migrate
from goldtrace.model.step_codec import decode_lines, encode_lines
from goldtrace.model.tape_codec import decode_tape, encode_tape
from goldtrace.model.tensor_codec import decode_tensors, encode_tensors
from goldtrace.model.trace import SCHEMA, Trace

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

HEADER = "header.json"
STEPS = "steps.jsonl"
TENSORS = "tensors.jsonl.gz"
TAPE = "tape.jsonl.gz"

FILES = (HEADER, STEPS, TENSORS, TAPE)
"""The files that a trace may have."""

_COMPRESSED = (TENSORS, TAPE)
"""Those that are there only where they have a line."""


def encode_trace(trace: Trace) -> dict[str, bytes]:
    """The files of a trace, by name: the same bytes for the same trace.

    Raises:
        RecordingError: something in the trace has no place in a file, such as a name with a lone
            surrogate, or steps whose numbers do not ascend.
    """
    return {
        name: compress(content) if name in _COMPRESSED else content
        for name, content in _uncompressed(trace).items()
    }


def _uncompressed(trace: Trace) -> dict[str, bytes]:
    documents = {
        STEPS: encode_lines(trace),
        TENSORS: encode_tensors(trace.steps),
        TAPE: encode_tape(trace.tape),
    }
    lines = {name: b"".join(map(sealed.to_line, of_file)) for name, of_file in documents.items()}
    written = {name: content for name, content in lines.items() if content}
    header = encode_header(trace.header)
    header["files"] = {name: sealed.sha256(written[name]) for name in sorted(written)}
    return {HEADER: sealed.to_page(sealed.seal(header)), **written}


def encode_repeatable(trace: Trace) -> dict[str, bytes]:
    """The files of a trace without what changes with an edit or a run: commit, lines, temperature.

    What is left is the same whenever the same training is repeated, a file saved meanwhile or not.
    """
    header = replace(trace.header, revision=None, conditions={})
    tape = tuple(
        replace(step, calls=tuple(replace(call, line=None) for call in step.calls))
        for step in trace.tape
    )
    return encode_trace(replace(trace, header=header, tape=tape))


def trace_digest(files: Mapping[str, bytes]) -> str:
    """The digest that identifies a trace: the SHA-256 of ``header.json``, which seals the rest."""
    return sealed.sha256(files[HEADER])


def read_files(folder: Path) -> dict[str, bytes]:
    """The files of a trace that are in a folder.

    Raises:
        OSError: one of them cannot be read; only what is compressed may be absent.
    """
    names = [name for name in FILES if name not in _COMPRESSED or (folder / name).exists()]
    return {name: (folder / name).read_bytes() for name in names}


def write_files(trace: Trace, folder: Path) -> None:
    """Write the files of a trace into a folder, which is made.

    Raises:
        OSError: it cannot be written.
    """
    folder.mkdir(parents=True, exist_ok=True)
    for name, content in encode_trace(trace).items():
        (folder / name).write_bytes(content)


def decode_trace(files: Mapping[str, bytes], *, canonical: bool = True) -> Trace:
    """The trace that ``encode_trace`` wrote; files other than its own are not looked at.

    ``canonical`` also holds every byte against what ``encode_trace`` would write: for files that
    people review and merge. Damage is found without, by digests.

    Raises:
        GoldenError: the files are damaged, incomplete, or of a schema that cannot be read.
    """
    documents = _documents(files)
    schema = sealed.check_schema(documents.header, SCHEMA, where=HEADER)
    documents = migrate(documents, schema=schema, newest=SCHEMA)
    header = decode_header(documents.header, where=HEADER)
    steps, end = decode_lines(documents.steps, where=STEPS)
    steps = decode_tensors(documents.tensors, steps, where=TENSORS)
    tape = decode_tape(documents.tape, where=TAPE)
    trace = Trace(header=header, steps=steps, end=end, tape=tape)
    if canonical:
        _check_canonical(trace, files if schema == SCHEMA else {})
    return trace


def _documents(files: Mapping[str, bytes]) -> Documents:
    if HEADER not in files:
        raise _missing(HEADER)
    header = sealed.parse(files[HEADER], where=HEADER)
    sealed.check_schema(header, SCHEMA, where=HEADER)
    sealed.check_seal(header, where=HEADER)
    listed = fields.required(header, "files", fields.mapping(fields.text), HEADER)
    return Documents(
        header=header,
        steps=_lines(files, STEPS, listed),
        tensors=_lines(files, TENSORS, listed) if TENSORS in listed else (),
        tape=_lines(files, TAPE, listed) if TAPE in listed else (),
    )


def _lines(
    files: Mapping[str, bytes], name: str, listed: Mapping[str, str]
) -> tuple[Mapping[str, object], ...]:
    """The documents in a file of lines, which is the one that the header lists."""
    if name not in files:
        raise _missing(name)
    content = decompress(files[name], where=name) if name in _COMPRESSED else files[name]
    found, expected = sealed.sha256(content), listed.get(name)
    if found != expected:
        # The line that cannot be read, if there is one, says more than two digests do.
        _parse_lines(content, name)
        raise GoldenError(
            "the lines are not the ones that the header was written for",
            where=name,
            expected=f"SHA-256 {expected}",
            found=f"SHA-256 {found}",
            hint=sealed.RESTORE,
        )
    return _parse_lines(content, name)


def _parse_lines(content: bytes, name: str) -> tuple[Mapping[str, object], ...]:
    lines = content.split(b"\n")
    if lines[-1] != b"":
        raise GoldenError(
            "the file is truncated",
            where=f"{name}:{len(lines)}",
            expected="a line that ends",
            found=repr(lines[-1][-40:].decode("ascii", "replace")),
            hint=sealed.RESTORE,
        )
    return tuple(
        sealed.parse(line, where=f"{name}:{number}")
        for number, line in enumerate(lines[:-1], start=1)
    )


def _missing(name: str) -> GoldenError:
    return GoldenError("the file is missing", where=name, hint=sealed.RESTORE)


def _check_canonical(trace: Trace, files: Mapping[str, bytes]) -> None:
    try:
        written = _uncompressed(trace)
    except RecordingError as error:
        raise GoldenError(
            error.what, where=HEADER, found=error.found, hint=sealed.RESTORE
        ) from error
    for name in (STEPS, HEADER):  # The header would differ with the lines of any file.
        data = written[name]
        if name in files and data != files[name]:
            before = files[name][: _first_difference(data, files[name])]
            raise GoldenError(
                "the file is not as goldtrace writes it",
                where=f"{name}:{before.count(10) + 1}",
                hint=sealed.RESTORE,
            )


def _first_difference(one: bytes, other: bytes) -> int:
    for place, (left, right) in enumerate(zip(one, other, strict=False)):
        if left != right:
            return place
    return min(len(one), len(other))
