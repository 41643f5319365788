"""A trace as files of JSON, and back.

``header.json`` is for people and machines: sorted keys, one entry a line. ``steps.jsonl`` has one
line a step, the initial record first and the end last. A line begins with what a reviewer reads
(step, decimals of the losses, learning rates) and ends with what only a machine does:

* a number is ``[decimal, exact, dtype]``; the decimal is for the reader alone, and is checked;
* hyper-parameters and RNG digests that are the same as on the line before are left out, learning
  rates excepted; ``null`` says that one has gone;
* the digests of single tensors come by name where a rung is listed for the first time, and as a
  list in the order of these sorted names when it is listed again;
* the sketches of a rung are one text of base64: little-endian float32, in the order of the sorted
  names, which are listed only where they are not the ones that were listed last.

``tape.jsonl.gz``, where steps were taped, is for machines only; see ``tape_codec``.

The header carries the SHA-256 of ``steps.jsonl``, of the tape before it was compressed, and of
itself, so the SHA-256 of ``header.json`` identifies the whole trace.
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from goldtrace.errors import GoldenError
from goldtrace.model import sealed
from goldtrace.model.header_codec import decode_header, encode_header
from goldtrace.model.migrations import MIGRATIONS, Documents, migrate
from goldtrace.model.step_codec import decode_lines, encode_lines
from goldtrace.model.tape_codec import compress, decode_tape, decompress, encode_tape
from goldtrace.model.trace import SCHEMA, Trace

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from goldtrace.model.migrations import Migration
    from goldtrace.model.tape import TapedStep

HEADER = "header.json"
STEPS = "steps.jsonl"
TAPE = "tape.jsonl.gz"

FILES = (HEADER, STEPS, TAPE)
"""The files that a trace may have; the tape is not always there."""


def encode_trace(trace: Trace) -> dict[str, bytes]:
    """The files of a trace, by name: the same bytes for the same trace.

    Raises:
        RecordingError: something in the trace has no place in a file, such as a name with a lone
            surrogate, or steps whose numbers do not ascend.
    """
    steps = b"".join(sealed.to_line(line) for line in encode_lines(trace))
    header = encode_header(trace.header)
    header["files"] = {STEPS: sealed.sha256(steps)}
    files = {STEPS: steps}
    if trace.tape:
        lines = encode_tape(trace.tape)
        header["files"][TAPE] = sealed.sha256(lines)
        files[TAPE] = compress(lines)
    return {HEADER: sealed.to_page(sealed.seal(header)), **files}


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
        OSError: one of them cannot be read; only the tape may be absent.
    """
    names = [name for name in FILES if name != TAPE or (folder / name).exists()]
    return {name: (folder / name).read_bytes() for name in names}


def write_files(trace: Trace, folder: Path) -> None:
    """Write the files of a trace into a folder, which is made.

    Raises:
        OSError: it cannot be written.
    """
    folder.mkdir(parents=True, exist_ok=True)
    for name, content in encode_trace(trace).items():
        (folder / name).write_bytes(content)


def decode_trace(
    files: Mapping[str, bytes],
    *,
    migrations: Mapping[int, Migration] = MIGRATIONS,
    canonical: bool = True,
) -> Trace:
    """The trace that ``encode_trace`` wrote; files other than its own are not looked at.

    ``canonical`` also holds every byte against what ``encode_trace`` would write: for files that
    people review and merge. Damage is found without, by digests.

    Raises:
        GoldenError: the files are damaged, incomplete, or of a schema that cannot be read.
    """
    documents = _documents(files)
    schema = sealed.check_schema(documents.header, SCHEMA, where=HEADER)
    documents = migrate(documents, schema=schema, newest=SCHEMA, migrations=migrations)
    header = decode_header(documents.header, where=HEADER)
    steps, end = decode_lines(documents.lines, where=STEPS)
    trace = Trace(header=header, steps=steps, end=end, tape=_tape(files, documents.header))
    if canonical and schema == SCHEMA:
        _check_canonical(trace, files)
    return trace


def _documents(files: Mapping[str, bytes]) -> Documents:
    for name in (HEADER, STEPS):
        if name not in files:
            raise GoldenError("the file is missing", where=name, hint=sealed.RESTORE)
    header = sealed.parse(files[HEADER], where=HEADER)
    sealed.check_schema(header, SCHEMA, where=HEADER)
    sealed.check_seal(header, where=HEADER)
    listed = header.get("files")
    expected = listed.get(STEPS) if isinstance(listed, dict) else None
    lines = files[STEPS].split(b"\n")
    found = sealed.sha256(files[STEPS])
    if found != expected:
        # The line that cannot be read, if there is one, says more than two digests do.
        _parse_lines(lines)
        raise GoldenError(
            "the steps are not the ones that the header was written for",
            where=STEPS,
            expected=f"SHA-256 {expected}",
            found=f"SHA-256 {found}",
            hint=sealed.RESTORE,
        )
    return Documents(header=header, lines=_parse_lines(lines))


def _tape(files: Mapping[str, bytes], header: Mapping[str, object]) -> tuple[TapedStep, ...]:
    listed = header.get("files")
    expected = listed.get(TAPE) if isinstance(listed, dict) else None
    if expected is None:
        return ()
    if TAPE not in files:
        raise GoldenError("the file is missing", where=TAPE, hint=sealed.RESTORE)
    lines = decompress(files[TAPE], where=TAPE)
    found = sealed.sha256(lines)
    if found != expected:
        raise GoldenError(
            "the tape is not the one that the header was written for",
            where=TAPE,
            expected=f"SHA-256 {expected}",
            found=f"SHA-256 {found}",
            hint=sealed.RESTORE,
        )
    return decode_tape(lines, where=TAPE)


def _parse_lines(lines: list[bytes]) -> tuple[Mapping[str, object], ...]:
    if lines[-1] != b"":
        raise GoldenError(
            "the file is truncated",
            where=f"{STEPS}:{len(lines)}",
            expected="a line that ends",
            found=repr(lines[-1][-40:].decode("ascii", "replace")),
            hint=sealed.RESTORE,
        )
    return tuple(
        sealed.parse(line, where=f"{STEPS}:{number}")
        for number, line in enumerate(lines[:-1], start=1)
    )


def _check_canonical(trace: Trace, files: Mapping[str, bytes]) -> None:
    written = encode_trace(trace)
    for name in (STEPS, HEADER):  # The header would differ with the steps.
        data = written[name]
        if data != files[name]:
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
