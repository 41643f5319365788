from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
import torch

from goldtrace.determinism.square_root import SQUARE_ROOT

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator


@pytest.fixture
def replaced() -> Iterator[None]:
    SQUARE_ROOT.begin()
    yield
    SQUARE_ROOT.end()


@pytest.fixture
def values() -> torch.Tensor:
    draw = torch.Generator().manual_seed(7)
    return torch.rand(10_007, generator=draw) * 3 + 1e-9


def bits(x: torch.Tensor) -> bytes:
    return x.contiguous().numpy().tobytes()


def exact(x: torch.Tensor) -> bytes:
    return np.sqrt(x.numpy().astype(np.float64)).astype(np.float32).tobytes()


@pytest.mark.parametrize(
    "root",
    [
        torch.sqrt,
        lambda x: x.clone().sqrt_(),
        lambda x: torch.sqrt(x, out=torch.empty(0)),
        lambda x: x**0.5,
        lambda x: x.clone().pow_(0.5),
        lambda x: torch._foreach_sqrt([x])[0],
        lambda x: torch.sqrt(x.clone().requires_grad_()).detach(),
    ],
    ids=["sqrt", "sqrt_", "out", "pow", "pow_", "foreach", "autograd"],
)
def test_every_way_to_a_square_root_is_correctly_rounded(
    replaced: None, values: torch.Tensor, root: Callable[[torch.Tensor], torch.Tensor]
) -> None:
    assert bits(root(values)) == exact(values)


def test_special_values_keep_their_meaning(replaced: None) -> None:
    subnormal = math.ldexp(1.0, -149)
    x = torch.tensor([0.0, -0.0, math.inf, math.nan, -1.0, subnormal, 4.0])

    result = torch.sqrt(x).tolist()

    assert result[0] == 0.0
    assert math.copysign(1, result[1]) == -1.0
    assert result[2] == math.inf
    assert math.isnan(result[3])
    assert math.isnan(result[4])
    assert result[5] == pytest.approx(math.ldexp(1.0, -75) * math.sqrt(2))
    assert result[6] == 2.0


@pytest.mark.parametrize(
    "x",
    [
        torch.tensor(2.0),
        torch.empty(0, 3),
        torch.arange(5),
        torch.tensor([True, False]),
        torch.rand(3, dtype=torch.float64),
        torch.rand(37).bfloat16(),
        torch.rand(37).half(),
        torch.complex(torch.rand(3), torch.rand(3)),
        torch.rand(2, 3, 4, 5).to(memory_format=torch.channels_last),
        torch.rand(6, 8)[::2, 1::3],
        torch.rand(3, 1).expand(3, 4),
        torch.rand(3, 4).t(),
    ],
    ids=lambda x: f"{x.dtype}-{tuple(x.shape)}-{x.stride()}",
)
@pytest.mark.parametrize("root", [torch.sqrt, lambda x: x**0.5, lambda x: x**3])
def test_shape_dtype_and_layout_are_those_of_torch(
    x: torch.Tensor, root: Callable[[torch.Tensor], torch.Tensor]
) -> None:
    expected = root(x)
    SQUARE_ROOT.begin()
    try:
        result = root(x)
    finally:
        SQUARE_ROOT.end()

    torch.testing.assert_close(result, expected)
    assert result.stride() == expected.stride()


def test_an_integer_tensor_cannot_take_its_own_root_in_place(replaced: None) -> None:
    with pytest.raises(RuntimeError, match="can't be cast"):
        torch.arange(3).sqrt_()


def test_the_gradient_of_a_root_flows(replaced: None) -> None:
    x = torch.tensor([4.0, 9.0], requires_grad=True)

    torch.sqrt(x).sum().backward()  # type: ignore[no-untyped-call]

    torch.testing.assert_close(x.grad, torch.tensor([1 / 4, 1 / 6]))


def test_memory_of_a_root_and_its_operand_can_still_grow(replaced: None) -> None:
    x = torch.ones(3)

    assert torch.sqrt(x).resize_(9).shape == x.resize_(9).shape == (9,)


def test_torch_has_its_own_kernel_back_after_the_last_use(values: torch.Tensor) -> None:
    before = bits(torch.sqrt(values))
    SQUARE_ROOT.begin()
    SQUARE_ROOT.begin()
    SQUARE_ROOT.end()
    assert SQUARE_ROOT.in_force
    assert bits(torch.sqrt(values)) == exact(values)

    SQUARE_ROOT.end()

    assert not SQUARE_ROOT.in_force
    assert bits(torch.sqrt(values)) == before


def test_unfused_adamw_takes_the_replaced_root(
    replaced: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen: list[int] = []
    original = np.sqrt

    def spy(x: Any, *, out: Any) -> Any:
        seen.append(x.size)
        return original(x, out=out)

    weight = torch.nn.Parameter(torch.rand(3))
    weight.grad = torch.rand(3)
    optimizer = torch.optim.AdamW([weight], foreach=False)  # the first one imports half of torch
    monkeypatch.setattr(np, "sqrt", spy)

    optimizer.step()

    assert seen == [3]
