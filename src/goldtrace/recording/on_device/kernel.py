"""XXH3-128 of many chunks of device memory in one launch, as a Triton kernel.

The algorithm is that of the xxHash specification, "XXH3 algorithm, long input" (seed 0, default
secret; https://github.com/Cyan4973/xxHash/blob/dev/doc/xxhash_spec.md). Within a block of 1,024
bytes the sixteen stripes are only added to the accumulators, so a program reads a block at once;
from block to block it is sequential, and the parallelism comes from the number of chunks.

This module is imported only where a tensor lies on a GPU: it needs Triton.
"""

from __future__ import annotations

import triton
import triton.language as tl

_SECRET = bytes.fromhex(
    "b8fe6c3923a44bbe7c01812cf721ad1cded46de9839097db7240a4a4b7b3671f"
    "cb79e64eccc0e578825ad07dccff7221b8084674f743248ee03590e6813a264c"
    "3c2852bb91c300cb88d0658b1b532ea371644897a20df94e3819ef46a9deacd8"
    "a8fa763fe39c343ff9dcbbc7c70b4f1d8a51e04bcdb45931c89f7ec9d9787364"
    "eac5ac8334d3ebc3c581a0fffa1363eb170ddd51b7f0da49d316552629d4689e"
    "2b16be587d47a1fc8ff8b8d17ad031ce45cb3a8f95160428afd7fbcabb4b407e"
)
_P32 = (0x9E3779B1, 0x85EBCA77, 0xC2B2AE3D)
_P64 = (
    *(0x9E3779B185EBCA87, 0xC2B2AE3D27D4EB4F, 0x165667B19E3779F9),
    *(0x85EBCA77C2B2AE63, 0x27D4EB2F165667C5),
)
_START = (_P32[2], _P64[0], _P64[1], _P64[2], _P64[3], _P32[1], _P64[4], _P32[0])


def _secret_words(offset: int, count: int) -> list[int]:
    return [
        int.from_bytes(_SECRET[place : place + 8], "little")
        for place in range(offset, offset + 8 * count, 8)
    ]


CONSTANTS = (
    *_secret_words(0, 24),  # of the stripes of a block, and from the seventeenth on of scrambling
    *_START,
    *_secret_words(121, 8),  # of the last stripe
    *_secret_words(11, 8),  # of the lower half
    *_secret_words(117, 8),  # of the upper half
)
"""What the kernel reads beside the data: 64-bit words."""


@triton.jit
def hash_chunks(table, constants, out):
    """Program ``i`` hashes the chunk of row ``i`` of ``table``, or copies it if it is short.

    A row of the table holds address (a multiple of eight), length in bytes and the place in
    ``out``, where two words are written, the upper half of the hash first; of a short chunk its
    words instead, the last one with what lies behind it in memory.
    """
    row = table + tl.program_id(0) * 3
    words = tl.load(row).to(tl.pointer_type(tl.uint64))
    length = tl.load(row + 1)
    target = out + tl.load(row + 2)
    if length <= 240:
        word = tl.arange(0, 32)
        has_bytes = word * 8 < length
        tl.store(target + word, tl.load(words + word, mask=has_bytes, other=0), mask=has_bytes)
    else:
        stripe = tl.arange(0, 16)[:, None]
        lane = tl.arange(0, 8)
        place = stripe * 8 + lane[None, :]
        secret = tl.load(constants + stripe + lane[None, :])
        mixer = tl.load(constants + 16 + lane)
        sums = tl.load(constants + 24 + lane)
        blocks = (length - 1) // 1024
        for block in range(blocks):
            data = tl.load(words + block * 128 + place)
            sums += tl.sum(_product(data, secret), 0) + _swapped(tl.sum(data, 0))
            sums = (sums ^ (sums >> 47) ^ mixer) * 0x9E3779B1
        # The stripes that are left, and then the last 64 bytes, some of them once more.
        is_left = stripe < (length - 1 - blocks * 1024) // 64
        rest = tl.load(words + blocks * 128 + place, mask=is_left, other=0)
        product = tl.where(is_left, _product(rest, secret), 0)
        sums += tl.sum(product, 0) + _swapped(tl.sum(rest, 0))
        last = _unaligned(words, length - 64, lane)
        sums += _product(last, tl.load(constants + 32 + lane)) + _swapped(last)
        size = length.to(tl.uint64)
        low = _merged(sums, tl.load(constants + 40 + lane), size * 0x9E3779B185EBCA87)
        high = _merged(
            sums, tl.load(constants + 48 + lane), (size * 0xC2B2AE3D27D4EB4F) ^ 0xFFFFFFFFFFFFFFFF
        )
        tl.store(target, high)
        tl.store(target + 1, low)


@triton.jit
def _product(data, secret):
    keyed = data ^ secret
    return (keyed & 0xFFFFFFFF) * (keyed >> 32)


@triton.jit
def _swapped(lanes):
    """Each pair of the eight lanes exchanged."""
    even, odd = tl.split(tl.reshape(lanes, (4, 2)))
    return tl.reshape(tl.join(odd, even), (8,))


@triton.jit
def _unaligned(words, offset, lane):
    """Eight words from any offset in bytes; reads only words that hold at least a byte of them."""
    first = words + offset // 8 + lane
    shift = (offset % 8 * 8).to(tl.uint64)
    low = tl.load(first) >> shift
    high = tl.load(first + 1, mask=lane * 0 + shift > 0, other=0)
    # Two shifts, because one by 64 has no meaning.
    return low | ((high << 1) << (63 - shift))


@triton.jit
def _merged(sums, secret, start):
    """Half of the hash from the eight accumulators."""
    one, other = tl.split(tl.reshape(sums ^ secret, (4, 2)))
    mixed = start + tl.sum((one * other) ^ tl.umulhi(one, other), 0)
    mixed = (mixed ^ (mixed >> 37)) * 0x165667919E3779F9
    return mixed ^ (mixed >> 32)
