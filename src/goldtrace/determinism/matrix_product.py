"""Float32 matrix products by numpy's OpenBLAS, in place of MKL's slowest code path.

MKL has one path that Intel and AMD share, and it takes four times as long as the one that it would
choose. OpenBLAS takes the same AVX2 kernels on every CPU when ``OPENBLAS_CORETYPE`` says so, splits
sums by constants of that core and not by the size of a cache, and takes half as long again.
Only what training asks for is replaced: float32, two or three dimensions, more than a vector. All
else goes to torch's own kernels.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from goldtrace.override import Override, array_of

if TYPE_CHECKING:
    import torch

_MATRIX, _BATCH = 2, 3


def _mm(left: torch.Tensor, right: torch.Tensor) -> torch.Tensor:
    import torch

    if _covered(left, right, _MATRIX):
        return _product(left, right)
    return torch.mm(left.detach(), right.detach(), out=_empty(left))


def _bmm(left: torch.Tensor, right: torch.Tensor) -> torch.Tensor:
    import torch

    if _covered(left, right, _BATCH):
        return _product(left, right)
    return torch.bmm(left.detach(), right.detach(), out=_empty(left))


def _addmm(
    added: torch.Tensor, left: torch.Tensor, right: torch.Tensor, *, beta: Any = 1, alpha: Any = 1
) -> torch.Tensor:
    import torch

    if _covered(left, right, _MATRIX) and _addable(added, left, right):
        return _sum(added, _product(left, right), beta, alpha)
    parts = (added.detach(), left.detach(), right.detach())
    return torch.addmm(*parts, beta=beta, alpha=alpha, out=_empty(left))


def _baddbmm(
    added: torch.Tensor, left: torch.Tensor, right: torch.Tensor, *, beta: Any = 1, alpha: Any = 1
) -> torch.Tensor:
    import torch

    if _covered(left, right, _BATCH) and _addable(added, left, right):
        return _sum(added, _product(left, right), beta, alpha)
    parts = (added.detach(), left.detach(), right.detach())
    return torch.baddbmm(*parts, beta=beta, alpha=alpha, out=_empty(left))


PRODUCTS = Override({"mm": _mm, "bmm": _bmm, "addmm": _addmm, "baddbmm": _baddbmm})
"""The overloads with an ``out`` are left alone: they are the way to torch's own kernels."""


def _covered(left: torch.Tensor, right: torch.Tensor, dimensions: int) -> bool:
    """Whether the product is one of those replaced; what is wrong is left for torch to name."""
    import torch

    return (
        left.dtype is torch.float32
        and right.dtype is torch.float32
        and left.dim() == right.dim() == dimensions
        and left.shape[:-2] == right.shape[:-2]
        and left.shape[-1] == right.shape[-2]
        and left.shape[-2] > 1
        and right.shape[-1] > 1
        and left.numel() > 0
        and right.numel() > 0
    )


def _addable(added: torch.Tensor, left: torch.Tensor, right: torch.Tensor) -> bool:
    shape = (*left.shape[:-1], right.shape[-1])
    tail = shape[len(shape) - added.dim() :]
    return added.dtype is left.dtype and all(
        have in (1, want) for have, want in zip(added.shape, tail, strict=False)
    )


def _product(left: torch.Tensor, right: torch.Tensor) -> torch.Tensor:
    import numpy as np
    import torch

    left, right = _dense(left.detach()), _dense(right.detach())
    if left.data_ptr() == right.data_ptr():
        # numpy would see a matrix times its own transpose, and compute half of it.
        right = right.clone()
    result = torch.empty((*left.shape[:-1], right.shape[-1]), dtype=torch.float32)
    with np.errstate(all="ignore"):
        np.matmul(array_of(left), array_of(right), out=array_of(result))
    return result


def _dense(x: torch.Tensor) -> torch.Tensor:
    """The matrix laid out by rows or by columns, as a BLAS needs it."""
    (rows, columns), (down, across) = x.shape[-2:], x.stride()[-2:]
    by_rows = across == 1 and down >= columns
    by_columns = down == 1 and across >= rows
    return x if by_rows or by_columns else x.contiguous()


def _sum(added: torch.Tensor, result: torch.Tensor, beta: Any, alpha: Any) -> torch.Tensor:
    if alpha != 1:
        result.mul_(alpha)
    return result if beta == 0 else result.add_(added.detach(), alpha=beta)


def _empty(like: torch.Tensor) -> torch.Tensor:
    import torch

    return torch.empty(0, dtype=like.dtype)
