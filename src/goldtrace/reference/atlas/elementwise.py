"""Functions of single elements, activations and losses."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import torch
from torch import special
from torch.nn import functional as F  # noqa: N812 - as torch's documentation writes it

from goldtrace.reference.atlas.case import CHANCE, FLAT, NARROW, POSITIVE, UNIT, each, one
from goldtrace.reference.atlas.inputs import Index, Real

if TYPE_CHECKING:
    from goldtrace.reference.atlas.case import Case


def cases() -> list[Case]:
    """Every case of this group, in a fixed order."""
    return [
        *_unary(),
        *_activations(),
        *_binary(),
        *_losses(),
    ]


def _unary() -> list[Case]:
    return [
        *each("exp expm1 exp2 sin cos tan atan sinh cosh tanh asinh erf erfc sinc", FLAT),
        *each("sigmoid square neg abs", FLAT),
        *each("floor ceil round trunc frac sign", FLAT, backward=False),
        *each("log log1p log2 log10 sqrt rsqrt reciprocal lgamma digamma", POSITIVE),
        *each("asin acos atanh erfinv", UNIT),
        one("acosh", torch.acosh, Real((7, 37), 1.0625, 4.0)),
        one("logit", torch.logit, CHANCE),
        *each("i0 i0e i1 i1e ndtr log_ndtr", FLAT, module=special, dtypes=NARROW),
        *each("entr ndtri", CHANCE, module=special, dtypes=NARROW),
        *each("bessel_j0 bessel_y0 airy_ai", POSITIVE, module=special, backward=False),
    ]


def _activations() -> list[Case]:
    return [
        *each("relu relu6 gelu silu mish softplus elu selu celu leaky_relu", FLAT, module=F),
        *each("hardswish hardsigmoid hardtanh logsigmoid softsign tanhshrink", FLAT, module=F),
        *each("softshrink hardshrink", FLAT, module=F),
        one("gelu_tanh", lambda x: F.gelu(x, approximate="tanh"), FLAT),
        one("softmax", lambda x: F.softmax(x, -1), FLAT),
        one("softmax_dim0", lambda x: F.softmax(x, 0), FLAT),
        one("log_softmax", lambda x: F.log_softmax(x, -1), FLAT),
        one("softmin", lambda x: F.softmin(x, -1), FLAT),
        one("glu", F.glu, Real((7, 38))),
        one("prelu", F.prelu, Real((3, 6, 13)), Real((6,))),
        one("normalize", F.normalize, FLAT),
    ]


def _binary() -> list[Case]:
    return [
        *each("add sub mul atan2 maximum minimum hypot logaddexp", FLAT, FLAT),
        *each("logaddexp2 copysign fmax fmin", FLAT, FLAT),
        *each("nextafter heaviside floor_divide", FLAT, FLAT, backward=False),
        *each("div fmod remainder", FLAT, POSITIVE),
        *each("pow float_power", POSITIVE, FLAT),
        one("xlogy", torch.xlogy, FLAT, POSITIVE),
        one("pow_cube", lambda x: x**3, FLAT),
        one("lerp", torch.lerp, FLAT, FLAT, CHANCE),
        one("addcmul", torch.addcmul, FLAT, FLAT, FLAT),
        one("addcdiv", torch.addcdiv, FLAT, FLAT, POSITIVE),
        one("clamp", lambda x: x.clamp(-0.5, 0.75), FLAT),
        one("broadcast_add", torch.add, Real((5, 1, 37)), Real((7, 1))),
    ]


def _losses() -> list[Case]:
    classes = Index((7,), 37)
    return [
        *each("mse_loss l1_loss smooth_l1_loss huber_loss", FLAT, UNIT, module=F),
        one("cross_entropy", F.cross_entropy, FLAT, classes),
        one(
            "cross_entropy_smooth",
            lambda x, t: F.cross_entropy(x, t, label_smoothing=0.1),
            FLAT,
            classes,
        ),
        one("nll_loss", F.nll_loss, FLAT, classes),
        one("binary_cross_entropy", F.binary_cross_entropy, CHANCE, CHANCE),
        one("bce_with_logits", F.binary_cross_entropy_with_logits, FLAT, CHANCE),
        one("kl_div", lambda x, t: F.kl_div(x, t, reduction="batchmean"), FLAT, CHANCE),
        one("poisson_nll_loss", F.poisson_nll_loss, FLAT, POSITIVE),
        one("gaussian_nll_loss", F.gaussian_nll_loss, FLAT, FLAT, POSITIVE),
        one("triplet_margin_loss", F.triplet_margin_loss, FLAT, UNIT, POSITIVE),
        one("pairwise_distance", F.pairwise_distance, FLAT, UNIT),
        one("ctc_loss", _ctc, Real((19, 3, 11)), Index((3, 5), 10), dtypes=NARROW),
    ]


def _ctc(scores: Any, labels: Any) -> Any:
    lengths = torch.full((3,), 19), torch.full((3,), 5)
    return F.ctc_loss(scores.log_softmax(-1), labels + 1, *lengths)
