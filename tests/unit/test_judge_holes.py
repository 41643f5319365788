"""What somebody might hide from the judge as rounding, and what it must not call drift."""

from __future__ import annotations

import dataclasses
import math
from functools import cache
from typing import TYPE_CHECKING

import pytest
import torch
from small_training import calibration, compare, golden, train, with_step

from goldtrace.compare.calibration import equivalent_noise, judge_by
from goldtrace.compare.distances import Distance, number_distance
from goldtrace.compare.thresholds import NOISES, SPREAD
from goldtrace.model.calibration import Calibration, Response
from goldtrace.model.noise import Noise
from goldtrace.model.scalar import Scalar
from goldtrace.model.verdict import Rung, Verdict
from goldtrace.recording.sketch import start_sketches

if TYPE_CHECKING:
    from torch import nn

    from goldtrace.model.trace import Trace

LAST = 5


@cache
def rounded() -> Trace:
    """The golden's training with a little noise: everything differs, by rounding."""
    return train(noise=Noise(ulp=3, seed=99))


def with_sketch(trace: Trace, step: int, rung: Rung, name: str, factor: float) -> Trace:
    """One tensor that has moved further at one step."""
    [record] = [each for each in trace.steps if each.number == step]
    moved = {**record.sketches[rung], name: tuple(factor * v for v in record.sketches[rung][name])}
    return with_step(trace, step, sketches={**record.sketches, rung: moved})


def forgetting(rung: Rung, name: str, response: Response) -> Calibration:
    """The calibration with another response of one tensor at every step."""
    steps = {step: {**named, name: response} for step, named in calibration().tensors[rung].items()}
    return dataclasses.replace(calibration(), tensors={**calibration().tensors, rung: steps})


def test_a_little_noise_is_rounding_which_all_below_rests_on():
    assert compare(rounded()).verdict is Verdict.ROUNDING


def test_a_change_of_the_weights_after_everything_else_is_sketched_at_the_last_step():
    def scale(model: nn.Module) -> None:
        model[3].weight.data.mul_(1.01)

    assert golden().steps[-1].sketches.keys() == golden().steps[0].sketches.keys()
    assert compare(train(reverse=True, finally_=scale)).verdict is Verdict.DRIFT


def test_a_change_in_a_buffer_alone_is_drift():
    def shift(model: nn.Module) -> None:
        model[2].running_mean.add_(1e-3)

    assert compare(train(reverse=True, finally_=shift)).verdict is Verdict.DRIFT


@pytest.mark.parametrize("rung", [Rung.WEIGHTS, Rung.BUFFERS])
def test_one_small_tensor_among_many_is_enough(rung):
    name = "2.bias" if rung is Rung.WEIGHTS else "2.running_mean"
    assert compare(with_sketch(rounded(), 4, rung, name, 1.001)).verdict is Verdict.DRIFT


def test_a_tensor_that_is_lost_in_noise_may_not_move_further_than_noise_has_moved_it():
    moved = math.hypot(*golden().steps[1].sketches[Rung.WEIGHTS]["0.bias"])
    lost = forgetting(Rung.WEIGHTS, "0.bias", Response(0.5 * moved, moved))
    assert compare(rounded(), calibration=lost).verdict is Verdict.ROUNDING
    beyond = with_sketch(rounded(), 0, Rung.WEIGHTS, "0.bias", 2 + SPREAD)
    comparison = compare(beyond, calibration=lost)
    assert comparison.verdict is Verdict.DRIFT
    assert "0.bias" in comparison.notes[0]


def test_weights_beyond_their_horizon_may_not_move_further_than_noise_has_moved_them():
    short = {**calibration().horizons, Rung.WEIGHTS.value: 0}
    known = dataclasses.replace(calibration(), horizons=short)
    assert compare(rounded(), calibration=known).verdict is Verdict.ROUNDING
    other = with_sketch(rounded(), 4, Rung.WEIGHTS, "3.weight", 1.5)
    assert compare(other, calibration=known).verdict is Verdict.DRIFT


def test_what_lies_beyond_the_horizon_is_said():
    known = dataclasses.replace(calibration(), horizons={**calibration().horizons, "loss": 2})
    comparison = compare(rounded(), calibration=known)
    assert any("after step 2" in note and "loss" in note for note in comparison.notes)
    assert not any("after step" in note for note in compare(rounded()).notes)
    assert not any("after step" in note for note in compare(train(), calibration=known).notes)


@pytest.mark.parametrize("lost", [Response(math.inf, math.inf), Response(1e-9, math.inf)])
def test_an_infinite_response_lets_nothing_pass(lost):
    scalars = {**calibration().scalars, "loss": dict.fromkeys(range(LAST + 1), lost)}
    horizons = {**calibration().horizons, "loss": -1}
    known = dataclasses.replace(calibration(), scalars=scalars, horizons=horizons)
    assert compare(rounded(), calibration=known).verdict is Verdict.DRIFT
    metrics = dataclasses.replace(calibration(), metrics={"final": lost})
    final = golden().end.metrics["final"]
    end = dataclasses.replace(
        golden().end, metrics={"final": Scalar.of(final.value + final.ulp(), final.dtype)}
    )
    moved = dataclasses.replace(golden(), end=end)
    assert compare(moved).verdict is Verdict.ROUNDING
    assert compare(moved, calibration=metrics).verdict is Verdict.DRIFT
    tensors = forgetting(Rung.WEIGHTS, "3.weight", lost)
    assert compare(rounded(), calibration=tensors).verdict is Verdict.DRIFT


def test_a_tensor_that_neither_training_nor_noise_moves_may_not_move():
    still = forgetting(Rung.WEIGHTS, "3.bias", Response(0.0, 0.0))
    other = with_sketch(golden(), 4, Rung.WEIGHTS, "3.bias", 1.01)
    assert judge_by(still, golden(), other).ulp > 1_000


@pytest.mark.parametrize("difference", [1e-30, 1.0, math.inf])
def test_a_tensor_of_zeros_that_never_moved_is_infinitely_far_from_any_other(difference):
    known = Calibration(golden="", noises=NOISES)
    ulp = equivalent_noise(known, Response(0.0, 0.0), Distance(difference, 0.0, 0.0))
    assert ulp == math.inf


def test_a_tensor_that_was_not_calibrated_is_never_explained():
    known = calibration().tensors
    without = {
        step: {name: each for name, each in named.items() if name != "0.weight"}
        for step, named in known[Rung.WEIGHTS].items()
    }
    partial = dataclasses.replace(calibration(), tensors={**known, Rung.WEIGHTS: without})
    comparison = compare(rounded(), calibration=partial)
    assert comparison.verdict is Verdict.DRIFT
    assert any("0.weight" in note for note in comparison.notes)


@pytest.mark.parametrize("dtype", ["complex64", "complex128", "float8_e4m3fn", "float8_e5m2"])
def test_every_floating_point_format_is_judged(dtype):
    structure = {**golden().steps[0].tensors[Rung.STRUCTURE], "3.bias": f"{dtype}[5] trainable"}

    def of_format(trace: Trace) -> Trace:
        tensors = {**trace.steps[0].tensors, Rung.STRUCTURE: structure}
        return with_step(trace, -1, tensors=tensors)

    moved = with_sketch(rounded(), 4, Rung.WEIGHTS, "3.bias", 3.0)
    judgement = judge_by(calibration(), of_format(golden()), of_format(moved))
    assert judgement.ulp > 64


def test_a_gradient_norm_far_from_what_noise_does_is_drift_though_no_weight_shows_it():
    norm = golden().steps[3].grad_norm
    other = Scalar.of(norm.value * 1.5, norm.dtype)
    assert compare(with_step(rounded(), 2, grad_norm=other)).verdict is Verdict.DRIFT


def test_a_loss_read_as_a_python_number_is_known_no_better_than_the_tensor_it_was():
    """``loss.item()`` is recorded as float64, but holds a float32."""
    value = float(torch.tensor(2.3))
    unit = 2.0**-22
    distance = number_distance(Scalar.of(value), Scalar.of(value + unit))
    assert distance is not None
    assert distance.resolution >= unit
    mean = number_distance(Scalar.of(value / 3), Scalar.of(value / 3 + unit / 3))
    assert mean is not None
    assert mean.resolution >= unit / 3
    figure = number_distance(Scalar.of(34 / 105), Scalar.of(35 / 105))
    assert figure is not None
    assert figure.difference > 1_000 * figure.resolution


@pytest.mark.parametrize("apart", [65_536, 131_072])
def test_rows_that_change_places_show_in_a_sketch_whatever_lies_between_them(apart):
    torch.manual_seed(0)
    tensor = torch.randn(3 * 65_536)
    hidden = 0
    for place in range(12):
        name = f"experts{place}"
        swapped = tensor.clone()
        swapped[:500], swapped[apart : apart + 500] = tensor[apart : apart + 500], tensor[:500]
        one, other = (start_sketches({name: each})()[name] for each in (tensor, swapped))
        moved = math.hypot(*(a - b for a, b in zip(one, other, strict=True)))
        hidden += moved < 0.1 * float((tensor - swapped).norm())
    assert hidden == 0
