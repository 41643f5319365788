"""A small network is calibrated and judged in this process."""

from __future__ import annotations

import dataclasses
import math
from typing import TYPE_CHECKING

import pytest
from small_training import calibration, compare, golden, train, with_step, without_rates

from goldtrace.compare.calibration import equivalent_noise
from goldtrace.compare.distances import Distance
from goldtrace.compare.measure import measure
from goldtrace.compare.thresholds import NOISES, ROUNDING_ULP
from goldtrace.errors import GoldenError, NotRepeatableError, RecordingError
from goldtrace.model.calibration import Calibration, Response
from goldtrace.model.calibration_codec import decode_calibration, encode_calibration
from goldtrace.model.codec import decode_trace, encode_trace
from goldtrace.model.noise import Noise
from goldtrace.model.scalar import Scalar
from goldtrace.model.tolerance import Tolerance
from goldtrace.model.verdict import Rung, Verdict
from goldtrace.workflow.calibrating import advice, can_calibrate, seconds_left

if TYPE_CHECKING:
    from torch import nn


def test_the_same_bits_are_identical_and_need_no_calibration():
    comparison = compare(train())
    assert comparison.verdict is Verdict.IDENTICAL
    assert comparison.equivalent_ulp is None


def test_sums_in_another_order_are_rounding_of_about_one_ulp():
    comparison = compare(train(reverse=True))
    assert comparison.verdict is Verdict.ROUNDING
    assert 0 < comparison.equivalent_ulp < 20
    assert {"weights", "loss"} <= {each.quantity for each in comparison.equivalents}
    assert all(divergence.tolerated for divergence in comparison.divergences)


def test_without_a_calibration_the_same_is_drift():
    assert compare(train(reverse=True), calibration=None).verdict is Verdict.DRIFT


def test_a_learning_rate_that_is_off_by_a_thousandth_is_drift_by_its_trajectory_alone():
    comparison = compare(without_rates(train(rate=0.05 * 1.001)))
    assert comparison.verdict is Verdict.DRIFT
    assert comparison.equivalent_ulp > 500
    assert comparison.equivalents[0].ulp == comparison.equivalent_ulp


def test_a_recorded_learning_rate_is_drift_however_small_its_effect():
    comparison = compare(train(rate=math.nextafter(0.05, 1)))
    assert comparison.verdict is Verdict.DRIFT


def test_fresh_noise_of_the_sizes_in_between_is_found_again():
    for ulp in (2.0, 10.0, 40.0):
        found = compare(train(noise=Noise(ulp=ulp, seed=99))).equivalent_ulp
        assert ulp / 5 < found < ulp * 5


def test_the_threshold_can_be_set():
    current = train(noise=Noise(ulp=1000, seed=99))
    assert compare(current).verdict is Verdict.DRIFT
    assert compare(current, rounding_ulp=1e5).verdict is Verdict.ROUNDING
    assert compare(train(reverse=True), rounding_ulp=1e-3).verdict is Verdict.DRIFT


def test_an_explicit_tolerance_wins_for_the_number_that_it_names():
    current = train(reverse=True)
    tight = compare(current, tolerance={"loss": Tolerance(rtol=0, atol=0)})
    assert tight.verdict is Verdict.DRIFT
    assert any(each.name == "loss" and not each.tolerated for each in tight.divergences)
    loose = compare(without_rates(train(rate=0.06)), tolerance={"*": Tolerance(rtol=1, atol=1)})
    assert loose.verdict is Verdict.DRIFT, "the weights are still judged by the calibration"


def test_the_evidence_of_the_first_operator_overrules_the_trajectory_both_ways():
    behaviour = compare(train(reverse=True), operator_class="argument")
    assert behaviour.verdict is Verdict.DRIFT
    assert "overrules" in behaviour.notes[0]
    current = train(noise=Noise(ulp=200, seed=99))
    assert compare(current).verdict is Verdict.DRIFT
    rounding = compare(current, operator_class="rounding")
    assert rounding.verdict is Verdict.ROUNDING
    assert "overrules" in rounding.notes[0]
    far = compare(train(noise=Noise(ulp=20_000, seed=99)), operator_class="rounding")
    assert far.verdict is Verdict.DRIFT, "one operator's rounding does not explain everything"
    rate = compare(train(rate=0.06), operator_class="rounding")
    assert rate.verdict is Verdict.DRIFT, "no rounding explains another learning rate"


@pytest.mark.parametrize("value", [math.nan, math.inf, -math.inf])
def test_a_loss_that_is_no_number_is_never_rounding(value):
    scalars = {"loss": Scalar.of(value, "float32")}
    assert compare(with_step(train(reverse=True), 5, scalars=scalars)).verdict is Verdict.DRIFT


def test_weights_that_are_no_numbers_are_never_rounding():
    def spoil(model: nn.Module) -> None:
        model[3].bias.data[0] = math.nan

    assert compare(train(reverse=True, after=spoil)).verdict is Verdict.DRIFT


def test_another_format_of_the_loss_is_never_rounding():
    loss = golden().steps[1].scalars["loss"]
    scalars = {"loss": Scalar(loss.exact, "float64")}
    assert compare(with_step(train(), 0, scalars=scalars)).verdict is Verdict.DRIFT


def test_another_batch_or_random_stream_is_never_rounding():
    ladder = {**golden().steps[2].ladder, Rung.BATCH: "0" * 32}
    assert compare(with_step(train(), 1, ladder=ladder)).verdict is Verdict.DRIFT
    assert compare(with_step(train(), 1, rng={"torch": "0" * 32})).verdict is Verdict.DRIFT


def test_a_missing_step_is_never_rounding():
    assert compare(train(reverse=True, steps=5)).verdict is Verdict.DRIFT


def test_a_difference_that_nothing_calibrated_shows_is_drift():
    ladder = {**golden().steps[-1].ladder, Rung.OPTIMIZER: "0" * 32}
    comparison = compare(with_step(train(), 5, ladder=ladder))
    assert comparison.verdict is Verdict.DRIFT
    assert "can't tell rounding" in comparison.notes[0]


def test_beyond_its_horizon_a_number_may_scatter_as_noise_has_scattered_it_and_no_further():
    lost = dataclasses.replace(calibration(), horizons={**calibration().horizons, "loss": 2})
    last = golden().steps[-1].scalars["loss"].value
    near, far = last * (1 + 1e-7), last * 1.5
    for value, verdict in ((near, Verdict.ROUNDING), (far, Verdict.DRIFT)):
        current = with_step(train(reverse=True), 5, scalars={"loss": Scalar.of(value, "float32")})
        assert compare(current, calibration=lost).verdict is verdict


def test_initial_weights_that_differ_by_their_last_digit_are_rounding_and_others_are_not():
    current = train(reverse=True)
    start = current.steps[0]
    for factor, verdict in ((1 + 2**-23, Verdict.ROUNDING), (1.01, Verdict.DRIFT)):
        sketches = {
            **start.sketches,
            Rung.WEIGHTS: {
                name: tuple(number * factor for number in sketch)
                for name, sketch in start.sketches[Rung.WEIGHTS].items()
            },
        }
        tensors = {
            **start.tensors,
            Rung.WEIGHTS: dict.fromkeys(start.tensors[Rung.WEIGHTS], "0" * 32),
        }
        moved = with_step(current, start.number, sketches=sketches, tensors=tensors)
        assert compare(moved).verdict is verdict


def test_a_run_whose_losses_do_not_depend_on_the_weights_cannot_be_calibrated():
    with pytest.raises(NotRepeatableError, match="left no mark"):
        measure(golden(), [(noise, golden()) for noise in NOISES])


def test_a_run_that_begins_elsewhere_cannot_be_part_of_a_calibration():
    ladder = {**golden().steps[0].ladder, Rung.WEIGHTS: "0" * 32}
    other = with_step(train(noise=NOISES[0]), -1, ladder=ladder)
    runs = [(NOISES[0], other), *((noise, train(noise=noise)) for noise in NOISES[1:])]
    with pytest.raises(NotRepeatableError, match="did not begin where the golden began") as caught:
        measure(golden(), runs)
    assert caught.value.found == "other weights"


def test_only_a_watched_optimizer_lets_noise_in():
    assert can_calibrate(golden())
    assert not can_calibrate(train(watched=False))


def test_recording_with_noise_shows_in_every_digest_but_not_in_the_initial_state():
    noisy = train(noise=Noise(ulp=1, seed=1))
    assert noisy.steps[0] == golden().steps[0]
    assert noisy.steps[1].ladder[Rung.GRADIENTS] != golden().steps[1].ladder[Rung.GRADIENTS]
    assert noisy.steps[-1].ladder[Rung.RNG] == golden().steps[-1].ladder[Rung.RNG]


def test_sketches_are_taken_before_the_first_step_at_powers_of_two_and_at_the_end():
    assert [step.number for step in golden().steps if step.sketches] == [-1, 0, 1, 2, 4, 5]


@pytest.mark.parametrize(
    ("difference", "response", "ulp"),
    [
        (0.0, Response(1.0, 64.0), 0.0),
        (0.5, Response(1.0, 64.0), 0.5),
        (8.0, Response(1.0, 64.0), 8.0),
        (128.0, Response(1.0, 64.0), 128.0),
        (4.0, Response(1.0, 8.0), 16.0),
        # Lost in noise: the response is taken to grow as the root all the same.
        (8.0, Response(1.0, 1.0), 64.0),
        # Events that only the large noise has seen.
        (80.0, Response(1e-9, 640.0), 1.0),
        (640.0, Response(0.0, 640.0), 64.0),
    ],
)
def test_the_equivalent_noise_inverts_the_response(difference, response, ulp):
    noises = (Noise(ulp=1, seed=1), Noise(ulp=64, seed=2))
    known = Calibration(golden="", noises=noises)
    distance = Distance(difference, 1.0, 0.0)
    assert equivalent_noise(known, response, distance) == pytest.approx(ulp)


def test_a_number_is_not_known_better_than_its_own_last_digits():
    known = Calibration(golden="", noises=NOISES)
    exact = equivalent_noise(known, Response(0.0, 0.0), Distance(1e-7, 1.0, 4e-7))
    assert exact <= ROUNDING_ULP


def test_a_calibration_reads_back_as_it_was_written():
    data = encode_calibration(calibration())
    again = decode_calibration(data)
    assert encode_calibration(again) == data
    assert again.horizons == calibration().horizons
    assert again.noises == NOISES
    response = calibration().scalars["loss"][3]
    assert again.scalars["loss"][3].large == pytest.approx(response.large, rel=1e-2)


@pytest.mark.parametrize(
    ("before", "after"),
    [
        (b'"loss": 5', b'"loss": 6'),
        (b'"schema": 1', b'"schema": 9'),
        (b"1.0 1", b"1.0 x"),
        (b"}", b""),
    ],
)
def test_a_damaged_calibration_is_told(before, after):
    data = encode_calibration(calibration())
    assert before in data
    with pytest.raises(GoldenError):
        decode_calibration(data.replace(before, after, 1))


def test_sketches_read_back_bit_for_bit():
    files = encode_trace(golden())
    assert decode_trace(files) == golden()
    assert decode_trace(files).steps[1].sketches == golden().steps[1].sketches


def test_sketches_of_different_lengths_are_refused():
    sketches = {Rung.WEIGHTS: {"a": (1.0,), "b": (1.0, 2.0)}}
    with pytest.raises(RecordingError):
        encode_trace(with_step(golden(), 0, sketches=sketches))


def test_a_run_with_a_short_horizon_is_warned_about():
    assert advice(calibration(), golden()) is None
    chaotic = dataclasses.replace(calibration(), horizons={"loss": 4, "weights": 0})
    assert "weights" in (advice(chaotic, golden()) or "")


def test_a_calibration_takes_at_most_eight_further_runs_of_two_sizes():
    assert len(NOISES) <= 8
    assert len({noise.ulp for noise in NOISES}) == 2
    assert len({noise.seed for noise in NOISES}) == len(NOISES)


@pytest.mark.parametrize(
    ("done", "jobs", "left"),
    [(0, 1, 60), (0, 4, 20), (1, 2, 25), (2, 2, 20), (5, 1, 10), (6, 2, 0)],
)
def test_the_estimate_counts_the_runs_that_train_side_by_side(done, jobs, left):
    assert seconds_left(done, jobs, 10.0) == left
