"""Models, optimizers, numbers and batches that are not as usual, recorded all the same."""

from __future__ import annotations

import weakref
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from small_training import HEADER
from torch import nn

from goldtrace.errors import RecordingError
from goldtrace.model.scalar import Scalar
from goldtrace.model.verdict import Rung
from goldtrace.recording.batch import digest_batch
from goldtrace.recording.recorder import GoldenRun
from goldtrace.recording.tape import Tape


def recorder(*, taped: tuple[int, ...] = ()) -> GoldenRun:
    return GoldenRun(
        name="odd",
        seed=0,
        device="cpu",
        config={},
        header=lambda data: replace(HEADER, data=data),
        tape=Tape(taped, root=Path.cwd()),
    )


@pytest.fixture
def run() -> GoldenRun:
    return recorder()


def backward(model: nn.Module) -> None:
    model.zero_grad()
    model(torch.ones(2, 3)).sum().backward()


# --- numbers and batches --------------------------------------------------------------------------


def test_a_loss_in_a_format_that_traces_lack_is_refused_at_its_step(run):
    with pytest.raises(RecordingError, match="step 0: loss is not a single real number"):
        run.step(loss=torch.tensor(1.0).to(torch.float8_e4m3fn))


def test_an_array_of_objects_is_refused_by_its_place():
    with pytest.raises(RecordingError, match=r"batch\['names'\] can't be digested") as caught:
        digest_batch({"names": np.array(["a", "bc"], dtype=object)}, where="here")
    assert "numpy.ndarray of object" in str(caught.value)


@pytest.mark.skipif(np.finfo(np.longdouble).nmant != 63, reason="long double without padding")
@pytest.mark.parametrize("dtype", [np.longdouble, np.clongdouble])
def test_what_lies_between_long_doubles_is_not_part_of_their_digest(dtype):
    one, other = np.arange(3).astype(dtype), np.arange(3).astype(dtype)
    one.view(np.uint8).reshape(-1, 16)[:, 10:] = 1
    other.view(np.uint8).reshape(-1, 16)[:, 10:] = 2
    digests = {digest_batch(each, where="").whole for each in (one, other, other + 1)}
    assert len(digests) == 2
