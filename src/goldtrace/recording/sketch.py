"""A seeded count sketch of a tensor: a few float64 numbers that keep its Euclidean norm.

Element ``j`` is multiplied by a pseudo-random sign and added to bucket ``j mod buckets``. For any
vector the sum of the squared buckets is, on average over the signs, its squared norm, and the
sketch is linear: the sketch of a difference is the difference of the sketches (Charikar, Chen and
Farach-Colton, "Finding frequent items in data streams", ICALP 2002). So two traces tell how far
apart their weights are without holding any.
"""

from __future__ import annotations

import random
from functools import lru_cache
from typing import TYPE_CHECKING

import numpy as np
import torch

from goldtrace.model.verdict import Rung

if TYPE_CHECKING:
    from collections.abc import Mapping

    from goldtrace.model.trace import Sketch
    from goldtrace.recording.ladder import Watched

_PIECE = 1 << 16
"""Elements that take their signs from one place of the stream on."""
_LANES = 64  # partial sums side by side; a multiple of every number of buckets
_TOTAL = 512  # buckets that a step spends on all tensors of a rung together
_FEWEST, _MOST = 2, 8
_SEED = "goldtrace sketch 2"


def buckets_for(tensors: int) -> int:
    """How many buckets each of so many tensors gets: a power of two, from 2 to 8."""
    buckets = _MOST
    while buckets > _FEWEST and buckets * tensors > _TOTAL:
        buckets //= 2
    return buckets


@torch.no_grad()
def sketch_tensors(tensors: Mapping[str, torch.Tensor]) -> dict[str, Sketch]:
    """The sketch of each strided tensor; float64 sums, the same on every device but for rounding.

    Tensors of other layouts are left out.
    """
    chosen = {
        name: tensor.detach()
        for name, tensor in tensors.items()
        if tensor.layout is torch.strided and not tensor.is_quantized
    }
    buckets = buckets_for(len(chosen))
    sums: dict[torch.device, list[tuple[str, torch.Tensor]]] = {}
    for name, tensor in chosen.items():
        sums.setdefault(tensor.device, []).append((name, _lanes(name, tensor)))
    sketches = {}
    for entries in sums.values():
        folded = torch.stack([lanes for _, lanes in entries])
        folded = folded.view(len(entries), -1, buckets).sum(1)
        for (name, _), row in zip(entries, folded.cpu().tolist(), strict=True):
            sketches[name] = tuple(row)
    return {name: sketches[name] for name in chosen}


def _lanes(name: str, tensor: torch.Tensor) -> torch.Tensor:
    """The signed sums of the elements whose places agree modulo ``_LANES``."""
    if tensor.is_complex():
        tensor = torch.view_as_real(tensor.resolve_conj())
    flat = tensor.contiguous().view(-1)
    if not flat.is_floating_point() or flat.itemsize == 1:
        flat = flat.double()
    # A product with a sign is exact in every format, and half as wide as in float64.
    signs = _signs(str(tensor.device), flat.dtype)
    narrow, wide = _scratch(str(tensor.device), flat.dtype)
    starts = _starts(name, 1 + flat.numel() // _PIECE)
    total = torch.zeros(_LANES, dtype=torch.float64, device=tensor.device)
    # A piece at a time, so that the float64 copy stays in the processor's cache.
    for start, piece in zip(starts, torch.split(flat, _PIECE), strict=False):
        count = piece.numel()
        full = count // _LANES * _LANES
        torch.mul(piece, signs[start : start + count], out=narrow[:count])
        signed = wide[:count].copy_(narrow[:count])
        total += signed[:full].view(-1, _LANES).sum(0)
        if full < count:
            total[: count - full] += signed[full:]
    return total


@lru_cache(maxsize=8)
def _signs(device: str, dtype: torch.dtype) -> torch.Tensor:
    bits = random.Random(_SEED).getrandbits(2 * _PIECE).to_bytes(_PIECE // 4, "little")  # noqa: S311
    signs = np.unpackbits(np.frombuffer(bits, dtype=np.uint8)).astype(np.float64) * 2 - 1
    return torch.from_numpy(signs).to(device=device, dtype=dtype)


@lru_cache(maxsize=8)
def _scratch(device: str, dtype: torch.dtype) -> tuple[torch.Tensor, torch.Tensor]:
    """Room for the products of a piece with its signs: to ask for it each time costs a fifth."""
    return (
        torch.empty(_PIECE, dtype=dtype, device=device),
        torch.empty(_PIECE, dtype=torch.float64, device=device),
    )


def _starts(name: str, count: int) -> list[int]:
    """Where in the stream of signs each piece begins.

    Elsewhere for each piece, or rows that change places by whole pieces would cancel.
    """
    stream = random.Random(f"{_SEED} {name}")  # noqa: S311 - signs, not secrets
    return [8 * stream.randrange(_PIECE // 8) for _ in range(count)]


class Movement:
    """How far the weights and buffers of a run have moved since it was watched.

    Sketches are linear: the difference is taken of them, in float64, and no copy of the initial
    tensors is kept. What is handed out is rounded to float32, which halves the bytes and is finer
    than the noise that sketches are there to tell.
    """

    def __init__(self, watched: Watched) -> None:
        self._watched = watched
        self._start = self._sketches()

    def start(self) -> dict[Rung, dict[str, Sketch]]:
        """The sketches of the initial tensors themselves."""
        return {
            rung: {name: _rounded(sketch) for name, sketch in named.items()}
            for rung, named in self._start.items()
        }

    def now(self) -> dict[Rung, dict[str, Sketch]]:
        """The sketch of how far each tensor is from where it began; of a new one, its own."""
        return {
            rung: {
                name: _difference(sketch, self._start.get(rung, {}).get(name))
                for name, sketch in named.items()
            }
            for rung, named in self._sketches().items()
        }

    def _sketches(self) -> dict[Rung, dict[str, Sketch]]:
        sketches = {
            Rung.WEIGHTS: sketch_tensors(self._watched.parameters()),
            Rung.BUFFERS: sketch_tensors(self._watched.buffers()),
        }
        return {rung: named for rung, named in sketches.items() if named}


def _difference(now: Sketch, start: Sketch | None) -> Sketch:
    if start is None or len(start) != len(now):
        return _rounded(now)
    return _rounded(tuple(a - b for a, b in zip(now, start, strict=True)))


def _rounded(sketch: Sketch) -> Sketch:
    return tuple(torch.tensor(sketch, dtype=torch.float64).float().tolist())
