"""Hash the chunks of many tensors of one GPU in one launch, and fetch 16 bytes for each."""

from __future__ import annotations

import functools
import logging
from contextlib import nullcontext
from typing import TYPE_CHECKING

import numpy as np
import torch
import xxhash

from goldtrace.recording.on_device.layout import lay_out
from goldtrace.recording.on_device.transfer import to_host

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from goldtrace.recording.on_device.layout import Layout

OPTIONS = {"num_warps": 1, "enable_fp_fusion": False}
"""One warp hashes a chunk: it needs no barrier, and 32 at a time keep a multiprocessor busy. There
is nothing to fuse; Triton 3.9 warns unless it is told."""

_WORD = 8
_log = logging.getLogger(__name__)


def can_hash(device: torch.device) -> bool:
    """Whether tensors on this device are hashed there: on an NVIDIA GPU with Triton at hand.

    The first answer for a device rests on a trial: what it computes is held against xxHash.
    """
    return device.type == "cuda" and torch.version.cuda is not None and _works(device)


def start_hashing(tensors: Sequence[torch.Tensor]) -> Callable[[], list[bytes]]:
    """Begin to hash the chunks of strided tensors on one device, in row-major order.

    What comes back waits for the answer and gives, for each tensor, the XXH3-128 of its chunks
    one behind the other, 16 bytes each: what the host computes from the same bytes.
    """
    if not tensors:
        return list
    device = tensors[0].device
    # The allocator aligns whatever it makes: only views can lie between words.
    contiguous = [t if t.is_contiguous() else _copied(t) for t in tensors]
    addresses = [t.data_ptr() for t in contiguous]
    for place, address in enumerate(addresses):
        if address % _WORD:
            contiguous[place] = _copied(contiguous[place])
            addresses[place] = contiguous[place].data_ptr()
    on_a_gpu = device.type == "cuda"
    layout, table = _table(
        device,
        torch.cuda.current_stream(device).cuda_stream if on_a_gpu else 0,
        tuple(addresses),
        tuple([t.nbytes for t in contiguous]),
    )
    if not len(layout.rows):
        return lambda: [b""] * len(tensors)
    from goldtrace.recording.on_device.kernel import hash_chunks

    answer = torch.empty(layout.words, dtype=torch.int64, device=device)
    # Without a GPU this is Triton's interpreter, in tests.
    with torch.cuda.device(device) if on_a_gpu else nullcontext():
        hash_chunks[(len(layout.rows),)](
            table,
            _constants(device),
            answer.view(torch.uint64),
            **OPTIONS,
        )
    fetched = to_host(answer)
    return lambda: layout.digests(fetched().numpy())


def _copied(tensor: torch.Tensor) -> torch.Tensor:
    return tensor.detach().clone(memory_format=torch.contiguous_format)


@functools.lru_cache(maxsize=8)
def _table(
    device: torch.device,
    stream: int,  # the copy is in order with what else is queued there, and with nothing else
    addresses: tuple[int, ...],
    sizes: tuple[int, ...],
) -> tuple[Layout, torch.Tensor]:
    """The rows on the device; from step to step tensors mostly stay where they are."""
    del stream
    layout = lay_out(addresses, sizes)
    rows = torch.from_numpy(layout.rows)
    if device.type == "cuda":
        return layout, rows.pin_memory().to(device, non_blocking=True)
    return layout, rows


@functools.lru_cache(maxsize=8)
def _constants(device: torch.device) -> torch.Tensor:
    from goldtrace.recording.on_device.kernel import CONSTANTS

    words = torch.from_numpy(np.array(CONSTANTS, dtype=np.uint64).view(np.int64))
    return words.to(device).view(torch.uint64)


@functools.cache
def _works(device: torch.device) -> bool:
    sample = torch.arange(20_011, dtype=torch.int64).to(torch.uint8)
    data = sample.numpy().tobytes()
    expected = xxhash.xxh3_128_digest(data[:16384]) + xxhash.xxh3_128_digest(data[16384:])
    try:
        found = start_hashing([sample.to(device)])()
    except Exception as error:  # noqa: BLE001 - whatever Triton lacks: itself, a compiler, a driver
        problem = f"{type(error).__name__}: {error}"
    else:
        if found == [expected]:
            return True
        problem = "it computes other digests than the CPU"
    _log.warning(
        "digests are computed on the host, since Triton can't be used on %s (%s): "
        "they are the same, and recording takes longer",
        device,
        problem,
    )
    return False
