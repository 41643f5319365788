"""What holds for every trace, however odd: the verdict fails closed."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from hypothesis import given, settings
from hypothesis import strategies as st

from goldtrace.compare import compare_traces
from goldtrace.model.environment import Environment
from goldtrace.model.scalar import Scalar
from goldtrace.model.tolerance import Tolerance
from goldtrace.model.trace import End, Header, StepRecord, Trace
from goldtrace.model.verdict import Rung, Verdict

if TYPE_CHECKING:
    from collections.abc import Iterator

HEADER = Header(
    run="r",
    device="cpu",
    platform="cpu-portable",
    origin="golden/r",
    settings={},
    spec_digest="",
    pins={},
    environment=Environment(),
)
OTHER = Scalar.of(12345.678)

names = st.sampled_from(["a", "a2", "a10", "group0.lr", "loss", "grad_norm", "*", "\n", ""])
digests = st.sampled_from(["0" * 32, "1" * 32, "f" * 32])
floats = st.floats() | st.sampled_from([0.0, -0.0, 5e-324, -math.inf, math.nan, 1.7e308])
scalars = st.builds(
    Scalar.of, floats, st.sampled_from(["float64", "float32", "bfloat16", "float16"])
) | st.builds(Scalar.of, st.integers(-(2**63), 2**64) | st.booleans())
rungs = st.sampled_from(list(Rung))


def named(values: st.SearchStrategy[Any], *, least: int = 0) -> st.SearchStrategy[dict[str, Any]]:
    return st.dictionaries(names, values, min_size=least, max_size=3)


def records(number: int) -> st.SearchStrategy[StepRecord]:
    return st.builds(
        StepRecord,
        number=st.just(number),
        scalars=named(scalars, least=1),
        hyperparameters=named(scalars | st.sampled_from(["", "linear"])),
        grad_norm=st.none() | scalars,
        ladder=st.dictionaries(rungs, digests, max_size=4),
        rng=named(digests),
        samples=st.none() | digests,
        tensors=st.dictionaries(rungs, named(digests, least=1), max_size=3),
    )


ends = st.builds(
    End, metrics=named(scalars), final=st.dictionaries(rungs, st.just("e" * 64), max_size=2)
)
traces = st.integers(1, 2).flatmap(
    lambda count: st.builds(
        Trace,
        header=st.just(HEADER),
        steps=st.tuples(*(records(number) for number in range(-1, count))),
        end=ends,
    )
)
tolerances = st.dictionaries(
    names | st.just("lr"),
    st.builds(
        Tolerance,
        rtol=st.floats(0, 1e300, allow_infinity=False),
        atol=st.floats(0, allow_infinity=False),
    ),
    max_size=3,
)


def changed(value: Any) -> Iterator[Any]:
    """Other values than this one, of the same kind."""
    match value:
        case Scalar():
            yield OTHER
            yield Scalar.of(math.nan, "float64" if value.is_nan else value.dtype)
            yield Scalar(value.exact, value.dtype + "x")
        case str():
            yield value + "x"
        case None:
            yield OTHER


def changed_mapping(mapping: Mapping[Any, Any], *, keys: list[Any]) -> Iterator[dict[Any, Any]]:
    """The mapping with one entry changed, missing or added."""
    for key, value in mapping.items():
        yield {k: v for k, v in mapping.items() if k != key}
        inner = changed_mapping(value, keys=["new"]) if isinstance(value, dict) else changed(value)
        yield from ({**mapping, key: other} for other in inner)
    for key in keys:
        if key not in mapping and mapping:
            yield {**mapping, key: next(iter(mapping.values()))}


def amended(step: StepRecord, fields: dict[str, Any]) -> StepRecord:
    return replace(step, **fields)


def changed_record(step: StepRecord) -> Iterator[StepRecord]:
    for field in ("scalars", "hyperparameters", "rng"):
        for mapping in changed_mapping(getattr(step, field), keys=["new"]):
            yield amended(step, {field: mapping})
    for ladder in changed_mapping(step.ladder, keys=list(Rung)):
        yield replace(step, ladder=ladder)
    for tensors in changed_mapping(step.tensors, keys=list(Rung)):
        if all(tensors.values()):
            yield replace(step, tensors=tensors)
    yield replace(step, samples="other" if step.samples is None else None)
    yield replace(step, grad_norm=OTHER if step.grad_norm is None else None)
    for norm in changed(step.grad_norm):
        yield replace(step, grad_norm=norm)


def mutations(trace: Trace) -> Iterator[Trace]:
    """Every way in which one recorded quantity of the trace can be another one."""
    for place, step in enumerate(trace.steps):
        before, after = trace.steps[:place], trace.steps[place + 1 :]
        yield replace(trace, steps=before + after)
        yield replace(trace, steps=(*before, step, replace(step, number=99), *after))
        yield replace(trace, steps=(*before, step, step, *after))
        for other in changed_record(step):
            if other != step:
                yield replace(trace, steps=(*before, other, *after))
    for metrics in changed_mapping(trace.end.metrics, keys=["new"]):
        if metrics != trace.end.metrics:
            yield replace(trace, end=replace(trace.end, metrics=metrics))
    for final in changed_mapping(trace.end.final, keys=list(Rung)):
        yield replace(trace, end=replace(trace.end, final=final))


@settings(deadline=None, max_examples=30)
@given(traces, tolerances)
def test_a_trace_is_identical_to_itself_under_any_tolerance(
    trace: Trace, tolerance: dict[str, Tolerance]
) -> None:
    comparison = compare_traces(trace, trace, tolerance=tolerance)
    assert comparison.verdict is Verdict.IDENTICAL
    assert comparison.divergences == ()
    assert comparison.steps_compared == trace.step_count


@settings(deadline=None, max_examples=15)  # each example is some hundred comparisons
@given(st.data(), traces)
def test_one_changed_quantity_is_never_identical_and_drift_without_a_tolerance(
    data: st.DataObject, trace: Trace
) -> None:
    for mutant in mutations(trace):
        verdict = compare_traces(trace, mutant, tolerance={}).verdict
        assert verdict in (Verdict.DRIFT, Verdict.INCOMPARABLE), mutant
    mutant = data.draw(st.sampled_from(list(mutations(trace))))
    tolerance = data.draw(tolerances)
    assert compare_traces(trace, mutant, tolerance=tolerance).verdict is not Verdict.IDENTICAL


def reversed_mappings(value: Any) -> Any:
    if isinstance(value, Mapping):
        return {k: reversed_mappings(value[k]) for k in reversed(list(value))}
    return value


@settings(deadline=None, max_examples=30)
@given(traces, traces, tolerances)
def test_the_order_of_mappings_changes_nothing(
    golden: Trace, current: Trace, tolerance: dict[str, Tolerance]
) -> None:
    steps = tuple(
        replace(
            step,
            **{
                field: reversed_mappings(getattr(step, field))
                for field in ("scalars", "hyperparameters", "ladder", "rng", "tensors")
            },
        )
        for step in current.steps
    )
    end = End(**{f: reversed_mappings(getattr(current.end, f)) for f in ("metrics", "final")})
    shuffled = replace(current, steps=steps, end=end)
    backwards = dict(reversed(tolerance.items()))
    assert compare_traces(golden, current, tolerance=tolerance) == compare_traces(
        golden, shuffled, tolerance=backwards
    )


@settings(deadline=None, max_examples=30)
@given(traces, tolerances)
def test_a_number_that_became_nan_is_drift_under_any_tolerance(
    trace: Trace, tolerance: dict[str, Tolerance]
) -> None:
    nan = Scalar.of(math.nan)
    for place, step in enumerate(trace.steps):
        for name, value in step.scalars.items():
            if value.is_nan:
                continue
            broken = replace(step, scalars={**step.scalars, name: replace_value(value, nan)})
            steps = (*trace.steps[:place], broken, *trace.steps[place + 1 :])
            mutant = replace(trace, steps=steps)
            for golden, current in ((trace, mutant), (mutant, trace)):
                verdict = compare_traces(golden, current, tolerance=tolerance).verdict
                assert verdict is Verdict.DRIFT
        if step.grad_norm is not None and not step.grad_norm.is_nan:
            broken = replace(step, grad_norm=replace_value(step.grad_norm, nan))
            mutant = replace(trace, steps=(*trace.steps[:place], broken, *trace.steps[place + 1 :]))
            assert compare_traces(trace, mutant, tolerance=tolerance).verdict is Verdict.DRIFT


def replace_value(value: Scalar, other: Scalar) -> Scalar:
    return Scalar(other.exact, value.dtype)


@settings(deadline=None, max_examples=30)
@given(traces, traces, tolerances)
def test_divergences_are_in_causal_order_and_decide_the_verdict(
    golden: Trace, current: Trace, tolerance: dict[str, Tolerance]
) -> None:
    comparison = compare_traces(golden, current, tolerance=tolerance)
    keys = [(math.inf if d.step is None else d.step, d.rung.order) for d in comparison.divergences]
    assert keys == sorted(keys)
    strict = [d for d in comparison.divergences if not d.tolerated]
    if comparison.verdict is Verdict.ROUNDING:
        assert comparison.divergences
        assert not strict
    elif comparison.verdict is Verdict.DRIFT:
        assert comparison.first is strict[0]
