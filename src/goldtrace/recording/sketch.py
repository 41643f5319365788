"""A seeded count sketch of a tensor: a few float64 numbers that keep its Euclidean norm.

Element ``j`` is multiplied by a pseudo-random sign and added to bucket ``j mod buckets``. For any
vector the sum of the squared buckets is, on average over the signs, its squared norm, and the
sketch is linear: the sketch of a difference is the difference of the sketches (Charikar, Chen and
Farach-Colton, "Finding frequent items in data streams", ICALP 2002). So two traces tell how far
apart their weights are without holding any.
"""

from __future__ import annotations

import functools
import random
from itertools import islice
from typing import TYPE_CHECKING

import numpy as np
import torch

from goldtrace.model.verdict import Rung
from goldtrace.override import array_of
from goldtrace.recording.digest import held
from goldtrace.recording.on_device import to_host

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    import numpy.typing as npt

    from goldtrace.model.trace import Sketch
    from goldtrace.recording.ladder import Watched

    _Floats = npt.NDArray[np.float64]

_PIECE = 1 << 16
"""Elements that take their signs from one place of the stream on."""
_LANES = 64  # partial sums side by side; a multiple of every number of buckets
_WIDTH = 1024  # more of them on the host, a multiple again: fewer and longer rows are quicker
_TOTAL = 512  # buckets that a step spends on all tensors of a rung together
_FEWEST, _MOST = 2, 8
_STRIDE = 8  # signs between two places where a piece may begin
_SEED = "goldtrace sketch 2"
_PACKED = 1024  # pieces that a GPU copies side by side: 256 MiB of float32
_AT_ONCE = 256  # pieces of these that it widens to float64 at a time: 128 MiB


def buckets_for(tensors: int) -> int:
    """How many buckets each of so many tensors gets: a power of two, from 2 to 8."""
    buckets = _MOST
    while buckets > _FEWEST and buckets * tensors > _TOTAL:
        buckets //= 2
    return buckets


@torch.no_grad()
def start_sketches(tensors: Mapping[str, torch.Tensor]) -> Callable[[], dict[str, Sketch]]:
    """Begin to sketch tensors as they are now, on the device that holds them; the call waits.

    Float64 sums, the same on every device but for rounding. Tensors that are not strided are left
    out.
    """
    own = {name: held(name, tensor).detach() for name, tensor in tensors.items()}
    chosen = {name: tensor for name, tensor in own.items() if has_numbers(tensor)}
    buckets = buckets_for(len(chosen))
    alike: dict[tuple[torch.device, torch.dtype], dict[str, torch.Tensor]] = {}
    for name, tensor in chosen.items():
        flat = _flat(tensor)
        alike.setdefault((flat.device, flat.dtype), {})[name] = flat
    fetched = []
    for (device, _), flats in alike.items():
        lanes = _packed_lanes(flats) if device.type == "cuda" else _each_lanes(flats)
        # The names alone: what is called later must keep no tensor alive.
        fetched.append((list(flats), to_host(lanes.view(len(flats), -1, buckets).sum(1))))
    order = list(chosen)

    def finish() -> dict[str, Sketch]:
        found = {
            name: tuple(row)
            for names, rows in fetched
            for name, row in zip(names, rows().tolist(), strict=True)
        }
        return {name: found[name] for name in order}

    return finish


def has_numbers(tensor: torch.Tensor) -> bool:
    """Whether a tensor is one block of elements that torch can turn into float64."""
    plain = tensor.layout is torch.strided and not tensor.is_quantized and not tensor.is_nested
    return plain and _widens(tensor.dtype)


@functools.cache
def _widens(dtype: torch.dtype) -> bool:
    """Whether torch converts the dtype: of some, such as packed halves of a byte, it does not."""
    try:
        torch.zeros(1, dtype=torch.uint8).expand(dtype.itemsize).contiguous().view(dtype).to(
            torch.complex128
        )
    except (RuntimeError, NotImplementedError):
        return False
    return True


def _flat(tensor: torch.Tensor) -> torch.Tensor:
    if tensor.is_complex():
        tensor = torch.view_as_real(tensor.resolve_conj())
    flat = tensor.contiguous().view(-1).resolve_neg()
    return flat if flat.is_floating_point() and flat.itemsize > 1 else flat.double()


def _each_lanes(flats: Mapping[str, torch.Tensor]) -> torch.Tensor:
    return torch.from_numpy(np.stack([_lanes(name, flat) for name, flat in flats.items()]))


def _packed_lanes(flats: Mapping[str, torch.Tensor]) -> torch.Tensor:
    """The lanes of flat tensors of one dtype, with few launches for all of them."""
    lanes: list[torch.Tensor] = []
    batch: dict[str, torch.Tensor] = {}
    pieces = 0
    for name, flat in flats.items():
        batch[name] = flat
        pieces += -(-flat.numel() // _PIECE)
        if pieces >= _PACKED:
            lanes += _pack(batch)
            batch, pieces = {}, 0
    return torch.stack([*lanes, *_pack(batch)])


def _pack(flats: Mapping[str, torch.Tensor]) -> list[torch.Tensor]:
    if not flats:
        return []
    first = next(iter(flats.values()))
    counts = [-(-flat.numel() // _PIECE) for flat in flats.values()]
    packed = torch.zeros(sum(counts), _PIECE, dtype=first.dtype, device=first.device)
    parts = torch.split(packed, counts)
    views = [part.view(-1)[: f.numel()] for part, f in zip(parts, flats.values(), strict=True)]
    torch._foreach_copy_(views, list(flats.values()))
    rows = _rows_of(first.device, tuple(zip(flats, counts, strict=True)))
    signs = _signs(str(first.device), first.dtype).unfold(0, _PIECE, _STRIDE)
    # One block in float64 at a time.
    blocks = (
        (block * signs[own]).double()
        for block, own in zip(
            torch.split(packed, _AT_ONCE), torch.split(rows, _AT_ONCE), strict=True
        )
    )
    sums = torch.cat([b.view(len(b), _PIECE // _LANES, _LANES).sum(1) for b in blocks])
    # A sum for each, not a product with a matrix: a NaN must stay in its own tensor.
    return [part.sum(0) for part in torch.split(sums, counts)]


@np.errstate(all="ignore")  # A run that diverged is recorded, and what it warns of is its own.
def _lanes(name: str, flat: torch.Tensor) -> _Floats:
    """The signed sums of the elements whose places agree modulo ``_LANES``, taken on the host.

    A product with a sign is exact in the tensor's own dtype; only the sums need float64.
    """
    # What numpy has: it knows no bfloat16.
    dtype = flat.dtype if flat.dtype is torch.float64 else torch.float32
    signs = _signs("cpu", dtype).numpy()
    wide = _scratch()
    total = np.zeros(_WIDTH)
    # A piece at a time, so that the float64 copy stays in the processor's cache.
    pieces = torch.split(flat, _PIECE) if flat.numel() else ()
    for start, piece in zip(_starts(name, len(pieces)), pieces, strict=True):
        count = len(piece)
        full = -(-count // _WIDTH) * _WIDTH
        own = signs[start : start + count]
        np.multiply(array_of(piece.to("cpu", dtype)), own, out=wide[:count])
        wide[count:full] = 0
        total += wide[:full].reshape(-1, _WIDTH).sum(0)
    sums: _Floats = total.reshape(-1, _LANES).sum(0)
    return sums


@functools.lru_cache(maxsize=8)
@torch.inference_mode(mode=False)
def _signs(device: str, dtype: torch.dtype) -> torch.Tensor:
    bits = random.Random(_SEED).getrandbits(2 * _PIECE).to_bytes(_PIECE // 4, "little")  # noqa: S311
    signs = np.unpackbits(np.frombuffer(bits, dtype=np.uint8)).astype(np.float64) * 2 - 1
    return torch.from_numpy(signs).to(device=device, dtype=dtype)


@functools.cache
def _scratch() -> _Floats:
    """Room for a piece in float64: to ask for it each time costs a fifth."""
    return np.empty(_PIECE)


@functools.lru_cache(maxsize=1 << 14)
def _starts(name: str, count: int) -> tuple[int, ...]:
    """Where in the stream of signs each piece begins.

    Elsewhere for each piece, or rows that change places by whole pieces would cancel.
    """
    stream = random.Random(f"{_SEED} {name}")  # noqa: S311 - signs, not secrets
    return tuple(_STRIDE * stream.randrange(_PIECE // _STRIDE) for _ in range(count))


@functools.lru_cache(maxsize=16)
def _rows_of(device: torch.device, named: tuple[tuple[str, int], ...]) -> torch.Tensor:
    """``_starts`` of all pieces, in strides."""
    starts = [start // _STRIDE for name, count in named for start in _starts(name, count)]
    rows = torch.tensor(starts, dtype=torch.int64)
    if device.type != "cuda":
        return rows
    return rows.pin_memory().to(device, non_blocking=True)


class Movement:
    """How far the weights and buffers of a run have moved since it was watched.

    Sketches are linear: the difference is taken of them, in float64, and no copy of the initial
    tensors is kept. What is handed out is rounded to float32, which halves the bytes and is finer
    than the noise that sketches are there to tell.
    """

    def __init__(self, watched: Watched) -> None:
        self._watched = watched
        self._start = self._sketches()

    def start(self) -> Callable[[], dict[Rung, dict[str, Sketch]]]:
        """The sketches of the initial tensors themselves."""
        return lambda: {rung: _rounded(named) for rung, named in self._start().items()}

    def now(self) -> Callable[[], dict[Rung, dict[str, Sketch]]]:
        """The sketch of how far each tensor is from where it began; of a new one, its own."""
        sketches = self._sketches()
        return lambda: {
            rung: _rounded(
                {
                    name: _difference(sketch, self._start().get(rung, {}).get(name))
                    for name, sketch in named.items()
                }
            )
            for rung, named in sketches().items()
        }

    def _sketches(self) -> Callable[[], dict[Rung, dict[str, Sketch]]]:
        members = self._watched.members()
        started = {
            Rung.WEIGHTS: start_sketches(members.parameters),
            Rung.BUFFERS: start_sketches(members.buffers),
        }

        @functools.cache
        def finish() -> dict[Rung, dict[str, Sketch]]:
            found = {rung: sketches() for rung, sketches in started.items()}
            return {rung: named for rung, named in found.items() if named}

        return finish


def _difference(now: Sketch, start: Sketch | None) -> Sketch:
    if start is None or len(start) != len(now):
        return now
    return tuple(a - b for a, b in zip(now, start, strict=True))


def _rounded(named: Mapping[str, Sketch]) -> dict[str, Sketch]:
    """The sketches as float32, all of them in one conversion."""
    numbers = torch.tensor(
        [each for sketch in named.values() for each in sketch], dtype=torch.float64
    )
    rounded = iter(numbers.float().tolist())
    return {name: tuple(islice(rounded, len(sketch))) for name, sketch in named.items()}
