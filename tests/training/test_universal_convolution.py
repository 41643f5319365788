from __future__ import annotations

from typing import Any

import pytest
import torch
from torch.nn import functional

from goldtrace.universal import UniversalMode, convolution


def draw(*shape: int) -> torch.Tensor:
    return torch.randn(*shape, dtype=torch.float64, generator=torch.Generator().manual_seed(7))


FEW = ((3, 5, 4, 3), (17, 5, 3, 3))


@pytest.mark.parametrize(
    ("shapes", "options"),
    [
        (FEW, {"padding": 1}),
        (FEW, {}),
        (FEW, {"padding": (1, 2), "stride": (2, 1)}),
        (FEW, {"padding": 2, "dilation": 2}),
        (((3, 5, 4, 3), (17, 5, 1, 1)), {"stride": 2}),
        (((3, 5, 13, 13), (2, 5, 3, 3)), {"padding": 1}),
        (FEW, {"padding": "same"}),
        (((3, 4, 4, 3), (18, 2, 3, 3)), {"padding": 1, "groups": 2}),
        (((5, 4, 3), (17, 5, 3, 3)), {"padding": 1}),
    ],
)
@pytest.mark.parametrize("biases", [0, 1])
def test_forward_and_backward_are_those_of_torch(
    shapes: tuple[tuple[int, ...], ...], options: dict[str, Any], biases: int
) -> None:
    def computed(function: Any) -> list[torch.Tensor]:
        inputs = [draw(*shape).requires_grad_() for shape in shapes]
        if biases:
            inputs.append(draw(shapes[1][0]).requires_grad_())
        result = function(*inputs, **options)
        return [result, *torch.autograd.grad(result.square().sum(), inputs)]

    for one, other in zip(computed(convolution.conv2d), computed(torch.conv2d), strict=True):
        torch.testing.assert_close(one, other)


def test_an_image_smaller_than_the_kernel_is_refused_as_torch_does() -> None:
    with pytest.raises(RuntimeError, match="Kernel size"):
        convolution.conv2d(draw(3, 5, 2, 2), draw(17, 5, 3, 3))


def test_the_mode_takes_it_where_an_image_has_fewer_positions_than_the_weights_have_rows(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    seen: list[torch.dtype] = []

    def spy(x: torch.Tensor, *args: Any, **kwargs: Any) -> torch.Tensor:
        seen.append(x.dtype)
        return functional.unfold(x, *args, **kwargs)

    monkeypatch.setattr(convolution, "unfold", spy)
    few, many = torch.nn.Conv2d(5, 17, 3), torch.nn.Conv2d(5, 17, 3)

    with UniversalMode():
        few(draw(3, 5, 5, 5).float())
        many(draw(3, 5, 13, 13).float())

    assert seen == [torch.float64]
