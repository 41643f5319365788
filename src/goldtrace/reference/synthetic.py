"""Images and token sequences made with integer arithmetic alone.

The bytes are the same on every machine and for every release of Python and numpy: nothing here
rounds, and no library's random generator is asked. Random numbers come from SplitMix64 (Steele,
Lea and Flood, "Fast splittable pseudorandom number generators", OOPSLA 2014), applied to a
counter, in unsigned 64-bit arithmetic that wraps around.
"""

from __future__ import annotations

import enum
from typing import TYPE_CHECKING

import numpy as np

from goldtrace.reference.manifest import packaged_manifest, verify_bytes

if TYPE_CHECKING:
    import numpy.typing as npt

    Words = npt.NDArray[np.uint64]
    Bytes = npt.NDArray[np.uint8]

RECORDS = 1_000
"""Images a split, as in the CIFAR-10 subset."""

SIDE = 32
CLASSES = 10

SEQUENCES = 500
"""Token sequences a split."""

LENGTH = 38
"""Tokens a sequence: 37 inputs, each with the next token as its target."""

VOCABULARY = 23


class Split(enum.Enum):
    """Which part of a data set; the value keeps the random numbers of the parts apart."""

    TRAIN = 1
    TEST = 2


def images(split: Split) -> bytes:
    """``RECORDS`` labelled images in the CIFAR-10 binary format: 1 label and 3,072 pixel bytes.

    A class is a direction and period of stripes and a colour; each image has its own phase and
    noise. Labels come in turn.

    Raises:
        DataError: this machine made other bytes than the manifest lists.
    """
    return _verified("synthetic", f"{split.name.lower()}-0-{RECORDS}.bin", _images(split))


def sequences(split: Split) -> bytes:
    """``SEQUENCES`` rows of ``LENGTH`` tokens below ``VOCABULARY``, one byte each.

    A row counts upwards modulo ``VOCABULARY`` in strides of its own, 1 to 4, and one token in
    sixteen is replaced by a random one, so that a model has to infer the stride from what came
    before.

    Raises:
        DataError: this machine made other bytes than the manifest lists.
    """
    return _verified("strides", f"{split.name.lower()}-0-{SEQUENCES}.bin", _sequences(split))


def _verified(manifest: str, name: str, data: Bytes) -> bytes:
    expected = packaged_manifest(manifest).files[name]
    return verify_bytes(data.tobytes(), expected, where=f"generated {manifest} data, {name}")


def _images(split: Split) -> Bytes:
    index = np.arange(RECORDS, dtype=np.uint64)
    label = index % np.uint64(CLASSES)
    shape = (RECORDS, 1, 1, 1)
    phase = (_draws(split, 10, RECORDS) % np.uint64(SIDE)).reshape(shape)
    kind = label.reshape(shape)
    y = np.arange(SIDE, dtype=np.uint64).reshape(1, 1, SIDE, 1)
    x = np.arange(SIDE, dtype=np.uint64).reshape(1, 1, 1, SIDE)
    channel = np.arange(3, dtype=np.uint64).reshape(1, 3, 1, 1)
    # Even classes have horizontal stripes, odd ones vertical; flips leave both what they are.
    across = np.where(kind % np.uint64(2) == 0, y, x)
    period = np.uint64(3) + kind // np.uint64(2)
    stripe = ((across + phase) // period) % np.uint64(2)
    colour = (kind * np.uint64(7) + channel * np.uint64(11)) % np.uint64(64)
    noise = _draws(split, 11, RECORDS * 3 * SIDE * SIDE).reshape(RECORDS, 3, SIDE, SIDE)
    pixels = np.uint64(40) + stripe * np.uint64(64) + colour + noise % np.uint64(80)
    records = np.concatenate([label.reshape(RECORDS, 1), pixels.reshape(RECORDS, -1)], axis=1)
    return records.astype(np.uint8)


def _sequences(split: Split) -> Bytes:
    size = np.uint64(VOCABULARY)
    token = _draws(split, 20, SEQUENCES) % size
    stride = np.uint64(1) + _draws(split, 21, SEQUENCES) % np.uint64(4)
    noisy = _draws(split, 22, SEQUENCES * LENGTH).reshape(LENGTH, SEQUENCES) % np.uint64(16) == 0
    noise = _draws(split, 23, SEQUENCES * LENGTH).reshape(LENGTH, SEQUENCES) % size
    rows = []
    for step in range(LENGTH):
        rows.append(np.where(noisy[step], noise[step], token))
        token = (token + stride) % size
    return np.ascontiguousarray(np.stack(rows, axis=1)).astype(np.uint8)


def _draws(split: Split, stream: int, count: int) -> Words:
    """``count`` random 64-bit words; each split and stream has its own block of the counter."""
    start = np.uint64((split.value << 56) | (stream << 40))
    word = (np.arange(1, count + 1, dtype=np.uint64) + start) * np.uint64(0x9E3779B97F4A7C15)
    word = (word ^ (word >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    word = (word ^ (word >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return word ^ (word >> np.uint64(31))
