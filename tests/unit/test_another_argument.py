"""Which arguments of operators count as others, and whom a changed learning rate is laid on."""

from __future__ import annotations

import dataclasses
from typing import TYPE_CHECKING

import pytest
import torch
from golden_samples import header

from goldtrace.compare import compare_traces
from goldtrace.diagnose import diagnose
from goldtrace.diagnose.arguments import another_argument
from goldtrace.model.diagnosis import Cause
from goldtrace.model.scalar import Scalar
from goldtrace.model.tape import Call, Phase, TapedStep
from goldtrace.model.trace import INITIAL_STEP, End, StepRecord, Trace
from goldtrace.model.verdict import Rung
from goldtrace.recording.contents import Contents

if TYPE_CHECKING:
    from collections.abc import Mapping


def taped(gradient: torch.Tensor, arguments: Mapping[str, str], rate: float) -> TapedStep:
    contents = Contents()
    inputs, weight = contents.place_of(torch.arange(1.0, 5.0)), torch.ones(4)
    before = contents.place_of(weight)
    contents.written(gradient)
    backward = contents.place_of(gradient)
    after = weight - rate * gradient
    contents.written(after)
    calls = (
        Call(op="aten::mm", phase=Phase.BACKWARD, place=0, inputs=(inputs,), outputs=(backward,)),
        Call(
            op="aten::add_.Tensor",
            phase=Phase.OPTIMIZER,
            place=1,
            arguments=dict(arguments),
            inputs=(before, backward),
            outputs=(contents.place_of(after),),
        ),
    )
    return TapedStep(number=0, values=tuple(contents.values()), calls=calls)


def trace(gradient: torch.Tensor, rate: float, arguments: Mapping[str, str]) -> Trace:
    step = StepRecord(
        number=0,
        scalars={"loss": Scalar.of(1.0)},
        hyperparameters={"group0.lr": Scalar.of(rate)},
        ladder={Rung.GRADIENTS: str(gradient.tolist())},
    )
    return Trace(
        header=header(),
        steps=(StepRecord(number=INITIAL_STEP), step),
        end=End(),
        tape=(taped(gradient, arguments, rate),),
    )


@pytest.mark.parametrize(
    ("before", "after", "tells"),
    [
        ("0.1", "0.2", True),
        ("0.1", "0.100001", False),
        ("1.0", "nan", True),
        ("nan", "1.0", True),
        ("nan", "nan", False),
        ("inf", "-inf", True),
        ("2", "2.5", True),
        ("2", "3", False),
        ("[0.1, 0.1]", "[0.1, 0.2]", True),
        ("[0.1, 0.1]", "[0.1, 0.1]", False),
        ("cpu", "cuda", False),
    ],
)
def test_another_number_counts_and_a_layout_does_not(before, after, tells):
    gradient = torch.arange(1.0, 5.0)
    one, other = (trace(gradient, 0.1, {"alpha": text}) for text in (before, after))
    assert (another_argument(one, other) is not None) is tells


def test_a_learning_rate_is_laid_on_the_operator_that_was_given_it():
    gradient = torch.arange(1.0, 5.0)
    near = gradient * torch.tensor([1 + 2**-23, 1, 1, 1])
    golden = trace(gradient, 0.1, {"alpha": "-0.1"})
    now = trace(near, 0.2, {"alpha": "-0.2"})
    comparison = compare_traces(golden, now, tolerance={})
    found = diagnose(golden, now, comparison)
    assert found is not None
    assert found.cause is Cause.ARGUMENT
    assert [culprit.op for culprit in found.culprits] == ["aten::add_.Tensor"]


def test_a_taped_step_of_one_side_says_nothing():
    gradient = torch.arange(1.0, 5.0)
    one, other = (trace(gradient, 0.1, {"alpha": text}) for text in ("0.1", "0.2"))
    assert another_argument(one, dataclasses.replace(other, tape=())) is None
