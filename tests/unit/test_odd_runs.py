"""Runs that a calibration must take, or refuse with a reason, without letting anything pass."""

from __future__ import annotations

import dataclasses
import math
from functools import cache
from typing import TYPE_CHECKING, Any

import pytest
import torch
from small_training import HEADER
from torch import nn

from goldtrace.compare import compare_traces
from goldtrace.compare.measure import measure
from goldtrace.compare.thresholds import NOISES
from goldtrace.errors import NotRepeatableError
from goldtrace.model.calibration_codec import decode_calibration, encode_calibration
from goldtrace.model.noise import Noise
from goldtrace.model.verdict import Rung, Verdict
from goldtrace.recording.recorder import GoldenRun
from goldtrace.workflow.calibrating import can_calibrate

if TYPE_CHECKING:
    from goldtrace.model.calibration import Calibration
    from goldtrace.model.trace import Trace

STEPS = {"one step": 1}
ROUNDS = (
    "one step",
    "bfloat16",
    "float64",
    "empty tensor",
    "frozen",
    "zero tensor",
    "complex",
    "mask",
    "late mask",
    "late tensor",
)
BROKEN = ("nan", "infinite")


class Model(nn.Module):
    """A linear layer, with whatever a kind of run has beside it."""

    def __init__(self, kind: str) -> None:
        super().__init__()
        self.layer = nn.Linear(11, 7)
        self.out = nn.Linear(7, 3)
        if kind == "empty tensor":
            self.nothing = nn.Parameter(torch.empty(0, 3))
            self.register_buffer("none", torch.empty(0))
        if kind == "frozen":
            self.layer.requires_grad_(requires_grad=False)
        if kind == "zero tensor":
            self.unused = nn.Parameter(torch.zeros(5))
            self.register_buffer("zeros", torch.zeros(5))
        if kind == "mask":
            self.register_buffer("mask", torch.full((3, 3), -math.inf).triu(1))
        if kind == "late mask":
            self.register_buffer("mask", torch.zeros(3, 3))
        if kind == "complex":
            self.spectrum = nn.Parameter(torch.view_as_complex(torch.randn(6, 2)))

    def forward(self, inputs: torch.Tensor) -> torch.Tensor:
        """``[batch, 11]`` to ``[batch, 3]``."""
        hidden = self.out(self.layer(inputs).tanh())
        if hasattr(self, "spectrum"):
            hidden = hidden + torch.fft.irfft(self.spectrum).sum() / 9
        return hidden


def train(kind: str, noise: Noise | None = None, rate: float = 0.05, late: float = 1.0) -> Trace:
    torch.manual_seed(3)
    run = GoldenRun(
        name=kind,
        seed=0,
        device="cpu",
        config={},
        header=lambda data: dataclasses.replace(HEADER, data=data),
        noise=noise,
    )
    dtype = {"bfloat16": torch.bfloat16, "float64": torch.float64}.get(kind, torch.float32)
    model = Model(kind)
    if dtype is not torch.float32:
        model = model.to(dtype)
    inputs, labels = torch.randn(8, 11).to(dtype), torch.randn(8, 3).to(dtype)
    optimizer = torch.optim.SGD(model.parameters(), lr=rate, momentum=0.9)
    run.watch(model=model, optimizer=optimizer)
    for step in range(STEPS.get(kind, 4)):
        loss = (model(inputs) - labels).square().mean()  # torch 2.4 has no mse_loss of bfloat16
        if kind == "zero gradient":
            loss = loss * 0
        if kind in BROKEN and step == 2:
            loss = loss * (math.nan if kind == "nan" else math.inf)
        loss.backward()
        optimizer.step()
        optimizer.zero_grad()
        if kind == "late mask":
            model.mask.copy_(torch.full((3, 3), -math.inf).triu(1))
        if kind == "late tensor" and step == 3:
            model.register_buffer("average", late * model.out.weight.detach())
        run.step(loss=loss)
    return run.finish()


@cache
def golden(kind: str) -> Trace:
    return train(kind)


@cache
def calibration(kind: str) -> Calibration:
    found = measure(golden(kind), [(noise, train(kind, noise)) for noise in NOISES])
    return decode_calibration(encode_calibration(found))


def verdict(kind: str, current: Trace, **options: Any) -> Verdict:
    options = {"tolerance": {}, "calibration": calibration(kind), **options}
    return compare_traces(golden(kind), current, **options).verdict


def without_rates(trace: Trace, kind: str) -> Trace:
    steps = [
        dataclasses.replace(step, hyperparameters=other.hyperparameters)
        for step, other in zip(trace.steps, golden(kind).steps, strict=True)
    ]
    return dataclasses.replace(trace, steps=tuple(steps))


@pytest.mark.parametrize("kind", [*ROUNDS, *BROKEN])
def test_the_same_bits_are_identical(kind):
    assert verdict(kind, train(kind)) is Verdict.IDENTICAL


@pytest.mark.parametrize("kind", ROUNDS)
def test_a_little_noise_is_rounding(kind):
    assert verdict(kind, train(kind, Noise(ulp=2, seed=77))) is Verdict.ROUNDING


@pytest.mark.parametrize("kind", ROUNDS)
def test_another_learning_rate_is_drift_by_the_trajectory_alone(kind):
    # bfloat16 keeps two digits: smaller changes than this vanish in its rounding.
    rate = 0.1 if kind == "bfloat16" else 0.05005
    assert verdict(kind, without_rates(train(kind, rate=rate), kind)) is Verdict.DRIFT


@pytest.mark.parametrize("kind", BROKEN)
def test_a_run_that_breaks_down_passes_only_bit_for_bit(kind):
    noisy = train(kind, Noise(ulp=2, seed=77))
    assert verdict(kind, noisy) is Verdict.DRIFT
    assert calibration(kind).horizon < 2


def test_a_mask_of_infinities_is_judged_by_its_bits():
    noisy = train("mask", Noise(ulp=2, seed=77))
    *others, last = noisy.steps
    changed = dataclasses.replace(last, ladder={**last.ladder, Rung.BUFFERS: "0" * 32})
    changed = dataclasses.replace(
        changed, tensors={**last.tensors, Rung.BUFFERS: {"mask": "0" * 32}}
    )
    assert verdict("mask", dataclasses.replace(noisy, steps=(*others, changed))) is Verdict.DRIFT


def test_a_tensor_that_came_in_mid_run_is_judged_too():
    noisy = train("late tensor", Noise(ulp=2, seed=77), late=1.5)
    assert verdict("late tensor", noisy) is Verdict.DRIFT


def test_a_mask_that_was_filled_in_mid_run_is_judged_by_its_bits():
    noisy = train("late mask", Noise(ulp=2, seed=77))
    *others, last = noisy.steps
    changed = dataclasses.replace(last, ladder={**last.ladder, Rung.BUFFERS: "0" * 32})
    changed = dataclasses.replace(
        changed, tensors={**last.tensors, Rung.BUFFERS: {"mask": "0" * 32}}
    )
    trace = dataclasses.replace(noisy, steps=(*others, changed))
    assert verdict("late mask", trace) is Verdict.DRIFT


def test_a_run_whose_gradients_are_zero_cannot_be_calibrated_and_says_why():
    with pytest.raises(NotRepeatableError, match="left no mark"):
        calibration("zero gradient")


def test_a_run_without_parameters_is_not_calibrated():
    run = GoldenRun(
        name="none",
        seed=0,
        device="cpu",
        config={},
        header=lambda data: dataclasses.replace(HEADER, data=data),
    )
    run.watch(model=nn.ReLU())
    run.step(loss=1.0)
    assert not can_calibrate(run.finish())


@pytest.mark.parametrize("kind", ROUNDS)
def test_no_response_is_negative_or_nan(kind):
    known = calibration(kind)
    responses = [
        *(each for steps in known.scalars.values() for each in steps.values()),
        *(
            each
            for steps in known.tensors.values()
            for named in steps.values()
            for each in named.values()
        ),
    ]
    assert responses
    assert all(0 <= each.small < math.inf and 0 <= each.large < math.inf for each in responses)
