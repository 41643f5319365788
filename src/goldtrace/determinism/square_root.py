"""A correctly rounded square root for CPU tensors, in place of the vector library's.

IEEE 754 demands a correctly rounded square root, every CPU has one, and numpy uses it; MKL's vector
``sqrt``, which torch calls, starts from an approximate reciprocal whose bits depend on the vendor.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from goldtrace.override import Override, array_of

if TYPE_CHECKING:
    import torch

_HALF = 0.5


def _sqrt(x: torch.Tensor) -> torch.Tensor:
    import numpy as np
    import torch

    x = x.detach()
    if x.dtype in (torch.float16, torch.bfloat16):
        return _sqrt(x.float()).to(x.dtype)
    if not (x.is_floating_point() or x.is_complex()):
        x = x.to(torch.get_default_dtype())
    result = torch.empty_like(x)
    with np.errstate(all="ignore"):
        np.sqrt(array_of(x), out=array_of(result))
    return result


def _sqrt_in_place(x: torch.Tensor) -> torch.Tensor:
    return x.copy_(_castable(_sqrt(x), x))


def _sqrt_out(x: torch.Tensor, *, out: torch.Tensor) -> torch.Tensor:
    result = _castable(_sqrt(x), out)
    if out.shape != result.shape:
        out.resize_(result.shape)
    return out.copy_(result)


def _power(x: torch.Tensor, exponent: Any) -> torch.Tensor:
    import torch

    if _is_square_root(x, exponent):
        return _sqrt(x)
    result = torch.empty(0, dtype=torch.result_type(x, exponent))
    return torch.pow(x.detach(), exponent, out=result)


def _power_in_place(x: torch.Tensor, exponent: Any) -> torch.Tensor:
    import torch

    if _is_square_root(x, exponent):
        return _sqrt_in_place(x)
    torch.ops.aten.pow.Tensor_Scalar_out(x, exponent, out=x)
    return x


def _is_square_root(x: torch.Tensor, exponent: Any) -> bool:
    return bool(x.is_floating_point() and exponent == _HALF)


SQUARE_ROOT = Override(
    {
        "sqrt": _sqrt,
        "sqrt_": _sqrt_in_place,
        "sqrt.out": _sqrt_out,
        "pow.Tensor_Scalar": _power,
        "pow_.Scalar": _power_in_place,
    }
)
"""``aten::sqrt`` and powers of one half."""


def _castable(result: torch.Tensor, target: torch.Tensor) -> torch.Tensor:
    import torch

    if not torch.can_cast(result.dtype, target.dtype):
        raise RuntimeError(
            f"result type {result.dtype} can't be cast to the desired output type {target.dtype}"
        )
    return result
