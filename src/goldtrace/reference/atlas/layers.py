"""Convolutions, pooling, resizing, normalisation, attention and recurrent layers."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import torch
from torch.nn import functional as F  # noqa: N812 - as torch's documentation writes it

from goldtrace.reference.atlas.case import FLAT, IMAGE, NARROW, SERIES, one
from goldtrace.reference.atlas.inputs import Real

if TYPE_CHECKING:
    from goldtrace.reference.atlas.case import Case


def cases() -> list[Case]:
    """Every case of this group, in a fixed order."""
    return [
        *_convolutions(),
        *_normalisation(),
        *_recurrent(),
    ]


def _convolutions() -> list[Case]:
    kernel = Real((7, 6, 3, 3))
    return [
        one("conv1d", lambda x, w: F.conv1d(x, w, padding=2), SERIES, Real((5, 11, 5))),
        one("conv2d", lambda x, w, b: F.conv2d(x, w, b, padding=1), IMAGE, kernel, Real((7,))),
        one("conv2d_stride", lambda x, w: F.conv2d(x, w, stride=2), IMAGE, kernel),
        one("conv2d_dilated", lambda x, w: F.conv2d(x, w, dilation=2), IMAGE, kernel),
        one("conv2d_1x1", F.conv2d, IMAGE, Real((7, 6, 1, 1))),
        one("conv2d_depthwise", lambda x, w: F.conv2d(x, w, groups=6), IMAGE, Real((6, 1, 3, 3))),
        one("conv3d", F.conv3d, Real((2, 3, 5, 7, 9)), Real((4, 3, 3, 3, 3))),
        one(
            "conv_transpose2d",
            lambda x, w: F.conv_transpose2d(x, w, stride=2),
            IMAGE,
            Real((6, 5, 3, 3)),
        ),
        one("max_pool2d", lambda x: F.max_pool2d(x, 3, 2), IMAGE),
        one("avg_pool2d", lambda x: F.avg_pool2d(x, 3, 2), IMAGE),
        one("adaptive_avg_pool2d", lambda x: F.adaptive_avg_pool2d(x, 5), IMAGE),
        one("lp_pool2d", lambda x: F.lp_pool2d(x, 2, 3), Real((3, 6, 13, 17), 0.125, 2.0)),
        one("bilinear_resize", lambda x: F.interpolate(x, (9, 23), mode="bilinear"), IMAGE),
        one("bicubic_resize", lambda x: F.interpolate(x, (9, 23), mode="bicubic"), IMAGE),
        one(
            "antialias_resize",
            lambda x: F.interpolate(x, (7, 9), mode="bilinear", antialias=True),
            IMAGE,
        ),
        one(
            "grid_sample",
            lambda x, g: F.grid_sample(x, g, align_corners=False),
            IMAGE,
            Real((3, 7, 9, 2), -1.0, 1.0),
            dtypes=NARROW,
        ),
        one("unfold", lambda x: F.unfold(x, 3), IMAGE),
        one("fold", lambda x: F.fold(x, (13, 17), 3), Real((2, 27, 165))),
        one("reflection_pad2d", lambda x: F.pad(x, (2, 3, 1, 4), mode="reflect"), IMAGE),
        one("pixel_shuffle", lambda x: F.pixel_shuffle(x, 2), Real((3, 8, 5, 7))),
    ]


def _normalisation() -> list[Case]:
    six = Real((6,))
    scale = (Real((37,)), Real((37,)))
    heads = Real((3, 2, 19, 12))
    return [
        one(
            "batch_norm",
            lambda x, w, b: F.batch_norm(x, None, None, w, b, training=True),
            IMAGE,
            six,
            six,
        ),
        one(
            "batch_norm_eval",
            lambda x, m, v: F.batch_norm(x, m.detach(), v.detach()),
            IMAGE,
            six,
            Real((6,), 0.5, 2.0),
        ),
        one("layer_norm", lambda x, w, b: F.layer_norm(x, (37,), w, b), FLAT, *scale),
        one("group_norm", lambda x, w, b: F.group_norm(x, 3, w, b), IMAGE, six, six),
        one("instance_norm", F.instance_norm, IMAGE),
        one("rms_norm", lambda x, w: F.rms_norm(x, (37,), w), FLAT, Real((37,))),
        one("local_response_norm", lambda x: F.local_response_norm(x, 3), IMAGE),
        one("attention", F.scaled_dot_product_attention, heads, heads, heads),
        one(
            "attention_causal",
            lambda q, k, v: F.scaled_dot_product_attention(q, k, v, is_causal=True),
            heads,
            heads,
            heads,
        ),
        one(
            "attention_masked",
            F.scaled_dot_product_attention,
            heads,
            heads,
            heads,
            Real((19, 19)),
        ),
    ]


def _recurrent() -> list[Case]:
    sizes = {"lstm": 4, "gru": 3, "rnn_tanh": 1}
    made = []
    for name, gates in sizes.items():
        weights = (Real((gates * 9, 7), -0.5, 0.5), Real((gates * 9, 9), -0.5, 0.5))
        biases = (Real((gates * 9,), -0.5, 0.5), Real((gates * 9,), -0.5, 0.5))

        def run(x: Any, *parameters: Any, name: str = name) -> Any:
            zero = torch.zeros(1, 3, 9, dtype=x.dtype)
            state = (zero, zero) if name == "lstm" else zero
            function = getattr(torch, name)
            # biases, layers, dropout, training, bidirectional, batch first
            return function(x, state, list(parameters), True, 1, 0.0, True, False, False)[0]  # noqa: FBT003

        made.append(one(name, run, Real((11, 3, 7)), *weights, *biases))
    return made
