"""Operators that read memory which they never wrote, run with memory filled.

Two CPU profiles leave new memory as it is, since filling all of it costs a twentieth of a step and
torch's operators write their results before anyone reads them. An operator that reads more than it
wrote is named here and gets filled memory: the same bits each time, as with torch's own defaults.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from goldtrace.override import Override

if TYPE_CHECKING:
    import torch


def _lstsq(
    left: torch.Tensor,
    right: torch.Tensor,
    rcond: float | None = None,
    *,
    driver: str | None = None,
) -> tuple[torch.Tensor, ...]:
    """Before torch 2.12 the pivots that LAPACK's ``gelsy`` reads came from unwritten memory."""
    import torch

    deterministic: Any = torch.utils.deterministic
    real = left.real.dtype if left.is_complex() else left.dtype
    results = {
        "solution": torch.empty(0, dtype=left.dtype),
        "residuals": torch.empty(0, dtype=real),
        "rank": torch.empty(0, dtype=torch.int64),
        "singular_values": torch.empty(0, dtype=real),
    }
    before = deterministic.fill_uninitialized_memory
    deterministic.fill_uninitialized_memory = True
    try:
        found: Any = torch.ops.aten.linalg_lstsq.out(
            left.detach(), right.detach(), rcond, driver=driver, **results
        )
    finally:
        deterministic.fill_uninitialized_memory = before
    return tuple(found)


FILLED = Override({"linalg_lstsq": _lstsq})
"""``aten::linalg_lstsq``."""
