"""The course of a comparison: what the faces of a report draw."""

from __future__ import annotations

import dataclasses
import math

import golden_samples
import pytest
from report_samples import LOSSES, calibration, changed, drift, golden, result, rounding

from goldtrace.compare import compare_traces, course_of
from goldtrace.compare.course import STEPS
from goldtrace.model.course import Agreement, Unit
from goldtrace.model.scalar import Scalar
from goldtrace.model.tolerance import Tolerance
from goldtrace.model.trace import INITIAL_STEP
from goldtrace.model.verdict import Rung, Verdict


def rows(outcome):
    return {rung: list(cells) for rung, cells in outcome.course.ladder.items()}


def test_equal_traces_agree_in_every_cell_that_was_recorded() -> None:
    cells = {cell for row in rows(result()).values() for cell in row}
    assert cells == {Agreement.SAME, Agreement.ABSENT}


def test_a_difference_shows_from_its_step_on_in_its_rungs_alone() -> None:
    ladder = rows(drift())
    columns = drift().course.steps
    for rung in (Rung.LOSS, Rung.LR, Rung.WEIGHTS):
        assert [columns[i] for i, c in enumerate(ladder[rung]) if c is Agreement.DIFFERS] == [
            *range(3, len(LOSSES))
        ]
    assert Agreement.DIFFERS not in ladder[Rung.BATCH] + ladder[Rung.RNG]


def test_what_the_calibration_explains_is_tolerated() -> None:
    outcome = rounding()
    assert outcome.verdict.value == "rounding"
    cells = rows(outcome)[Rung.LOSS]
    assert Agreement.TOLERATED in cells
    assert Agreement.DIFFERS not in cells


def test_a_tolerated_run_is_tolerated_beyond_what_a_comparison_lists() -> None:
    def long(factor: float):
        return golden_samples.trace(losses=[factor / (step + 1) for step in range(1, 701)])

    one, other = long(1.0), long(1.0 + 2**-20)
    tolerance = {"loss": Tolerance(rtol=1e-3, atol=0.0)}
    comparison = compare_traces(one, other, tolerance=tolerance)
    assert comparison.verdict is Verdict.ROUNDING
    cells = course_of(one, other, comparison, None).ladder[Rung.LOSS]
    assert Agreement.TOLERATED in cells
    assert Agreement.DIFFERS not in cells


def test_a_step_that_only_one_trace_has_is_one_sided() -> None:
    shorter = dataclasses.replace(golden(), steps=golden().steps[:-2])
    assert rows(result(shorter))[Rung.LOSS][-2:] == [Agreement.ONE_SIDED] * 2


def test_curves_hold_both_traces_and_the_band_of_the_larger_noise() -> None:
    loss, rate = drift().course.curves[:2]
    assert loss.name == "loss"
    assert loss.golden == pytest.approx(LOSSES)
    assert loss.current[3] - loss.golden[3] == pytest.approx(2e-3)
    assert loss.band == (6.4e-6,) * len(LOSSES)
    assert drift().course.noise == 64
    assert (rate.name, rate.golden[3], rate.current[3]) == ("group0.lr", 0.1, 0.1001)


def test_hyperparameters_other_than_learning_rates_are_drawn_only_where_they_differ() -> None:
    assert [curve.name for curve in result().course.curves] == ["loss", "group0.lr"]
    other = golden()
    last = other.steps[-1]
    momentum = {**last.hyperparameters, "group0.momentum": Scalar.of(0.8)}
    steps = (*other.steps[:-1], dataclasses.replace(last, hyperparameters=momentum))
    drawn = result(dataclasses.replace(other, steps=steps)).course.curves
    assert [curve.name for curve in drawn] == ["loss", "group0.lr", "group0.momentum"]


def test_departures_are_equivalent_noise_where_there_is_a_calibration() -> None:
    (loss,) = drift().course.departures
    assert (loss.quantity, loss.unit, loss.horizon) == ("loss", Unit.EQUIVALENT, 8)
    assert loss.ulp[:3] == (0, 0, 0)
    assert loss.ulp[3] == pytest.approx(2e-3 / 1e-7, rel=0.01)


def test_departures_are_plain_ulp_without_a_calibration() -> None:
    other = changed(golden(), since=3, by=2e-3)
    (loss,) = result(other, calibrated=False).course.departures
    assert (loss.unit, loss.horizon) == (Unit.ULP, None)
    assert loss.ulp[2] == 0
    assert loss.ulp[3] > 1000


@pytest.mark.parametrize("value", [math.nan, math.inf, -math.inf])
def test_a_loss_that_is_no_number_is_kept_as_it_is(value: float) -> None:
    other = golden()
    broken = {"loss": Scalar.of(value, "float32")}
    steps = (*other.steps[:-1], dataclasses.replace(other.steps[-1], scalars=broken))
    course = result(dataclasses.replace(other, steps=steps)).course
    kept = course.curves[0].current[-1]
    assert kept == value or (math.isnan(kept) and math.isnan(value))
    # No distance is told where there is none.
    assert course.departures[0].steps[-1] == len(LOSSES) - 2


def test_negative_zero_differs_from_zero() -> None:
    zero, negative = (golden_samples.trace(losses=(0.5, value)) for value in (0.0, -0.0))
    comparison = compare_traces(zero, negative, tolerance={})
    course = course_of(zero, negative, comparison)
    assert course.ladder[Rung.LOSS] == (Agreement.ABSENT, Agreement.SAME, Agreement.DIFFERS)


def test_a_very_long_run_is_thinned_around_its_first_difference() -> None:
    long = golden_samples.trace(losses=tuple(1 / (1 + n) for n in range(3 * STEPS)))
    other = changed(long, since=601, by=1e-3)
    measured = calibration(long)
    comparison = compare_traces(long, other, tolerance={}, calibration=measured)
    course = course_of(long, other, comparison, measured)
    assert course.stride == 4
    assert len(course.steps) < STEPS
    assert course.steps[0] == INITIAL_STEP
    assert set(range(599, 604)) <= set(course.steps)
    assert len(course.ladder[Rung.LOSS]) == len(course.steps)
