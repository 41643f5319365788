"""The values of tensors: what is in them, told by digests and a few numbers.

Every input and output of every taped operator is looked at, so the work is kept small: large
tensors are hashed once and remembered until an operator writes to them, and statistics are taken
over a sample, for all values of a step together.
"""

from __future__ import annotations

import functools
import hashlib
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from torch.multiprocessing.reductions import StorageWeakRef

from goldtrace.model.tape import BUCKETS, ELEMENTS, SAMPLE, Statistics, Value
from goldtrace.recording.digest import dense_parts, digest_content, digest_tensor, raw_bytes

if TYPE_CHECKING:
    from collections.abc import Iterator

_TAIL = 64
"""Elements at the end of a tensor that are always sampled: kernels treat them apart."""

_SMALL = 4096
"""Bytes up to which hashing a tensor again is cheaper than remembering that it was hashed."""

_UNKNOWN = "0" * 16
"""The digest of what cannot be looked at."""

_WORDS = {1: np.uint8, 2: np.uint16, 4: np.uint32, 8: np.uint64}

_Words = np.ndarray[Any, Any]


@dataclass(frozen=True, slots=True)
class _Content:
    """A value before its statistics are known: the sampled elements as they lay in memory."""

    digest: str
    dtype: torch.dtype
    shape: tuple[int, ...]
    sampled: _Words | None
    source: bool


class Contents:
    """The values of one step, each once."""

    def __init__(self) -> None:
        self._contents: list[_Content] = []
        self._places: dict[tuple[str, torch.dtype, tuple[int, ...]], int] = {}
        self._known: dict[tuple[int, int, int, torch.dtype], tuple[StorageWeakRef, int, str]] = {}
        self._writes: dict[int, int] = {}
        self._computed: dict[int, StorageWeakRef] = {}

    def __len__(self) -> int:
        return len(self._contents)

    def place_of(self, tensor: torch.Tensor) -> int:
        """The place of the tensor's value among the values of the step."""
        tensor = tensor.detach()
        if tensor.layout is not torch.strided or tensor.is_quantized or tensor.is_nested:
            return self._add(_whole_digest(tensor), tensor, None)
        ((_, dense),) = dense_parts(tensor)
        key = remembered = None
        if dense.numel() * dense.itemsize > _SMALL and dense.is_contiguous():
            storage = dense.untyped_storage()
            identity = storage._cdata  # noqa: SLF001 - as torch's own weak references to storages
            key = (identity, int(dense.storage_offset()), dense.numel(), dense.dtype)
            remembered = self._known.get(key)
            writes = self._writes.get(identity, 0)
            if remembered is not None and remembered[1] == writes:
                found = self._places.get((remembered[2], tensor.dtype, tuple(tensor.shape)))
                if found is not None:
                    return found
        data = raw_bytes(dense)
        digest = digest_content(data)
        if key is not None:
            # While the weak reference stands, no other storage gets the same identity.
            weak = remembered[0] if remembered is not None else _weak(storage)
            self._known[key] = (weak, writes, digest)
        return self._add(digest, tensor, (data, dense.itemsize))

    def written(self, tensor: torch.Tensor) -> None:
        """Forget what is known of a tensor's memory: an operator wrote to it."""
        if tensor.layout is torch.strided:
            storage = tensor.untyped_storage()
            identity = storage._cdata  # noqa: SLF001 - as above
            self._writes[identity] = self._writes.get(identity, 0) + 1
            if identity not in self._computed:
                # Held, so that what the allocator makes there later isn't taken for computed.
                self._computed[identity] = _weak(storage)

    def forget(self) -> None:
        """Forget everything that is known of memory: unseen code may have written anywhere."""
        self._known.clear()

    def same_content(self, one: int, other: int) -> bool:
        """Whether two values have the same dtype and bytes, in whatever shape."""
        left, right = self._contents[one], self._contents[other]
        return (left.digest, left.dtype) == (right.digest, right.dtype)

    def values(self) -> Iterator[Value]:
        """The values in the order of their places."""
        statistics = _statistics(self._contents)
        for place, content in enumerate(self._contents):
            words = content.sampled
            kept = () if words is None else words[_spread(len(words))].tolist()
            width = 0 if words is None else 2 * words.itemsize
            yield Value(
                digest=content.digest,
                dtype=str(content.dtype).removeprefix("torch."),
                shape=content.shape,
                sample=_UNKNOWN if words is None else sample_digest(words.tobytes()),
                elements=tuple(f"{word:0{width}x}" for word in kept),
                statistics=statistics.get(place),
                source=content.source,
            )

    def _add(self, digest: str, tensor: torch.Tensor, data: tuple[memoryview, int] | None) -> int:
        shape = tuple(tensor.shape)
        key = (digest, tensor.dtype, shape)
        place = self._places.get(key)
        if place is None:
            place = self._places[key] = len(self._contents)
            sampled = None
            if data is not None and data[1] in _WORDS:
                words = np.frombuffer(data[0], dtype=_WORDS[data[1]])
                sampled = words[positions(len(words))]
            source = (
                tensor.layout is not torch.strided
                or tensor.untyped_storage()._cdata not in self._computed  # noqa: SLF001 - as above
            )
            self._contents.append(_Content(digest, tensor.dtype, shape, sampled, source))
        return place


def _weak(storage: torch.UntypedStorage) -> StorageWeakRef:
    return StorageWeakRef(storage)  # type: ignore[no-untyped-call]


def sample_digest(data: bytes) -> str:
    """The BLAKE2b-64 of the bytes of a sample, which needs no library but Python's."""
    return hashlib.blake2b(data, digest_size=8).hexdigest()


@functools.lru_cache(maxsize=4096)
def positions(count: int) -> _Words:
    """Which elements of a tensor of ``count`` are sampled, ascending: all, if they are few.

    One from each of many stretches of equal length, and the last ones.
    """
    if count <= SAMPLE:
        return np.arange(count)
    stretches = SAMPLE - _TAIL
    edges = np.arange(stretches + 1, dtype=np.int64) * (count - _TAIL) // stretches
    lengths = np.diff(edges)
    offsets = (_hash(np.arange(stretches)) % lengths.astype(np.uint64)).astype(np.int64)
    return np.concatenate([edges[:-1] + offsets, np.arange(count - _TAIL, count)])


def _whole_digest(tensor: torch.Tensor) -> str:
    try:
        return digest_tensor("", tensor)[:16]
    except (RuntimeError, NotImplementedError, TypeError):
        return _UNKNOWN


def _spread(count: int) -> _Words:
    """Places of the elements that are kept exactly: spread evenly, the last one among them."""
    kept = min(ELEMENTS, count)
    return (np.arange(1, kept + 1) * count) // max(kept, 1) - 1


def _statistics(contents: list[_Content]) -> dict[int, Statistics]:
    """The statistics of the floating-point contents by their places."""
    alike: dict[tuple[torch.dtype, int], list[int]] = {}
    for place, content in enumerate(contents):
        words, dtype = content.sampled, content.dtype
        if words is not None and len(words) and (dtype.is_floating_point or dtype.is_complex):
            alike.setdefault((dtype, len(words)), []).append(place)
    found: dict[int, Statistics] = {}
    for (dtype, count), places in alike.items():
        rows = [contents[place].sampled for place in places]
        words = np.stack([row for row in rows if row is not None])
        part = dtype.to_real() if dtype.is_complex else dtype
        numbers = torch.from_numpy(words.view(np.uint8)).view(part).double().numpy()
        with np.errstate(all="ignore"):
            totals = numbers.sum(axis=1)
            sums = np.abs(numbers).sum(axis=1)
            sketches = [
                (numbers[:, members] * signs).sum(axis=1) for members, signs in _buckets(count)
            ]
        for row, place in enumerate(places):
            found[place] = Statistics(
                count=count,
                total=float(totals[row]),
                absolute=float(sums[row]),
                sketch=tuple(float(sketch[row]) for sketch in sketches),
            )
    return found


@functools.lru_cache(maxsize=4096)
def _buckets(count: int) -> list[tuple[_Words, _Words]]:
    """For each number of a sketch the elements that go into it, and their signs."""
    drawn = _hash(np.arange(count) + SAMPLE)
    signs = np.where(drawn & 0x100, 1.0, -1.0)
    members = [np.flatnonzero(drawn % BUCKETS == bucket) for bucket in range(BUCKETS)]
    return [(chosen, signs[chosen]) for chosen in members]


def _hash(numbers: _Words) -> _Words:
    """The output function of SplitMix64 (Steele, Lea and Flood, 2014): the same on any machine."""
    with np.errstate(over="ignore"):
        mixed = numbers.astype(np.uint64) * np.uint64(0x9E3779B97F4A7C15)
        mixed = (mixed ^ (mixed >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
        mixed = (mixed ^ (mixed >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
        mixed ^= mixed >> np.uint64(31)
    return mixed
