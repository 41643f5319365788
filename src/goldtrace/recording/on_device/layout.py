"""Which chunks some tensors consist of, and where the answer about each of them lies."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import xxhash

from goldtrace.recording.digest import CHUNK

if TYPE_CHECKING:
    from collections.abc import Sequence

SHORT = 240
"""Bytes up to which XXH3 takes other ways, which are left to the host."""

_WORD = 8
_HASH = 16


@dataclass(frozen=True, slots=True)
class _Place:
    """The answer about a tensor: bytes of its hashes; words and length of a short last chunk."""

    begin: int
    end: int
    tail: int
    tail_length: int


@dataclass(frozen=True, slots=True)
class Layout:
    """The chunks of some tensors.

    ``rows`` has a line for each chunk, in order: its address, its length in bytes, and the place
    of the answer about it, in words of 64 bits. The answer has two words for each chunk that is
    hashed, and behind all of these the contents of the short ones.
    """

    rows: np.ndarray[Any, Any]
    words: int
    hashed: int
    places: tuple[_Place, ...]

    def digests(self, answer: np.ndarray[Any, Any]) -> list[bytes]:
        """For each tensor the digests of its chunks, one behind the other.

        ``answer`` are 64-bit words in the order of the machine. A digest has the upper half first,
        big-endian, as xxHash writes it.
        """
        hashes = answer[: 2 * self.hashed].byteswap().tobytes()
        contents = answer[2 * self.hashed :].tobytes()
        return [
            hashes[place.begin : place.end]
            + (
                xxhash.xxh3_128_digest(contents[place.tail : place.tail + place.tail_length])
                if place.tail_length
                else b""
            )
            for place in self.places
        ]


def lay_out(addresses: Sequence[int], sizes: Sequence[int]) -> Layout:
    """The layout of tensors at these addresses with these sizes in bytes."""
    size = np.array(sizes, dtype=np.int64)
    counts = -(-size // CHUNK)
    tails = size % CHUNK
    has_short_tail = (tails > 0) & (tails <= SHORT)
    hashes = counts - has_short_tail
    hashed = int(hashes.sum())
    tail_words = np.where(has_short_tail, -(-tails // _WORD), 0)

    first = np.cumsum(counts) - counts
    owner = np.repeat(np.arange(len(size)), counts)
    number = np.arange(len(owner)) - first[owner]
    hash_first = np.cumsum(hashes) - hashes
    tail_first = np.cumsum(tail_words) - tail_words
    length = np.minimum(CHUNK, size[owner] - number * CHUNK)
    answer = np.where(
        length > SHORT, 2 * (hash_first[owner] + number), 2 * hashed + tail_first[owner]
    )
    address = np.array(addresses, dtype=np.int64)[owner] + number * CHUNK
    places = zip(
        (_HASH * hash_first).tolist(),
        (_HASH * (hash_first + hashes)).tolist(),
        (_WORD * tail_first).tolist(),
        np.where(has_short_tail, tails, 0).tolist(),
        strict=True,
    )
    return Layout(
        rows=np.ascontiguousarray(np.stack([address, length, answer], axis=1)),
        words=2 * hashed + int(tail_words.sum()),
        hashed=hashed,
        places=tuple(_Place(*place) for place in places),
    )
