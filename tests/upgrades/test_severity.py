"""How much a difference counts, where no calibration stands behind it."""

from __future__ import annotations

import dataclasses
import math

import pytest
from golden_samples import digest, trace

from goldtrace.compare import compare_traces
from goldtrace.compare.severity import equivalent_noise, kind, severity
from goldtrace.model.scalar import Scalar
from goldtrace.model.upgrade import Severity
from goldtrace.model.verdict import Rung

LOSSES = (2.5, 1.25, 0.625, 0.5)


def judged(one, other):
    comparison = compare_traces(one, other, tolerance={})
    return severity(one, other, comparison), kind(one, other, comparison)


def with_losses(*losses):
    return trace(losses=losses)


def test_equal_traces_differ_in_nothing():
    assert judged(trace(), trace()) == (Severity.NONE, None)


@pytest.mark.parametrize(
    ("relative", "expected"),
    [
        (2.0**-22, Severity.ROUNDING),
        (2.0**-12, Severity.PRECISION),
        (2.0**-4, Severity.BEHAVIOUR),
        (math.inf, Severity.BEHAVIOUR),
        (math.nan, Severity.BEHAVIOUR),
    ],
)
def test_the_first_step_that_differs_tells_the_class(relative, expected):
    other = with_losses(LOSSES[0] * (1 + relative), *LOSSES[1:])
    assert judged(with_losses(*LOSSES), other) == (expected, expected.value)


def test_chaos_at_later_steps_is_not_the_cause():
    other = with_losses(LOSSES[0] * (1 + 2.0**-22), LOSSES[1] * 1.5, *LOSSES[2:])
    assert judged(with_losses(*LOSSES), other)[0] is Severity.ROUNDING


@pytest.mark.parametrize("late", [0.55, math.nan])
def test_a_late_loss_that_moved_by_a_percent_outweighs_all(late):
    other = with_losses(*LOSSES[:-1], late)
    assert judged(with_losses(*LOSSES), other)[0] is Severity.LOSS


def test_two_runs_that_both_diverge_have_the_same_late_loss():
    one = with_losses(*LOSSES[:-1], math.nan)
    other = with_losses(LOSSES[0] * (1 + 2.0**-22), *LOSSES[1:-1], math.nan)
    assert judged(one, other)[0] is Severity.ROUNDING


@pytest.mark.parametrize(
    ("rung", "expected"), [(Rung.BATCH, "data"), (Rung.RNG, "rng"), (Rung.STRUCTURE, "program")]
)
def test_a_rung_that_rounding_cannot_reach_is_behaviour_and_names_its_class(rung, expected):
    one = trace()
    changed = {Rung.STRUCTURE: "float32[3, 2]"} if rung is Rung.STRUCTURE else {}
    first = dataclasses.replace(
        one.steps[1],
        ladder={**one.steps[1].ladder, **({} if changed else {rung: digest(999)})},
        tensors={**one.steps[1].tensors, **({rung: {"new": "float32[1]"}} if changed else {})},
    )
    other = dataclasses.replace(one, steps=(one.steps[0], first, *one.steps[2:]))
    assert judged(one, other) == (Severity.BEHAVIOUR, expected)


def test_digests_alone_are_rounding_until_a_number_differs():
    one = trace()
    last = dataclasses.replace(
        one.steps[1], ladder={**one.steps[1].ladder, Rung.WEIGHTS: digest(999)}
    )
    other = dataclasses.replace(one, steps=(one.steps[0], last, *one.steps[2:]))
    comparison = compare_traces(one, other, tolerance={})
    assert equivalent_noise(one, other, comparison) is None
    assert severity(one, other, comparison) is Severity.ROUNDING


def test_the_noise_is_the_median_of_what_differs():
    one = trace()
    scalars = {name: Scalar.of(1.0, "float32") for name in "abcde"}
    moved = {
        name: Scalar.of(1.0 - relative, "float32")
        for name, relative in zip("abc", (2.0**-20, 2.0**-18, 0.5), strict=True)
    }
    steps = [dataclasses.replace(one.steps[1], scalars=s) for s in (scalars, {**scalars, **moved})]
    left, right = (dataclasses.replace(one, steps=(one.steps[0], step)) for step in steps)
    comparison = compare_traces(left, right, tolerance={})
    assert equivalent_noise(left, right, comparison) == pytest.approx(32, rel=1e-6)
    calibrated = dataclasses.replace(comparison, equivalent_ulp=7.0)
    assert equivalent_noise(left, right, calibrated) == 7.0


def with_end(**metrics):
    one = trace()
    values = {name: Scalar.of(value) for name, value in metrics.items()}
    return dataclasses.replace(one, end=dataclasses.replace(one.end, metrics=values))


@pytest.mark.parametrize(
    ("then", "expected"),
    [
        ({"accuracy": 0.9 * (1 + 2.0**-22)}, Severity.ROUNDING),
        ({"accuracy": 0.1}, Severity.BEHAVIOUR),
        ({"accuracy": math.nan}, Severity.BEHAVIOUR),
        ({}, Severity.BEHAVIOUR),
    ],
)
def test_a_metric_of_the_end_counts_where_no_step_differs(then, expected):
    assert judged(with_end(accuracy=0.9), with_end(**then))[0] is expected


@pytest.mark.parametrize("late", [(math.inf, -math.inf), (1.7e308, 1.7e308)])
def test_losses_that_run_away_are_no_crash(late):
    losses = (2.5, 1.25, 0.6, 0.5, 0.4, 0.3, *late)
    assert judged(with_losses(*losses), with_losses(2.5 * (1 + 2**-22), *losses[1:]))[0] in (
        Severity.ROUNDING,
        Severity.LOSS,
    )
