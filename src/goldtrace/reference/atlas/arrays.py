"""Reductions, products of matrices, decompositions, indexing and transforms."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import torch
from torch import linalg
from torch.nn import functional as F  # noqa: N812 - as torch's documentation writes it

from goldtrace.reference.atlas.case import CHANCE, FLAT, NARROW, UNIT, each, one
from goldtrace.reference.atlas.inputs import Definite, Index, Real

if TYPE_CHECKING:
    from goldtrace.reference.atlas.case import Case


def cases() -> list[Case]:
    """Every case of this group, in a fixed order."""
    return [
        *_reductions(),
        *_matrices(),
        *_decompositions(),
        *_indexing(),
        *_transforms(),
    ]


def _reductions() -> list[Case]:
    long = Real((5, 1031))
    return [
        *each("sum mean var std prod", Real((1031,)), backward=False),
        one("sum_rows", lambda x: x.sum(-1), long),
        one("sum_columns", lambda x: x.sum(0), long),
        one("mean_rows", lambda x: x.mean(-1), long),
        one("var_rows", lambda x: x.var(-1), long),
        one("std_columns", lambda x: x.std(0), long),
        one("logsumexp", lambda x: x.logsumexp(-1), long),
        one("cumsum", lambda x: x.cumsum(-1), long),
        one("cumprod", lambda x: x.cumprod(-1), CHANCE),
        one("logcumsumexp_rows", lambda x: x.logcumsumexp(-1), FLAT),
        one("norm_1", lambda x: linalg.vector_norm(x, 1, -1), long),
        one("norm_2", lambda x: linalg.vector_norm(x, 2, -1), long),
        one("norm_3", lambda x: linalg.vector_norm(x, 3, -1), long),
        one("amax", lambda x: x.amax(-1), long),
        one("median", lambda x: x.median(-1).values, long),
        one("quantile", lambda x: x.quantile(0.3, -1), long, dtypes=NARROW),
        one("topk", lambda x: x.topk(9, -1).values, long),
        one("sort", lambda x: x.sort(-1).values, FLAT),
        one("argsort", lambda x: torch.argsort(x, dim=-1, stable=True), FLAT, backward=False),
        one("cdist", torch.cdist, Real((9, 13)), Real((11, 13)), dtypes=NARROW),
        one("histc", lambda x: x.histc(11, -2, 2), FLAT, backward=False, dtypes=NARROW),
    ]


def _matrices() -> list[Case]:
    left, right = Real((37, 129)), Real((129, 53))
    return [
        one("mm", torch.mm, left, right),
        one("mm_transposed", lambda a, b: a @ b.T, left, Real((53, 129))),
        one("bmm", torch.bmm, Real((5, 17, 33)), Real((5, 33, 13))),
        one("mv", torch.mv, left, Real((129,))),
        one("dot", torch.dot, Real((1031,)), Real((1031,))),
        one("addmm", torch.addmm, Real((37, 53)), left, right),
        one(
            "baddbmm",
            torch.baddbmm,
            Real((5, 17, 13)),
            Real((5, 17, 33)),
            Real((5, 33, 13)),
        ),
        one("outer", torch.outer, Real((37,)), Real((53,))),
        one(
            "einsum",
            lambda a, b: torch.einsum("bij,kj->bik", a, b),
            Real((3, 7, 13)),
            Real((11, 13)),
        ),
        one("linear", F.linear, left, Real((53, 129)), Real((53,))),
        one("bilinear", F.bilinear, Real((5, 7)), Real((5, 9)), Real((3, 7, 9)), Real((3,))),
        one("kron", torch.kron, Real((3, 5)), Real((7, 2))),
        one("cosine_similarity", F.cosine_similarity, FLAT, FLAT),
    ]


def _decompositions() -> list[Case]:
    matrix, definite = Real((13, 13)), Definite(13)
    return [
        *each("inv det cholesky matrix_exp", definite, module=linalg, dtypes=NARROW),
        one("slogdet", lambda x: linalg.slogdet(x).logabsdet, definite, dtypes=NARROW),
        one("solve", linalg.solve, definite, Real((13, 5)), dtypes=NARROW),
        one("qr", lambda x: linalg.qr(x).R.abs(), Real((17, 13)), dtypes=NARROW),
        one("svdvals", linalg.svdvals, Real((17, 13)), dtypes=NARROW),
        one("eigvalsh", linalg.eigvalsh, definite, dtypes=NARROW),
        one("lstsq", lambda a, b: linalg.lstsq(a, b).solution, Real((17, 5)), Real((17, 3)),
             dtypes=NARROW, backward=False),
        one("pinv", linalg.pinv, Real((9, 5)), dtypes=NARROW, backward=False),
        one("matrix_power", lambda x: linalg.matrix_power(x / 8, 5), matrix, dtypes=NARROW),
    ]  # fmt: skip


def _indexing() -> list[Case]:
    rows = Index((23,), 7)
    return [
        one("embedding", lambda w, i: F.embedding(i, w), Real((19, 13)), Index((5, 7), 19)),
        one(
            "embedding_bag",
            lambda w, i: F.embedding_bag(i, w, mode="mean"),
            Real((19, 13)),
            Index((5, 7), 19),
        ),
        one("gather", lambda x, i: x.gather(1, i), FLAT, Index((7, 23), 37)),
        one("index_select", lambda x, i: x.index_select(0, i), FLAT, rows),
        one("index_add", lambda x, i, y: x.index_add(0, i, y), FLAT, rows, Real((23, 37))),
        one(
            "scatter_add",
            lambda x, i, y: x.scatter_add(1, i, y),
            FLAT,
            Index((7, 61), 37),
            Real((7, 61)),
        ),
        one(
            "scatter_mean",
            lambda x, i, y: x.scatter_reduce(1, i, y, "mean"),
            FLAT,
            Index((7, 61), 37),
            Real((7, 61)),
        ),
        one(
            "index_put",
            lambda x, i, y: x.index_put((i,), y, accumulate=True),
            FLAT,
            rows,
            Real((23, 37)),
        ),
        one("where", lambda x, y: torch.where(x > y, x, y * 2), FLAT, UNIT),
        one("bincount", lambda i: torch.bincount(i, minlength=9), rows, backward=False),
    ]


def _transforms() -> list[Case]:
    wave = Real((3, 77))
    options: dict[str, Any] = {"dtypes": NARROW}
    return [
        one("rfft", lambda x: torch.view_as_real(torch.fft.rfft(x)), wave, **options),
        one("fft2", lambda x: torch.view_as_real(torch.fft.fft2(x)), FLAT, **options),
        one("irfft", lambda x: torch.fft.irfft(torch.fft.rfft(x) * 2, 77), wave, **options),
        one("stft", _stft, wave, **options),
    ]


def _stft(x: Any) -> Any:
    window = torch.hann_window(16, dtype=x.dtype)
    return torch.view_as_real(torch.stft(x, 16, window=window, return_complex=True))
