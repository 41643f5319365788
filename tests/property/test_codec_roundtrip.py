from __future__ import annotations

import json
import math
import struct
from typing import Any, TypeVar

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from goldtrace.errors import RecordingError
from goldtrace.model.codec import HEADER, STEPS, decode_trace, encode_trace
from goldtrace.model.environment import Environment, Revision
from goldtrace.model.scalar import Scalar
from goldtrace.model.trace import INITIAL_STEP, End, Header, StepRecord, Trace
from goldtrace.model.verdict import Rung

T = TypeVar("T")

HOSTILE = [
    "",
    "a\nb",
    "a\r\nb",
    "a|b",
    "<script>alert(1)</script>",
    "\"quoted\" and 'quoted'",
    "back\\slash",
    "\x00\x7f\u2028\u2029",
    "Gewicht \u03b2 \U0001f525",
    "../../etc/passwd",
    "<<<<<<< ours",
    "$float",
    "$$",
    "end",
    "group0.lr",
]

texts = st.one_of(
    st.sampled_from(HOSTILE),
    st.text(st.characters(exclude_categories=("Cs",)), max_size=12),  # type: ignore[arg-type]
)
surrogates = st.integers(0xD800, 0xDFFF).map(chr)
digests = st.binary(min_size=16, max_size=16).map(bytes.hex)


def maps(values: st.SearchStrategy[T], keys: Any = texts, size: int = 4) -> Any:
    return st.dictionaries(keys, values, max_size=size)


def nan(bits: int) -> str:
    return "nan:" + struct.pack(">Q", bits).hex()


nans = st.builds(
    lambda sign, payload: nan((sign << 63) | (0x7FF << 52) | payload),
    st.integers(0, 1),
    st.integers(1, 2**52 - 1),
)


def float_of(dtype: str, width: int) -> st.SearchStrategy[Scalar]:
    numbers = st.floats(width=width, allow_nan=False)  # type: ignore[arg-type]
    return st.one_of(
        st.builds(lambda value: Scalar.of(value, dtype), numbers),
        st.builds(lambda exact: Scalar(exact, dtype), nans),
    )


def bfloat16(bits: int) -> Scalar:
    return Scalar.of(struct.unpack(">f", struct.pack(">I", bits << 16))[0], "bfloat16")


scalars = st.one_of(
    float_of("float64", 64),
    float_of("float32", 32),
    float_of("float16", 16),
    st.integers(0, 2**16 - 1).map(bfloat16),
    st.integers(-(2**63), 2**64).map(Scalar.of),
    st.booleans().map(Scalar.of),
)

rungs = st.sampled_from(Rung)

config = st.recursive(
    st.one_of(st.none(), st.booleans(), st.integers(), st.floats(allow_nan=False), texts),
    lambda inner: st.one_of(st.lists(inner, max_size=3), maps(inner, size=3)),
    max_leaves=8,
)

headers = st.builds(
    Header,
    run=texts,
    device=texts,
    platform=texts,
    origin=texts,
    settings=maps(config),
    spec_digest=digests,
    pins=maps(texts),
    environment=st.builds(
        Environment,
        system=maps(texts),
        packages=maps(texts),
        libraries=maps(texts),
        accelerator=maps(texts),
    ),
    seeds=maps(st.integers(-(2**63), 2**64)),
    data=maps(maps(digests)),
    revision=st.none()
    | st.builds(Revision, commit=digests, dirty=st.booleans(), diff=st.none() | digests),
    canaries=maps(texts),
    loaders=st.lists(texts, max_size=2).map(tuple),
)

# Few names, so that values stay, change, go and come back from one line to the next.
few_names = st.sampled_from(["group0.lr", "group0.eps", "lr", "\n"])
few_digests = st.sampled_from(["0" * 32, "f" * 32])
few_tensors = maps(maps(digests, st.sampled_from(["a", "b", "<c>"]), 3), rungs, 3)
few_values = st.one_of(scalars, texts, st.sampled_from([Scalar.of(0.0), Scalar.of(-0.0)]))


def records(number: int) -> st.SearchStrategy[StepRecord]:
    return st.builds(
        StepRecord,
        number=st.just(number),
        scalars=maps(scalars),
        hyperparameters=maps(few_values, few_names),
        grad_norm=st.none() | scalars,
        ladder=maps(digests, rungs),
        rng=maps(few_digests, few_names),
        samples=st.none() | digests,
        tensors=few_tensors,
    )


steps = st.lists(st.integers(INITIAL_STEP, 50), unique=True, max_size=4).flatmap(
    lambda numbers: st.tuples(*(records(number) for number in sorted(numbers)))
)
traces = st.builds(
    Trace,
    header=headers,
    steps=steps,
    end=st.builds(End, metrics=maps(scalars), final=maps(digests, rungs)),
)


@given(traces)
@settings(max_examples=100, deadline=None)
def test_every_trace_reads_back_as_it_was_written(trace: Trace) -> None:
    assert decode_trace(encode_trace(trace)) == trace


@given(traces, st.randoms(use_true_random=False))
@settings(max_examples=25, deadline=None)
def test_the_order_of_mappings_does_not_change_a_byte(trace: Trace, random: Any) -> None:
    assert encode_trace(_shuffled(trace, random)) == encode_trace(trace)


@given(traces)
@settings(max_examples=25, deadline=None)
def test_files_are_ascii_json_with_a_line_for_each_step(trace: Trace) -> None:
    files = encode_trace(trace)
    lines = files[STEPS].decode("ascii").split("\n")
    assert len(lines) == len(trace.steps) + 2
    for document in (files[HEADER].decode("ascii"), *lines[:-1]):
        json.loads(document, parse_constant=pytest.fail)


@given(scalars)
def test_the_sign_of_zero_and_the_bits_of_nan_are_kept(scalar: Scalar) -> None:
    trace = Trace(
        header=Header(
            run="r",
            device="cpu",
            platform="p",
            origin="o",
            settings={},
            spec_digest="",
            pins={},
            environment=Environment(),
        ),
        steps=(StepRecord(number=0, grad_norm=scalar),),
        end=End(),
    )
    read = decode_trace(encode_trace(trace)).steps[0].grad_norm
    assert read is not None
    assert (read.exact, read.dtype) == (scalar.exact, scalar.dtype)
    assert struct.pack("d", read.value) == struct.pack("d", scalar.value)
    assert math.copysign(1, read.value) == math.copysign(1, scalar.value)


@settings(max_examples=20, deadline=None)
@given(st.text(surrogates, min_size=1, max_size=3), st.data())
def test_lone_surrogates_are_refused_wherever_they_stand(bad: str, data: st.DataObject) -> None:
    trace = data.draw(traces.filter(lambda t: t.steps))
    step = trace.steps[0]
    place = data.draw(st.sampled_from(["scalar", "tensor", "pin", "setting"]))
    if place == "scalar":
        trace.steps[0].scalars[bad] = Scalar.of(1.0)  # type: ignore[index]
    elif place == "tensor":
        step.tensors[Rung.WEIGHTS] = {bad: "0"}  # type: ignore[index]
    elif place == "pin":
        trace.header.pins["PIN"] = bad  # type: ignore[index]
    else:
        trace.header.settings["key"] = [{"inner": bad}]  # type: ignore[index]
    with pytest.raises(RecordingError, match="surrogate"):
        encode_trace(trace)


def _shuffled(value: Any, random: Any) -> Any:
    if isinstance(value, dict):
        items = [(key, _shuffled(item, random)) for key, item in value.items()]
        random.shuffle(items)
        return dict(items)
    if isinstance(value, (list, tuple)):
        return type(value)(_shuffled(item, random) for item in value)
    if isinstance(value, (Trace, Header, StepRecord, End, Environment)):
        return type(value)(
            **{name: _shuffled(getattr(value, name), random) for name in value.__dataclass_fields__}
        )
    return value
