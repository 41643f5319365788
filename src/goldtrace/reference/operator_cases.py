"""The operators of the atlas, each with its inputs."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import torch
from torch import linalg, special
from torch.nn import functional as F  # noqa: N812 - as torch's documentation writes it
from torch.nn import init

from goldtrace.reference.operator_inputs import Definite, Index, Real

if TYPE_CHECKING:
    from goldtrace.reference.operator_inputs import Input

Function = Callable[..., Any]

FLAT = Real((7, 37))
POSITIVE = Real((7, 37), 0.0625, 4.0)
UNIT = Real((7, 37), -0.9375, 0.9375)
CHANCE = Real((7, 37), 0.0625, 0.9375)
IMAGE = Real((3, 6, 13, 17))
SERIES = Real((3, 11, 21))
_NARROW = (torch.float32, torch.float64)


@dataclass(frozen=True, slots=True, kw_only=True)
class Case:
    """One operator: ``function`` of its inputs; ``backward`` says that gradients are taken too."""

    name: str
    function: Function
    inputs: tuple[Input, ...]
    backward: bool = True
    dtypes: tuple[torch.dtype, ...] = (torch.float32, torch.float64, torch.bfloat16)


def cases() -> list[Case]:
    """Every case, in a fixed order."""
    return [
        *_unary(),
        *_activations(),
        *_binary(),
        *_reductions(),
        *_matrices(),
        *_decompositions(),
        *_convolutions(),
        *_normalisation(),
        *_losses(),
        *_recurrent(),
        *_indexing(),
        *_transforms(),
        *_draws(),
        *_initialisers(),
        *_optimizers(),
    ]


def _each(names: str, *inputs: Input, module: Any = torch, **options: Any) -> list[Case]:
    """The functions of a module that this torch has, all with the same inputs."""
    found = [(name, getattr(module, name, None)) for name in names.split()]
    return [
        Case(name=name, function=function, inputs=inputs, **options)
        for name, function in found
        if function is not None
    ]


def _one(name: str, function: Function, *inputs: Input, **options: Any) -> Case:
    return Case(name=name, function=function, inputs=inputs, **options)


def _unary() -> list[Case]:
    return [
        *_each("exp expm1 exp2 sin cos tan atan sinh cosh tanh asinh erf erfc sinc", FLAT),
        *_each("sigmoid square neg abs", FLAT),
        *_each("floor ceil round trunc frac sign", FLAT, backward=False),
        *_each("log log1p log2 log10 sqrt rsqrt reciprocal lgamma digamma", POSITIVE),
        *_each("asin acos atanh erfinv", UNIT),
        _one("acosh", torch.acosh, Real((7, 37), 1.0625, 4.0)),
        _one("logit", torch.logit, CHANCE),
        *_each("i0 i0e i1 i1e ndtr log_ndtr", FLAT, module=special, dtypes=_NARROW),
        *_each("entr ndtri", CHANCE, module=special, dtypes=_NARROW),
        *_each("bessel_j0 bessel_y0 airy_ai", POSITIVE, module=special, backward=False),
    ]


def _activations() -> list[Case]:
    return [
        *_each("relu relu6 gelu silu mish softplus elu selu celu leaky_relu", FLAT, module=F),
        *_each("hardswish hardsigmoid hardtanh logsigmoid softsign tanhshrink", FLAT, module=F),
        *_each("softshrink hardshrink", FLAT, module=F),
        _one("gelu_tanh", lambda x: F.gelu(x, approximate="tanh"), FLAT),
        _one("softmax", lambda x: F.softmax(x, -1), FLAT),
        _one("softmax_dim0", lambda x: F.softmax(x, 0), FLAT),
        _one("log_softmax", lambda x: F.log_softmax(x, -1), FLAT),
        _one("softmin", lambda x: F.softmin(x, -1), FLAT),
        _one("glu", F.glu, Real((7, 38))),
        _one("prelu", F.prelu, Real((3, 6, 13)), Real((6,))),
        _one("normalize", F.normalize, FLAT),
    ]


def _binary() -> list[Case]:
    return [
        *_each("add sub mul atan2 maximum minimum hypot logaddexp", FLAT, FLAT),
        *_each("logaddexp2 copysign fmax fmin", FLAT, FLAT),
        *_each("nextafter heaviside floor_divide", FLAT, FLAT, backward=False),
        *_each("div fmod remainder", FLAT, POSITIVE),
        *_each("pow float_power", POSITIVE, FLAT),
        _one("xlogy", torch.xlogy, FLAT, POSITIVE),
        _one("pow_cube", lambda x: x**3, FLAT),
        _one("lerp", torch.lerp, FLAT, FLAT, CHANCE),
        _one("addcmul", torch.addcmul, FLAT, FLAT, FLAT),
        _one("addcdiv", torch.addcdiv, FLAT, FLAT, POSITIVE),
        _one("clamp", lambda x: x.clamp(-0.5, 0.75), FLAT),
        _one("broadcast_add", torch.add, Real((5, 1, 37)), Real((7, 1))),
    ]


def _reductions() -> list[Case]:
    long = Real((5, 1031))
    return [
        *_each("sum mean var std prod", Real((1031,)), backward=False),
        _one("sum_rows", lambda x: x.sum(-1), long),
        _one("sum_columns", lambda x: x.sum(0), long),
        _one("mean_rows", lambda x: x.mean(-1), long),
        _one("var_rows", lambda x: x.var(-1), long),
        _one("std_columns", lambda x: x.std(0), long),
        _one("logsumexp", lambda x: x.logsumexp(-1), long),
        _one("cumsum", lambda x: x.cumsum(-1), long),
        _one("cumprod", lambda x: x.cumprod(-1), CHANCE),
        _one("logcumsumexp_rows", lambda x: x.logcumsumexp(-1), FLAT),
        _one("norm_1", lambda x: linalg.vector_norm(x, 1, -1), long),
        _one("norm_2", lambda x: linalg.vector_norm(x, 2, -1), long),
        _one("norm_3", lambda x: linalg.vector_norm(x, 3, -1), long),
        _one("amax", lambda x: x.amax(-1), long),
        _one("median", lambda x: x.median(-1).values, long),
        _one("quantile", lambda x: x.quantile(0.3, -1), long, dtypes=_NARROW),
        _one("topk", lambda x: x.topk(9, -1).values, long),
        _one("sort", lambda x: x.sort(-1).values, FLAT),
        _one("argsort", lambda x: torch.argsort(x, dim=-1, stable=True), FLAT, backward=False),
        _one("cdist", torch.cdist, Real((9, 13)), Real((11, 13)), dtypes=_NARROW),
        _one("histc", lambda x: x.histc(11, -2, 2), FLAT, backward=False, dtypes=_NARROW),
    ]


def _matrices() -> list[Case]:
    left, right = Real((37, 129)), Real((129, 53))
    return [
        _one("mm", torch.mm, left, right),
        _one("mm_transposed", lambda a, b: a @ b.T, left, Real((53, 129))),
        _one("bmm", torch.bmm, Real((5, 17, 33)), Real((5, 33, 13))),
        _one("mv", torch.mv, left, Real((129,))),
        _one("dot", torch.dot, Real((1031,)), Real((1031,))),
        _one("addmm", torch.addmm, Real((37, 53)), left, right),
        _one(
            "baddbmm",
            torch.baddbmm,
            Real((5, 17, 13)),
            Real((5, 17, 33)),
            Real((5, 33, 13)),
        ),
        _one("outer", torch.outer, Real((37,)), Real((53,))),
        _one(
            "einsum",
            lambda a, b: torch.einsum("bij,kj->bik", a, b),
            Real((3, 7, 13)),
            Real((11, 13)),
        ),
        _one("linear", F.linear, left, Real((53, 129)), Real((53,))),
        _one("bilinear", F.bilinear, Real((5, 7)), Real((5, 9)), Real((3, 7, 9)), Real((3,))),
        _one("kron", torch.kron, Real((3, 5)), Real((7, 2))),
        _one("cosine_similarity", F.cosine_similarity, FLAT, FLAT),
    ]


def _decompositions() -> list[Case]:
    matrix, definite = Real((13, 13)), Definite(13)
    return [
        *_each("inv det cholesky matrix_exp", definite, module=linalg, dtypes=_NARROW),
        _one("slogdet", lambda x: linalg.slogdet(x).logabsdet, definite, dtypes=_NARROW),
        _one("solve", linalg.solve, definite, Real((13, 5)), dtypes=_NARROW),
        _one("qr", lambda x: linalg.qr(x).R.abs(), Real((17, 13)), dtypes=_NARROW),
        _one("svdvals", linalg.svdvals, Real((17, 13)), dtypes=_NARROW),
        _one("eigvalsh", linalg.eigvalsh, definite, dtypes=_NARROW),
        _one("lstsq", lambda a, b: linalg.lstsq(a, b).solution, Real((17, 5)), Real((17, 3)),
             dtypes=_NARROW, backward=False),
        _one("pinv", linalg.pinv, Real((9, 5)), dtypes=_NARROW, backward=False),
        _one("matrix_power", lambda x: linalg.matrix_power(x / 8, 5), matrix, dtypes=_NARROW),
    ]  # fmt: skip


def _convolutions() -> list[Case]:
    kernel = Real((7, 6, 3, 3))
    return [
        _one("conv1d", lambda x, w: F.conv1d(x, w, padding=2), SERIES, Real((5, 11, 5))),
        _one("conv2d", lambda x, w, b: F.conv2d(x, w, b, padding=1), IMAGE, kernel, Real((7,))),
        _one("conv2d_stride", lambda x, w: F.conv2d(x, w, stride=2), IMAGE, kernel),
        _one("conv2d_dilated", lambda x, w: F.conv2d(x, w, dilation=2), IMAGE, kernel),
        _one("conv2d_1x1", F.conv2d, IMAGE, Real((7, 6, 1, 1))),
        _one("conv2d_depthwise", lambda x, w: F.conv2d(x, w, groups=6), IMAGE, Real((6, 1, 3, 3))),
        _one("conv3d", F.conv3d, Real((2, 3, 5, 7, 9)), Real((4, 3, 3, 3, 3))),
        _one(
            "conv_transpose2d",
            lambda x, w: F.conv_transpose2d(x, w, stride=2),
            IMAGE,
            Real((6, 5, 3, 3)),
        ),
        _one("max_pool2d", lambda x: F.max_pool2d(x, 3, 2), IMAGE),
        _one("avg_pool2d", lambda x: F.avg_pool2d(x, 3, 2), IMAGE),
        _one("adaptive_avg_pool2d", lambda x: F.adaptive_avg_pool2d(x, 5), IMAGE),
        _one("lp_pool2d", lambda x: F.lp_pool2d(x, 2, 3), Real((3, 6, 13, 17), 0.125, 2.0)),
        _one("bilinear_resize", lambda x: F.interpolate(x, (9, 23), mode="bilinear"), IMAGE),
        _one("bicubic_resize", lambda x: F.interpolate(x, (9, 23), mode="bicubic"), IMAGE),
        _one(
            "antialias_resize",
            lambda x: F.interpolate(x, (7, 9), mode="bilinear", antialias=True),
            IMAGE,
        ),
        _one(
            "grid_sample",
            lambda x, g: F.grid_sample(x, g, align_corners=False),
            IMAGE,
            Real((3, 7, 9, 2), -1.0, 1.0),
            dtypes=_NARROW,
        ),
        _one("unfold", lambda x: F.unfold(x, 3), IMAGE),
        _one("fold", lambda x: F.fold(x, (13, 17), 3), Real((2, 27, 165))),
        _one("reflection_pad2d", lambda x: F.pad(x, (2, 3, 1, 4), mode="reflect"), IMAGE),
        _one("pixel_shuffle", lambda x: F.pixel_shuffle(x, 2), Real((3, 8, 5, 7))),
    ]


def _normalisation() -> list[Case]:
    six = Real((6,))
    scale = (Real((37,)), Real((37,)))
    heads = Real((3, 2, 19, 12))
    return [
        _one(
            "batch_norm",
            lambda x, w, b: F.batch_norm(x, None, None, w, b, training=True),
            IMAGE,
            six,
            six,
        ),
        _one(
            "batch_norm_eval",
            lambda x, m, v: F.batch_norm(x, m.detach(), v.detach()),
            IMAGE,
            six,
            Real((6,), 0.5, 2.0),
        ),
        _one("layer_norm", lambda x, w, b: F.layer_norm(x, (37,), w, b), FLAT, *scale),
        _one("group_norm", lambda x, w, b: F.group_norm(x, 3, w, b), IMAGE, six, six),
        _one("instance_norm", F.instance_norm, IMAGE),
        _one("rms_norm", lambda x, w: F.rms_norm(x, (37,), w), FLAT, Real((37,))),
        _one("local_response_norm", lambda x: F.local_response_norm(x, 3), IMAGE),
        _one("attention", F.scaled_dot_product_attention, heads, heads, heads),
        _one(
            "attention_causal",
            lambda q, k, v: F.scaled_dot_product_attention(q, k, v, is_causal=True),
            heads,
            heads,
            heads,
        ),
        _one(
            "attention_masked",
            F.scaled_dot_product_attention,
            heads,
            heads,
            heads,
            Real((19, 19)),
        ),
    ]


def _losses() -> list[Case]:
    classes = Index((7,), 37)
    return [
        *_each("mse_loss l1_loss smooth_l1_loss huber_loss", FLAT, UNIT, module=F),
        _one("cross_entropy", F.cross_entropy, FLAT, classes),
        _one(
            "cross_entropy_smooth",
            lambda x, t: F.cross_entropy(x, t, label_smoothing=0.1),
            FLAT,
            classes,
        ),
        _one("nll_loss", F.nll_loss, FLAT, classes),
        _one("binary_cross_entropy", F.binary_cross_entropy, CHANCE, CHANCE),
        _one("bce_with_logits", F.binary_cross_entropy_with_logits, FLAT, CHANCE),
        _one("kl_div", lambda x, t: F.kl_div(x, t, reduction="batchmean"), FLAT, CHANCE),
        _one("poisson_nll_loss", F.poisson_nll_loss, FLAT, POSITIVE),
        _one("gaussian_nll_loss", F.gaussian_nll_loss, FLAT, FLAT, POSITIVE),
        _one("triplet_margin_loss", F.triplet_margin_loss, FLAT, UNIT, POSITIVE),
        _one("pairwise_distance", F.pairwise_distance, FLAT, UNIT),
        _one("ctc_loss", _ctc, Real((19, 3, 11)), Index((3, 5), 10), dtypes=_NARROW),
    ]


def _ctc(scores: Any, labels: Any) -> Any:
    lengths = torch.full((3,), 19), torch.full((3,), 5)
    return F.ctc_loss(scores.log_softmax(-1), labels + 1, *lengths)


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

        made.append(_one(name, run, Real((11, 3, 7)), *weights, *biases))
    return made


def _indexing() -> list[Case]:
    rows = Index((23,), 7)
    return [
        _one("embedding", lambda w, i: F.embedding(i, w), Real((19, 13)), Index((5, 7), 19)),
        _one(
            "embedding_bag",
            lambda w, i: F.embedding_bag(i, w, mode="mean"),
            Real((19, 13)),
            Index((5, 7), 19),
        ),
        _one("gather", lambda x, i: x.gather(1, i), FLAT, Index((7, 23), 37)),
        _one("index_select", lambda x, i: x.index_select(0, i), FLAT, rows),
        _one("index_add", lambda x, i, y: x.index_add(0, i, y), FLAT, rows, Real((23, 37))),
        _one(
            "scatter_add",
            lambda x, i, y: x.scatter_add(1, i, y),
            FLAT,
            Index((7, 61), 37),
            Real((7, 61)),
        ),
        _one(
            "scatter_mean",
            lambda x, i, y: x.scatter_reduce(1, i, y, "mean"),
            FLAT,
            Index((7, 61), 37),
            Real((7, 61)),
        ),
        _one(
            "index_put",
            lambda x, i, y: x.index_put((i,), y, accumulate=True),
            FLAT,
            rows,
            Real((23, 37)),
        ),
        _one("where", lambda x, y: torch.where(x > y, x, y * 2), FLAT, UNIT),
        _one("bincount", lambda i: torch.bincount(i, minlength=9), rows, backward=False),
    ]


def _transforms() -> list[Case]:
    wave = Real((3, 77))
    options: dict[str, Any] = {"dtypes": _NARROW}
    return [
        _one("rfft", lambda x: torch.view_as_real(torch.fft.rfft(x)), wave, **options),
        _one("fft2", lambda x: torch.view_as_real(torch.fft.fft2(x)), FLAT, **options),
        _one("irfft", lambda x: torch.fft.irfft(torch.fft.rfft(x) * 2, 77), wave, **options),
        _one("stft", _stft, wave, **options),
    ]


def _stft(x: Any) -> Any:
    window = torch.hann_window(16, dtype=x.dtype)
    return torch.view_as_real(torch.stft(x, 16, window=window, return_complex=True))


def _draws() -> list[Case]:
    """Random draws, each after the same seed: another result is another stream."""
    empty = Real((5, 37))
    fills = "uniform_ normal_ exponential_ cauchy_ log_normal_ bernoulli_ random_"
    options: dict[str, Any] = {"backward": False}

    def fill(x: Any, *, name: str) -> Any:
        return getattr(x.clone(), name)()

    return [
        *(
            _one(name, lambda x, name=name: fill(x, name=name), empty, **options)
            for name in fills.split()
        ),
        _one("geometric_", lambda x: x.clone().geometric_(0.3), empty, **options),
        _one("randn", lambda x: torch.randn(3, 41, dtype=x.dtype), empty, **options),
        _one("randn_short", lambda x: torch.randn(11, dtype=x.dtype), empty, **options),
        _one("rand", lambda x: torch.rand(3, 41, dtype=x.dtype), empty, **options),
        _one("randint", lambda _: torch.randint(0, 1000, (41,)), empty, **options),
        _one("randperm", lambda _: torch.randperm(1031), empty, **options),
        _one("bernoulli", torch.bernoulli, CHANCE, **options),
        _one("poisson", torch.poisson, POSITIVE, **options),
        _one("binomial", lambda p: torch.binomial(torch.full_like(p, 9), p), CHANCE, **options),
        _one("multinomial", lambda p: p.multinomial(11), CHANCE, **options),
        _one(
            "multinomial_replaced",
            lambda p: p.multinomial(41, replacement=True),
            CHANCE,
            **options,
        ),
        _one("gamma", torch._standard_gamma, POSITIVE, **options),  # noqa: SLF001
        _one("dropout", F.dropout, FLAT),
        _one("alpha_dropout", lambda x: F.alpha_dropout(x, training=True), FLAT),
        _one("rrelu", lambda x: F.rrelu(x, training=True), FLAT),
        _one("gumbel_softmax", F.gumbel_softmax, FLAT),
    ]


def _initialisers() -> list[Case]:
    """``torch.nn.init`` on a convolution's weight, each after the same seed."""
    names = "xavier_uniform_ xavier_normal_ kaiming_uniform_ kaiming_normal_ trunc_normal_"
    weight = Real((11, 6, 3, 3))

    def initialised(x: Any, *, name: str) -> Any:
        return getattr(init, name)(x.clone())

    return [
        _one(name, lambda x, name=name: initialised(x, name=name), weight, backward=False)
        for name in f"{names} orthogonal_".split()
    ]


def _optimizers() -> list[Case]:
    """Three steps of each optimizer on a quadratic, weights as the output."""
    made: dict[str, tuple[str, dict[str, Any]]] = {
        "sgd": ("SGD", {"momentum": 0.9, "nesterov": True}),
        "adam": ("Adam", {}),
        "adamw_fused": ("AdamW", {"fused": True}),
        "adamw_foreach": ("AdamW", {"foreach": True, "weight_decay": 0.05}),
        "adagrad": ("Adagrad", {}),
        "rmsprop": ("RMSprop", {"momentum": 0.5}),
        "adadelta": ("Adadelta", {}),
        "nadam": ("NAdam", {}),
        "radam": ("RAdam", {}),
        "adamax": ("Adamax", {}),
    }

    def run(x: Any, *, kind: str, options: dict[str, Any]) -> Any:
        weight = x.detach().clone().requires_grad_()
        optimizer = getattr(torch.optim, kind)([weight], lr=0.03, **options)
        for _ in range(3):
            optimizer.zero_grad()
            (weight * weight * 0.37).sum().backward()
            optimizer.step()
        return weight.detach()

    return [
        _one(
            f"optimizer_{name}",
            lambda x, kind=kind, options=options: run(x, kind=kind, options=options),
            FLAT,
            backward=False,
        )
        for name, (kind, options) in made.items()
    ]
