"""What a comparison says about each kind of difference."""

from __future__ import annotations

import hashlib
import math
import time
from dataclasses import replace
from typing import Any

import pytest

from goldtrace.compare import compare_traces
from goldtrace.compare.align import natural
from goldtrace.compare.judge import LIMIT
from goldtrace.model.environment import Environment
from goldtrace.model.scalar import Scalar
from goldtrace.model.trace import INITIAL_STEP, End, Header, StepRecord, Trace
from goldtrace.model.verdict import Change, Comparison, Rung, Verdict

NAMES = ("conv1.weight", "conv2.weight", "conv10.weight")
HEADER = Header(
    run="small",
    device="cpu",
    platform="cpu-portable",
    origin="golden/small",
    settings={},
    spec_digest="",
    pins={},
    environment=Environment(),
)


def digest(*of: object) -> str:
    return hashlib.sha256(repr(of).encode()).hexdigest()[:32]


def record(number: int, *, last: int, **changes: Any) -> StepRecord:
    tensors = {
        rung: {name: digest(number, rung, name) for name in NAMES}
        for rung in (Rung.GRADIENTS, Rung.WEIGHTS)
    }
    fields: dict[str, Any] = {
        "scalars": {"loss": Scalar.of(1 / (number + 1), "float32")},
        "hyperparameters": {"group0.lr": Scalar.of(0.1), "group0.name": "decay"},
        "grad_norm": Scalar.of(3.0),
        "ladder": {
            Rung.BATCH: digest(number, "batch"),
            Rung.RNG: digest(number, "rng"),
            Rung.GRADIENTS: digest(number, "gradients"),
            Rung.WEIGHTS: digest(number, "weights"),
        },
        "rng": {"python": digest(number, "p"), "torch": digest(number, "t")},
        "samples": digest(number, "samples"),
        "tensors": tensors if number in (0, last) else {},
    }
    return StepRecord(number=number, **(fields | changes))


def trace(steps: int = 6, changes: dict[int, dict[str, Any]] | None = None, **end: Any) -> Trace:
    initial = StepRecord(
        number=INITIAL_STEP,
        ladder={Rung.STRUCTURE: digest("s"), Rung.WEIGHTS: digest("w")},
        tensors={Rung.STRUCTURE: dict.fromkeys(NAMES, "float32[3,3] trainable group0")},
    )
    records = [
        record(number, last=steps - 1, **(changes or {}).get(number, {})) for number in range(steps)
    ]
    finish: dict[str, Any] = {
        "metrics": {"accuracy": Scalar.of(0.75)},
        "final": {Rung.WEIGHTS: "a" * 64},
    }
    if changes and INITIAL_STEP in changes:
        initial = replace(initial, **changes[INITIAL_STEP])
    return Trace(header=HEADER, steps=(initial, *records), end=End(**(finish | end)))


def changed(number: int, **mappings: dict[Any, Any]) -> Trace:
    """The trace with some entries of one step's mappings set to other values."""
    before = trace().steps[number + 1]
    merged = {name: {**getattr(before, name), **entries} for name, entries in mappings.items()}
    return trace(changes={number: merged})


def compare(current: Trace, golden: Trace | None = None) -> Comparison:
    return compare_traces(golden or trace(), current, tolerance={})


def test_equal_bits_are_identical() -> None:
    comparison = compare(trace())
    assert comparison == Comparison(verdict=Verdict.IDENTICAL, steps_compared=6)


def test_a_learning_rate_is_told_with_both_values_and_their_distance() -> None:
    (found,) = compare(changed(3, hyperparameters={"group0.lr": Scalar.of(0.1001)})).divergences
    assert (found.step, found.rung, found.name) == (3, Rung.LR, "group0.lr")
    assert (found.golden, found.current) == ("0.1", "0.1001")
    assert found.ulp == pytest.approx(0.0001 / math.ulp(0.1))


def test_learning_rates_come_before_other_hyperparameters() -> None:
    other = {f"group{i}.{key}": Scalar.of(0.2) for i in (0, 1) for key in ("betas[0]", "lr")}
    found = compare(changed(3, hyperparameters=other)).divergences
    assert [d.name for d in found] == [
        "group0.lr",
        "group1.lr",
        "group0.betas[0]",
        "group1.betas[0]",
    ]


@pytest.mark.parametrize(
    ("golden", "current", "shown"),
    [
        (1.0, math.nextafter(1.0, 2.0), ("1", "1.0000000000000002")),
        (0.5, 0.25, ("0.5", "0.25")),
        (2.3025851, 2.3025852, ("2.3025851", "2.3025852")),
        (0.0, -0.0, ("0", "-0")),
        (0.0, 5e-324, ("0", "4.94066e-324")),
        (1.0, math.inf, ("1", "inf")),
        (math.inf, -math.inf, ("inf", "-inf")),
        (1.0, math.nan, ("1", "nan")),
        (math.nan, -math.nan, ("nan:7ff8000000000000", "nan:fff8000000000000")),
        (3, 4, ("3", "4")),
        (2**60, 2**60 + 1, ("1152921504606846976", "1152921504606846977")),
        (True, False, ("1", "0")),
    ],
)
def test_numbers_are_shown_with_the_fewest_digits_that_tell_them_apart(
    golden: Any, current: Any, shown: tuple[str, str]
) -> None:
    left = trace(metrics={"m": Scalar.of(golden)})
    right = trace(metrics={"m": Scalar.of(current)})
    (found,) = compare(right, left).divergences
    assert (found.golden, found.current) == shown


def test_two_formats_of_one_value_differ() -> None:
    other = Scalar.of(1.0, "bfloat16")
    (found,) = compare(changed(0, scalars={"loss": other})).divergences
    assert (found.golden, found.current) == ("1 (float32)", "1 (bfloat16)")
    assert found.note == "float32 became bfloat16"
    assert found.ulp is None


def test_the_distance_of_float32_is_in_float32_ulps() -> None:
    other = Scalar.of(1.0 + 4 * 2**-23, "float32")
    (found,) = compare(changed(0, scalars={"loss": other})).divergences
    assert found.ulp == 4


def test_divergences_are_in_causal_order() -> None:
    current = changed(
        2,
        scalars={"loss": Scalar.of(9.0, "float32"), "aux": Scalar.of(1.0)},
        ladder={Rung.WEIGHTS: digest("x"), Rung.BATCH: digest("y")},
        rng={"torch": digest("z")},
        hyperparameters={"group0.lr": Scalar.of(0.2)},
    )
    found = compare(current).divergences
    assert [d.name for d in found] == ["batch", "torch", "loss", "aux", "group0.lr", "weights"]


def test_the_end_comes_after_every_step() -> None:
    current = replace(
        changed(5, scalars={"loss": Scalar.of(9.0)}),
        end=End(metrics={"accuracy": Scalar.of(0.7)}, final={Rung.WEIGHTS: "b" * 64}),
    )
    found = compare(current).divergences
    assert [(d.step, d.name) for d in found] == [
        (5, "loss"),
        (None, "accuracy"),
        (None, "final weights"),
    ]


def test_the_tensors_of_a_rung_are_named_where_they_were_recorded() -> None:
    tensors = {rung: dict(entries) for rung, entries in record(0, last=5).tensors.items()}
    tensors[Rung.GRADIENTS]["conv10.weight"] = digest("a")
    tensors[Rung.GRADIENTS]["conv2.weight"] = digest("b")
    current = changed(0, ladder={Rung.GRADIENTS: digest("c")}, tensors=tensors)
    found = compare(current).divergences
    assert [d.name for d in found] == ["conv2.weight", "conv10.weight"]
    assert found[0].note == "2 of 3 tensors"


def test_elsewhere_the_rung_is_named_and_the_next_step_with_tensors() -> None:
    (found,) = compare(changed(1, ladder={Rung.GRADIENTS: digest("c")})).divergences
    assert found.name == "gradients"
    assert found.note == "single tensors are compared at step 5, not here"


def test_a_rung_without_any_tensors_says_so() -> None:
    golden = trace(changes={1: {"ladder": {Rung.BUFFERS: "0" * 32}}})
    current = trace(changes={1: {"ladder": {Rung.BUFFERS: "1" * 32}}})
    (found,) = compare(current, golden).divergences
    assert found.note == "single tensors were not recorded"


def test_changes_of_structure_are_described() -> None:
    structure = dict(trace().steps[0].tensors[Rung.STRUCTURE])
    structure["conv2.weight"] = "float32[3,3] frozen"
    structure["fc.bias"] = "float32[3] trainable group0"
    del structure["conv1.weight"]
    current = trace(changes={INITIAL_STEP: {"tensors": {Rung.STRUCTURE: structure}}})
    found = compare(current).divergences
    assert [(d.step, d.name, d.current, d.note) for d in found] == [
        (-1, "conv1.weight", None, "not recorded any more"),
        (-1, "conv2.weight", "float32[3,3] frozen", None),
        (-1, "fc.bias", "float32[3] trainable group0", "not in the golden"),
    ]


def test_reordered_samples_are_told_from_other_samples() -> None:
    reordered = compare(changed(2, ladder={Rung.BATCH: digest("x")}))
    assert reordered.first is not None
    assert reordered.first.note == "the same samples in another order"
    current = trace(
        changes={
            2: {
                "ladder": {**record(2, last=5).ladder, Rung.BATCH: digest("x")},
                "samples": digest("other"),
            }
        }
    )
    (found,) = compare(current).divergences
    assert found.note is None


def test_rng_streams_are_named() -> None:
    current = changed(1, rng={"torch": digest("x")}, ladder={Rung.RNG: digest("y")})
    (found,) = compare(current).divergences
    assert (found.rung, found.name) == (Rung.RNG, "torch")


def test_steps_align_by_number_and_a_missing_one_in_the_middle_is_one_divergence() -> None:
    steps = tuple(step for step in trace().steps if step.number not in (2, 3))
    comparison = compare(replace(trace(), steps=steps))
    (found,) = comparison.divergences
    assert (found.step, found.rung, found.note) == (2, Rung.STRUCTURE, "steps 2 to 3 are missing")
    assert comparison.steps_compared == 4


def test_a_shorter_run_is_drift_at_the_first_missing_step() -> None:
    comparison = compare(trace(steps=4))
    assert comparison.verdict is Verdict.DRIFT
    assert comparison.first is not None
    assert comparison.first.note == "steps 4 to 5 are missing"


def test_a_longer_run_is_drift_too() -> None:
    comparison = compare(trace(steps=7))
    assert comparison.first is not None
    assert (comparison.first.step, comparison.first.note) == (6, "step 6 is not in the golden")


@pytest.mark.parametrize("field", ["scalars", "hyperparameters", "rng", "ladder"])
def test_missing_and_extra_names_are_drift(field: str) -> None:
    lacking = trace(changes={1: {field: dict(list(getattr(trace().steps[2], field).items())[1:])}})
    for golden, current, note in (
        (trace(), lacking, "not recorded any more"),
        (lacking, trace(), "not in the golden"),
    ):
        comparison = compare(current, golden)
        assert comparison.verdict is Verdict.DRIFT
        assert comparison.first is not None
        assert comparison.first.note == note


def test_the_same_nan_in_the_same_place_is_identical_and_noted() -> None:
    nan = {"scalars": {"loss": Scalar.of(math.nan, "float32")}}
    diverged = trace(changes={4: nan, 5: nan})
    comparison = compare(diverged, diverged)
    assert comparison.verdict is Verdict.IDENTICAL
    assert comparison.notes == ("loss is NaN from step 4 on, as in the golden",)


def test_a_nan_that_comes_and_goes_is_noted_as_such() -> None:
    nan = {"scalars": {"loss": Scalar.of(math.nan)}, "grad_norm": Scalar.of(math.nan)}
    odd = trace(
        changes={1: nan, 3: {"scalars": nan["scalars"]}}, metrics={"f1": Scalar.of(math.nan)}
    )
    assert compare(odd, odd).notes == (
        "grad_norm is NaN at step 1, as in the golden",
        "loss is NaN at 2 steps, first at step 1, as in the golden",
        "metric f1 is NaN, as in the golden",
    )


def test_a_nan_of_the_golden_that_became_a_number_is_drift() -> None:
    nan = trace(changes={4: {"scalars": {"loss": Scalar.of(math.nan, "float32")}}})
    comparison = compare(trace(), nan)
    assert comparison.verdict is Verdict.DRIFT
    assert comparison.first is not None
    assert comparison.first.note == "NaN in the golden"


def test_traces_without_a_common_step_are_incomparable() -> None:
    empty = replace(trace(), steps=trace().steps[:1])
    assert compare(trace(), empty).verdict is Verdict.INCOMPARABLE
    assert compare(empty, empty).verdict is Verdict.INCOMPARABLE


def test_another_platform_is_noted() -> None:
    other = replace(trace(), header=replace(HEADER, platform="cuda-sm90"))
    assert compare(other).notes == (
        "the golden was recorded on cpu-portable, this run on cuda-sm90",
    )


def test_environment_changes_are_passed_through() -> None:
    changes = (Change(what="torch", golden="2.14.1", now="2.15.0"),)
    comparison = compare_traces(trace(), trace(), tolerance={}, environment_changes=changes)
    assert comparison.environment_changes == changes


def test_a_badly_drifting_run_is_bounded_but_keeps_the_first_and_the_metrics_of_the_end() -> None:
    other = {
        number: {"rng": {f"stream{i}": digest(number, i) for i in range(200)}}
        for number in range(1, 6)
    }
    comparison = compare(trace(changes=other, metrics={"accuracy": Scalar.of(0.1)}))
    assert len(comparison.divergences) == LIMIT
    assert comparison.first == comparison.divergences[0]
    assert comparison.first.name == "python"
    assert comparison.divergences[-1].name == "accuracy"
    assert comparison.notes == ("1,011 differences; 500 are listed, the first among them",)


def test_forty_steps_are_compared_in_milliseconds() -> None:
    golden, current = trace(40), trace(40, metrics={})
    best = math.inf
    for _ in range(5):
        began = time.perf_counter()
        compare(current, golden)
        best = min(best, time.perf_counter() - began)
    assert best < 0.05


def test_names_sort_as_people_count() -> None:
    names = ["a10", "a9", "a09", "a", "", "b1", "a1b2", "a1b10", "٣"]
    assert sorted(names, key=natural) == ["", "a", "a1b2", "a1b10", "a09", "a9", "a10", "b1", "٣"]


def test_a_gpu_that_throttled_is_noted_and_changes_no_verdict() -> None:
    conditions = {"start": {"slowed now": "no"}, "end": {"slowed now": "power cap"}}
    now = replace(trace(), header=replace(trace().header, conditions=conditions))
    comparison = compare(now)
    assert comparison.verdict is Verdict.IDENTICAL
    assert comparison.notes == (
        "the GPU throttled (power cap at the end): compare its bits, not its times",
    )
