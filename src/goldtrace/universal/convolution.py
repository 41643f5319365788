"""Float64 convolutions with many channels and few positions, as one matrix product.

torch computes a float64 convolution image by image, and reads all weights for each. Where an image
has fewer positions than the weights have rows, as in the last stages of a residual network, that
takes most of the time. Here the whole batch is unfolded and multiplied at once. The sums are the
same; their order may differ, which is what float64 is there to hide.
"""

from __future__ import annotations

from typing import Any

import torch
from torch.nn.functional import unfold

_IMAGES = 4
"""Batch, channels, height, width."""


def conv2d(  # noqa: PLR0917 - the signature is torch's
    x: torch.Tensor,
    weight: torch.Tensor,
    bias: torch.Tensor | None = None,
    stride: Any = 1,
    padding: Any = 0,
    dilation: Any = 1,
    groups: int = 1,
) -> torch.Tensor:
    """``torch.conv2d``, in float64."""
    plain = x.dim() == weight.dim() == _IMAGES and groups == 1 and not isinstance(padding, str)
    if plain and x.shape[1] == weight.shape[1] and x.numel() and weight.numel():
        sizes = zip(
            x.shape[2:], weight.shape[2:], *map(_pair, (stride, padding, dilation)), strict=True
        )
        height, width = ((n + 2 * p - d * (k - 1) - 1) // s + 1 for n, k, s, p, d in sizes)
        if 0 < height * width < weight.shape[0] and width > 0:
            kernel = weight.shape[2:]
            columns = unfold(x, kernel, dilation=dilation, padding=padding, stride=stride)
            product = weight.flatten(1) @ columns.transpose(0, 1).flatten(1)
            product = product.view(weight.shape[0], x.shape[0], height, width).transpose(0, 1)
            return product if bias is None else product + bias.view(-1, 1, 1)
    return torch.conv2d(x, weight, bias, stride, padding, dilation, groups)


def _pair(value: Any) -> tuple[int, int]:
    if isinstance(value, int):
        return value, value
    one, *other = value
    return int(one), int(other[0] if other else one)
