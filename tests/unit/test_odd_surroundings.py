"""Modes, memory and defaults of torch that a training runs with, or leaves behind."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from goldtrace.errors import EntryPointError, RecordingError
from goldtrace.launch import launch
from goldtrace.model.codec import TAPE, encode_trace
from goldtrace.model.noise import Noise
from goldtrace.model.spec import RunSpec

if TYPE_CHECKING:
    from pathlib import Path

TRAININGS = """
import torch
from torch import nn

def steps(run, model, x, count=2):
    optimizer = torch.optim.SGD(model.parameters(), lr=0.01)
    run.watch(model=model, optimizer=optimizer)
    for _ in range(count):
        found = model(x)
        loss = (found[0] if isinstance(found, tuple) else found).square().mean()
        loss.backward()
        optimizer.step()
        optimizer.zero_grad()
        yield loss

def lstm(run):
    for loss in steps(run, nn.LSTM(13, 17, batch_first=True), torch.randn(5, 9, 13)):
        torch.rand_like(torch.empty(3))  # is given what lies in memory, and reads none of it
        run.step(loss=loss)

def step_in_inference_mode(run):
    for loss in steps(run, nn.Linear(13, 5), torch.randn(7, 13)):
        with torch.inference_mode():
            run.step(loss=loss)

def watch_in_inference_mode(run):
    with torch.inference_mode():
        run.watch(model=nn.Linear(13, 5))

def metric_in_inference_mode(run):
    model, x = nn.Linear(13, 5), torch.randn(7, 13)
    for loss in steps(run, model, x):
        run.step(loss=loss)
    with torch.inference_mode():  # while step 2, which will not come, is on the tape
        run.metric(mean=model(x).mean())
    torch.randn(3)

def default_device(run):
    model, x = nn.Linear(13, 5), torch.randn(7, 13)
    torch.set_default_device("meta")  # as "cuda", where there is one
    for loss in steps(run, model, x):
        run.step(loss=loss)
"""


@pytest.fixture
def root(tmp_path: Path) -> Path:
    (tmp_path / "trainings.py").write_text(TRAININGS, encoding="ascii")
    return tmp_path


def spec(name: str, *tape: int) -> RunSpec:
    return RunSpec(name="odd", entry=f"trainings:{name}", tape=tape)


def test_memory_that_nobody_wrote_is_the_same_on_every_tape(root: Path) -> None:
    one, other = (
        launch(spec("lstm", 0), "cpu", root=root, environment={"MALLOC_PERTURB_": garbage})
        for garbage in ("85", "170")
    )
    assert one.tape
    assert encode_trace(one)[TAPE] == encode_trace(other)[TAPE]


@pytest.mark.parametrize("method", ["watch", "step"])
def test_recording_in_inference_mode_is_one_clear_error(root: Path, method: str) -> None:
    with pytest.raises((RecordingError, EntryPointError), match="in inference mode") as caught:
        launch(spec(f"{method}_in_inference_mode", 0), "cpu", root=root)
    assert "no_grad" in str(caught.value)


def test_metrics_may_be_taken_in_inference_mode_while_a_tape_is_on(root: Path) -> None:
    trace = launch(spec("metric_in_inference_mode", 0, 2), "cpu", root=root)
    assert [step.number for step in trace.tape] == [0]
    assert "mean" in trace.end.metrics


def test_a_training_with_another_default_device_can_be_calibrated(root: Path) -> None:
    trace = launch(spec("default_device"), "cpu", root=root, noise=Noise(ulp=1.0, seed=1))
    assert trace.step_count == 2
