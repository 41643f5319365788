"""Labelled images: decoding, augmentation and the loader with worker processes."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import torch
from torch.utils.data import DataLoader, Dataset

import goldtrace

if TYPE_CHECKING:
    from torch import Tensor

SIDE = 32
CHANNELS = 3
_RECORD = 1 + CHANNELS * SIDE * SIDE

# Powers of two and integers: normalising is exact, so it is the same on every machine.
_CENTRE = 120.0
_SCALE = 64.0


@dataclass(frozen=True, slots=True, kw_only=True)
class LabelledImages:
    """``pixels``: uint8 ``[images, 3, 32, 32]``; ``labels``: int64 ``[images]``."""

    pixels: Tensor
    labels: Tensor

    def head(self, count: int) -> LabelledImages:
        """The first ``count`` images."""
        return LabelledImages(pixels=self.pixels[:count], labels=self.labels[:count])

    def __len__(self) -> int:
        return len(self.labels)


def decode(records: bytes) -> LabelledImages:
    """The images in ``records``, in the CIFAR-10 binary format: 1 label and 3,072 pixel bytes."""
    table = torch.frombuffer(bytearray(records), dtype=torch.uint8).reshape(-1, _RECORD)
    pixels = table[:, 1:].reshape(-1, CHANNELS, SIDE, SIDE).contiguous()
    return LabelledImages(pixels=pixels, labels=table[:, 0].long())


def normalise(pixels: Tensor) -> Tensor:
    """Pixels as float32, about in [-2, 2]."""
    return (pixels.float() - _CENTRE) / _SCALE


def centre_crop(pixels: Tensor, side: int) -> Tensor:
    """The middle ``side`` by ``side`` pixels of ``[..., 32, 32]``."""
    edge = (SIDE - side) // 2
    return pixels[..., edge : edge + side, edge : edge + side]


class AugmentedImages(Dataset["tuple[Tensor, Tensor]"]):
    """Images with a random crop and flip, drawn for a whole epoch ahead.

    The draws are a table with one row an image, made in the main process by ``draw``. What an
    image looks like therefore depends on the epoch and its index, and not on which worker
    process happens to fetch it.
    """

    def __init__(self, images: LabelledImages, *, side: int) -> None:
        self._images = images
        self._side = side
        self._table: list[list[int]] = []

    def draw(self, generator: torch.Generator) -> None:
        """Draw crops and flips for the next epoch. Call it before iterating over a loader."""
        count = len(self._images)
        corners = torch.randint(SIDE - self._side + 1, (count, 2), generator=generator)
        flips = torch.randint(2, (count, 1), generator=generator)
        self._table = torch.cat([corners, flips], dim=1).tolist()

    def __len__(self) -> int:
        return len(self._images)

    def __getitem__(self, index: int) -> tuple[Tensor, Tensor]:
        top, left, flip = self._table[index]
        crop = self._images.pixels[index, :, top : top + self._side, left : left + self._side]
        if flip:
            crop = crop.flip(-1)
        return normalise(crop), self._images.labels[index]


def training_loader(
    dataset: AugmentedImages, *, batch_size: int, workers: int
) -> DataLoader[tuple[Tensor, Tensor]]:
    """Shuffled batches of the full size only, from ``workers`` processes (0: this one)."""
    return DataLoader(
        dataset,
        batch_size=batch_size,
        shuffle=True,
        drop_last=True,
        num_workers=workers,
        worker_init_fn=goldtrace.seed_worker,
        generator=goldtrace.generator("shuffle"),
    )
