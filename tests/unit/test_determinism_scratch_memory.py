"""Least squares under the CPU profiles: torch's own answer, from memory that is filled."""

from __future__ import annotations

import pytest
import torch
from torch.utils import deterministic

from goldtrace.determinism import scratch_memory


@pytest.fixture(autouse=True)
def filled():
    scratch_memory.FILLED.begin()
    yield
    scratch_memory.FILLED.end()


@pytest.fixture
def plainly():
    """Torch's own least squares, with the kernel taken away meanwhile."""

    def solve(*args, **kwargs):
        scratch_memory.FILLED.end()
        try:
            return torch.linalg.lstsq(*args, **kwargs)
        finally:
            scratch_memory.FILLED.begin()

    return solve


@pytest.mark.parametrize("driver", ["gels", "gelsy", "gelsd", "gelss"])
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64, torch.complex64])
def test_every_driver_gives_what_torch_gives(plainly, driver, dtype):
    torch.manual_seed(0)
    left, right = torch.randn(2, 7, 3, dtype=dtype), torch.randn(2, 7, 2, dtype=dtype)
    found = torch.linalg.lstsq(left, right, driver=driver)
    for one, other in zip(found, plainly(left, right, driver=driver), strict=True):
        torch.testing.assert_close(one, other)


def test_gradients_pass_through(plainly):
    torch.manual_seed(0)
    left = torch.randn(7, 3, dtype=torch.float64, requires_grad=True)
    right = torch.randn(7, 2, dtype=torch.float64, requires_grad=True)
    found = torch.autograd.grad(torch.linalg.lstsq(left, right).solution.sum(), (left, right))
    expected = torch.autograd.grad(plainly(left, right).solution.sum(), (left, right))
    for one, other in zip(found, expected, strict=True):
        assert torch.allclose(one, other)


def test_nothing_to_solve_and_a_wrong_shape_are_as_ever(plainly):
    assert torch.linalg.lstsq(torch.ones(3, 0), torch.ones(3, 2)).solution.shape == (0, 2)
    with pytest.raises(RuntimeError) as ours:
        torch.linalg.lstsq(torch.ones(3, 2), torch.ones(4, 2))
    with pytest.raises(RuntimeError) as theirs:
        plainly(torch.ones(3, 2), torch.ones(4, 2))
    assert str(ours.value) == str(theirs.value)


def test_memory_is_filled_for_it_alone(monkeypatch):
    monkeypatch.setattr(deterministic, "fill_uninitialized_memory", False)
    seen = []
    own = torch.ops.aten.linalg_lstsq.out
    monkeypatch.setattr(
        torch.ops.aten.linalg_lstsq,
        "out",
        lambda *args, **kwargs: (
            seen.append(deterministic.fill_uninitialized_memory) or own(*args, **kwargs)
        ),
    )
    torch.linalg.lstsq(torch.eye(3), torch.ones(3, 1))
    assert seen == [True]
    assert not deterministic.fill_uninitialized_memory
