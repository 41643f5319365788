"""The file of a tape: everything comes back, the same bytes twice, and damage is told."""

from __future__ import annotations

import dataclasses
import gzip
import json
import math

import pytest
from golden_samples import TAPE_STEPS, VALUES
from golden_samples import trace as sample_trace

from goldtrace.errors import GoldenError
from goldtrace.model import sealed
from goldtrace.model.codec import HEADER, TAPE, decode_trace, encode_trace
from goldtrace.model.gzipped import compress, decompress
from goldtrace.model.tape import TapedStep
from goldtrace.model.tape_codec import decode_tape, encode_tape


def lines_of(tape):
    return b"".join(map(sealed.to_line, encode_tape(tape)))


def test_a_tape_comes_back_as_it_was():
    documents = [json.loads(line) for line in lines_of(TAPE_STEPS).splitlines()]
    assert decode_tape(documents, where="tape") == TAPE_STEPS
    assert lines_of(decode_tape(documents, where="tape")) == lines_of(TAPE_STEPS)


def test_the_same_tape_is_the_same_bytes_and_has_no_date():
    lines = lines_of(TAPE_STEPS)
    assert compress(lines) == compress(lines)
    assert compress(lines)[4:8] == bytes(4)
    assert gzip.decompress(compress(lines)) == lines
    assert decompress(compress(lines), where="tape") == lines


def test_every_nan_is_written_alike():
    def with_total(total: float) -> bytes:
        statistics = dataclasses.replace(VALUES[0].statistics, total=total)
        value = dataclasses.replace(VALUES[0], statistics=statistics)
        return lines_of([TapedStep(number=0, values=(value,), calls=())])

    assert with_total(math.nan) == with_total(-math.nan) != with_total(0.0)


def test_a_trace_with_a_tape_comes_back_and_is_sealed_by_the_header():
    trace = dataclasses.replace(sample_trace(), tape=TAPE_STEPS)
    files = encode_trace(trace)
    assert decode_trace(files) == trace
    assert TAPE not in encode_trace(sample_trace())
    assert files[HEADER] != encode_trace(sample_trace())[HEADER]
    assert decode_trace(files).taped(10) == TAPE_STEPS[1]
    assert decode_trace(files).taped(3) is None


def damage(files: dict[str, bytes]) -> list[dict[str, bytes]]:
    tape = files[TAPE]
    middle = len(tape) // 2
    flipped = bytes([*tape[:middle], tape[middle] ^ 1, *tape[middle + 1 :]])
    other = compress(lines_of(TAPE_STEPS[:1]))
    variants = [tape[:-1], tape[:20], b"", flipped, tape + b"x", other, compress(b"[]\n")]
    without = {name: content for name, content in files.items() if name != TAPE}
    return [without, *({**files, TAPE: variant} for variant in variants)]


@pytest.mark.parametrize("case", range(8))
def test_a_damaged_tape_is_told_by_its_name(case):
    files = encode_trace(dataclasses.replace(sample_trace(), tape=TAPE_STEPS))
    with pytest.raises(GoldenError) as caught:
        decode_trace(damage(files)[case])
    assert str(caught.value.where).startswith(TAPE)


def changed(**columns):
    return {**next(encode_tape(TAPE_STEPS)), **columns}


@pytest.mark.parametrize(
    "document",
    [
        {},
        {"step": 0},
        [],
        "x",
        {"step": 0, "values": [3], "kinds": []},
        *(changed(**{name: "xyz"}) for name in ("digests", "statistics")),
        *(changed(**{name: "00"}) for name in ("samples", "elements")),
        changed(digests="01 345678 AbcdeF" + "0" * 16 + "f" * 16),
        changed(step="0"),
        changed(arguments=[[], {"p": "0.1"}]),
        changed(ops=[[1, False], ["aten::rand", True]]),
        changed(calls=[[0, 0, 0, "0", [0, 0], [1]]]),
        changed(calls=[[0, 0, 0, 0, [0.0], [1]]]),
        changed(calls=[[0, 0, 0, 0, [3], [1]]]),
        changed(origins=[["forward", 7, None]] * 3),
        changed(
            kinds=[["float32", True, 4, 2, 6, {}], *next(encode_tape(TAPE_STEPS))["kinds"][1:]]
        ),
        changed(kinds=[["float32", True, 0, 10**12, 0, 2]] * 3),
    ],
)
def test_a_document_that_is_no_tape_is_an_error(document):
    with pytest.raises(GoldenError):
        decode_tape([document], where="tape")


def test_a_bomb_is_not_unpacked():
    bomb = compress(bytes((1 << 28) + 1))
    with pytest.raises(GoldenError) as caught:
        decompress(bomb, where="tape")
    assert "too early" in (caught.value.found or "")
