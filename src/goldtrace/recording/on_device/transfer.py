"""Copies to the host that nobody waits for until they are needed."""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch

if TYPE_CHECKING:
    from collections.abc import Callable


def to_host(tensor: torch.Tensor) -> Callable[[], torch.Tensor]:
    """Begin to copy a tensor as it is now; what comes back waits for the copy and returns it.

    Work that is queued behind on the same stream may change the tensor. Pinned memory lets the
    copy run beside the training, and belongs to this copy until nobody refers to it any more.
    """
    # A pending conjugation or negation would be done on the host, before the copy is there.
    tensor = tensor.detach().resolve_conj().resolve_neg()
    if not tensor.is_cuda:
        copy = tensor.clone() if tensor.device.type == "cpu" else tensor.cpu()
        return lambda: copy
    with torch.cuda.device(tensor.device):
        host = torch.empty(tensor.shape, dtype=tensor.dtype, device="cpu", pin_memory=True)
        host.copy_(tensor, non_blocking=True)
        copied = torch.cuda.Event()  # type: ignore[no-untyped-call]
        copied.record()

    def wait() -> torch.Tensor:
        copied.synchronize()
        return host

    return wait
