"""What an explicit tolerance lets pass, and what it never does."""

from __future__ import annotations

import math
from dataclasses import replace
from typing import Any

import pytest

from goldtrace.compare import compare_traces
from goldtrace.model.environment import Environment
from goldtrace.model.scalar import Scalar
from goldtrace.model.tolerance import Tolerance
from goldtrace.model.trace import INITIAL_STEP, End, Header, StepRecord, Trace
from goldtrace.model.verdict import Rung, Verdict

LOOSE = Tolerance(rtol=0.01)
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


def trace(*, metrics: dict[str, Scalar] | None = None, **changes: Any) -> Trace:
    state: dict[Rung, str] = {
        rung: "0" * 32 for rung in Rung if rung not in (Rung.LOSS, Rung.METRIC, Rung.LR)
    }
    fields: dict[str, Any] = {
        "scalars": {"loss": Scalar.of(1.0)},
        "hyperparameters": {
            "group0.lr": Scalar.of(0.1),
            "group1.lr": Scalar.of(0.1),
            "group0.betas[0]": Scalar.of(0.9),
        },
        "grad_norm": Scalar.of(3.0),
        "ladder": state,
        "rng": {"torch": "0" * 32},
        "samples": "0" * 32,
        "tensors": {Rung.WEIGHTS: {"w": "0" * 32, "v": "0" * 32}},
    }
    steps = (
        StepRecord(number=INITIAL_STEP, ladder=state),
        StepRecord(number=0, **(fields | changes)),
    )
    end = End(
        metrics={"accuracy": Scalar.of(0.75)} if metrics is None else metrics,
        final={Rung.WEIGHTS: "a" * 64},
    )
    return Trace(header=HEADER, steps=steps, end=end)


def ladder(*changed: Rung) -> dict[Rung, str]:
    return {**trace().steps[1].ladder, **dict.fromkeys(changed, "1" * 32)}


def verdict(
    current: Trace, tolerance: dict[str, Tolerance] | None = None, *, golden: Trace | None = None
) -> Verdict:
    return compare_traces(golden or trace(), current, tolerance=tolerance or {}).verdict


def loss(value: float, dtype: str = "float64") -> dict[str, Scalar]:
    return {"loss": Scalar.of(value, dtype)}


@pytest.mark.parametrize("name", ["loss", "*"])
def test_a_named_metric_within_its_tolerance_is_rounding(name: str) -> None:
    comparison = compare_traces(trace(), trace(scalars=loss(1.005)), tolerance={name: LOOSE})
    assert comparison.verdict is Verdict.ROUNDING
    assert [d.tolerated for d in comparison.divergences] == [True]


def test_beyond_its_tolerance_it_is_drift() -> None:
    assert verdict(trace(scalars=loss(1.02)), {"loss": LOOSE}) is Verdict.DRIFT


def test_a_tolerance_of_its_own_wins_over_the_star() -> None:
    tolerance = {"*": Tolerance(rtol=1.0), "loss": Tolerance()}
    assert verdict(trace(scalars=loss(1.005)), tolerance) is Verdict.DRIFT


def test_another_metric_stays_strict() -> None:
    assert verdict(trace(scalars=loss(1.005)), {"accuracy": LOOSE}) is Verdict.DRIFT


def test_the_tolerance_is_relative_to_the_golden() -> None:
    tolerance = Tolerance(rtol=0.5)
    assert verdict(
        trace(scalars=loss(1.5)), {"loss": tolerance}, golden=trace(scalars=loss(1.0))
    ) is (Verdict.ROUNDING)
    assert verdict(
        trace(scalars=loss(0.9)), {"loss": tolerance}, golden=trace(scalars=loss(2.0))
    ) is (Verdict.DRIFT)


@pytest.mark.parametrize(
    ("golden", "current", "expected"),
    [
        (0.0, -0.0, Verdict.ROUNDING),
        (0.0, 5e-324, Verdict.DRIFT),
        (math.inf, math.inf, Verdict.IDENTICAL),
        (math.inf, -math.inf, Verdict.DRIFT),
        (1.0, math.inf, Verdict.DRIFT),
        (1.0, math.nan, Verdict.DRIFT),
        (math.nan, 1.0, Verdict.DRIFT),
        (math.nan, math.nan, Verdict.IDENTICAL),
        (math.nan, -math.nan, Verdict.DRIFT),
        (2**60, 2**60 + 1, Verdict.DRIFT),
    ],
)
def test_special_values_are_never_forgiven(golden: Any, current: Any, expected: Verdict) -> None:
    left, right = ({"loss": Scalar.of(value)} for value in (golden, current))
    assert (
        verdict(trace(scalars=right), {"loss": Tolerance()}, golden=trace(scalars=left)) is expected
    )


def test_neighbouring_integers_above_2_to_the_53_are_within_one() -> None:
    left, right = ({"loss": Scalar.of(value)} for value in (2**60, 2**60 + 1))
    tolerance = Tolerance(atol=1.0)
    assert (
        verdict(trace(scalars=right), {"loss": tolerance}, golden=trace(scalars=left))
        is Verdict.ROUNDING
    )


def test_another_format_is_never_within_a_tolerance() -> None:
    assert verdict(trace(scalars=loss(1.0, "float32")), {"loss": LOOSE}) is Verdict.DRIFT


@pytest.mark.parametrize("rung", [Rung.GRADIENTS, Rung.OPTIMIZER, Rung.WEIGHTS, Rung.BUFFERS])
def test_floating_state_is_excused_when_a_metric_is_named(rung: Rung) -> None:
    current = trace(ladder=ladder(rung))
    assert verdict(current) is Verdict.DRIFT
    assert verdict(current, {"accuracy": LOOSE}) is Verdict.ROUNDING


@pytest.mark.parametrize("rung", [Rung.STRUCTURE, Rung.BATCH, Rung.RNG])
def test_batches_streams_and_structure_are_never_excused(rung: Rung) -> None:
    assert verdict(trace(ladder=ladder(rung)), {"*": LOOSE}) is Verdict.DRIFT


def test_single_tensors_and_the_final_state_are_excused_like_their_rung() -> None:
    current = trace(
        ladder=ladder(Rung.WEIGHTS), tensors={Rung.WEIGHTS: {"w": "1" * 32, "v": "0" * 32}}
    )
    current = replace(current, end=replace(current.end, final={Rung.WEIGHTS: "b" * 64}))
    comparison = compare_traces(trace(), current, tolerance={"*": LOOSE})
    assert comparison.verdict is Verdict.ROUNDING
    assert [d.name for d in comparison.divergences] == ["w", "final weights"]


@pytest.mark.parametrize(
    "changes",
    [
        {"tensors": {Rung.WEIGHTS: {"w": "0" * 32}}},
        {"tensors": {}},
        {"ladder": {Rung.BATCH: "0" * 32}},
        {"grad_norm": None},
        {"grad_norm": Scalar.of(math.inf)},
        {"grad_norm": Scalar.of(math.nan)},
        {"grad_norm": Scalar.of(3.0, "float32")},
        {"scalars": {}},
        {"scalars": {"loss": Scalar.of(1.0), "new": Scalar.of(1.0)}},
        {"metrics": {}},
        {"rng": {}},
        {"samples": "1" * 32},
        {"hyperparameters": {}},
    ],
    ids=str,
)
def test_what_is_missing_extra_or_broken_is_never_excused(changes: dict[str, Any]) -> None:
    assert verdict(trace(**changes), {"*": Tolerance(rtol=1e300)}) is Verdict.DRIFT


def test_the_gradient_norm_is_excused_unless_it_is_named() -> None:
    current = trace(grad_norm=Scalar.of(4.0))
    assert verdict(current, {"accuracy": LOOSE}) is Verdict.ROUNDING
    assert verdict(current, {"accuracy": LOOSE, "grad_norm": LOOSE}) is Verdict.DRIFT
    assert verdict(current, {"grad_norm": Tolerance(atol=1.0)}) is Verdict.ROUNDING


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("lr", Verdict.ROUNDING),
        ("group0.lr", Verdict.ROUNDING),
        ("group1.lr", Verdict.DRIFT),
        ("*", Verdict.DRIFT),
        ("r", Verdict.DRIFT),
    ],
)
def test_a_hyperparameter_is_forgiven_by_its_own_name_only(name: str, expected: Verdict) -> None:
    before = trace().steps[1].hyperparameters
    current = trace(hyperparameters={**before, "group0.lr": Scalar.of(0.1001)})
    assert verdict(current, {name: LOOSE}) is expected


def test_the_name_of_a_vector_reaches_its_items() -> None:
    before = trace().steps[1].hyperparameters
    current = trace(hyperparameters={**before, "group0.betas[0]": Scalar.of(0.9001)})
    assert verdict(current, {"betas": LOOSE}) is Verdict.ROUNDING


def test_a_tolerance_for_the_learning_rate_does_not_excuse_the_weights() -> None:
    assert verdict(trace(ladder=ladder(Rung.WEIGHTS)), {"lr": LOOSE}) is Verdict.DRIFT


def test_a_misspelt_name_loosens_nothing_and_is_noted() -> None:
    comparison = compare_traces(
        trace(), trace(ladder=ladder(Rung.WEIGHTS)), tolerance={"acuracy": LOOSE}
    )
    assert comparison.verdict is Verdict.DRIFT
    assert comparison.notes == (
        "the tolerance for acuracy is unused: nothing of that name was recorded",
    )


def test_the_first_divergence_is_the_first_that_is_not_tolerated() -> None:
    current = trace(
        scalars={"loss": Scalar.of(1.005)},
        rng={"torch": "0" * 32},
        metrics={"accuracy": Scalar.of(0.5)},
    )
    comparison = compare_traces(trace(), current, tolerance={"loss": LOOSE})
    assert comparison.first is not None
    assert comparison.first.name == "accuracy"
    assert len(comparison.divergences) == 2
