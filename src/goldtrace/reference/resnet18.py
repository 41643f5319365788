"""ResNet-18 on small images: He, Zhang, Ren and Sun, "Deep Residual Learning for Image
Recognition", CVPR 2016, with the stem that is usual for CIFAR (3x3, stride 1, no pooling).

The hyper-parameters in ``run.toml`` keep rounding noise small for as many steps as possible:
see docs/explanation/horizon.md.
"""  # noqa: D205 - the title of the paper does not fit a line

from __future__ import annotations

from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING

import torch
import torchvision
from torch import nn
from torch.nn.functional import cross_entropy
from torch.optim.lr_scheduler import ChainedScheduler, CosineAnnealingLR, LinearLR

import goldtrace
from goldtrace.reference import cifar10, synthetic
from goldtrace.reference.config import read_config, require
from goldtrace.reference.images import (
    SIDE,
    AugmentedImages,
    centre_crop,
    decode,
    normalise,
    training_loader,
)
from goldtrace.reference.manifest import packaged_manifest
from goldtrace.reference.metrics import MulticlassAccuracy
from goldtrace.reference.mixed import Precision, read_mixed

if TYPE_CHECKING:
    from collections.abc import Iterator

    from torch.optim import Optimizer

    from goldtrace import GoldenRun
    from goldtrace.reference.images import LabelledImages

CLASSES = 10
_RECORDS = 1_000


@dataclass(frozen=True, slots=True, kw_only=True)
class Config:
    """The ``[config]`` of a ResNet-18 run."""

    data: str
    """``cifar10`` or ``synthetic``."""
    train_images: int
    """How many of the first training images are used."""
    test_images: int
    crop: int
    """Height and width of what the model sees, in pixels."""
    workers: int
    """Worker processes of the DataLoader."""
    batch_size: int
    epochs: int
    learning_rate: float
    """At the end of the warm-up, before the cosine takes it down."""
    momentum: float
    weight_decay: float
    warmup_steps: int
    label_smoothing: float
    zero_init_residual: bool
    """Whether each residual branch starts as zero."""


def train(run: GoldenRun) -> None:
    """Train for ``epochs`` and report the loss of each step and the accuracy on the test images.

    Raises:
        SpecError: ``[config]`` has a wrong key or value.
        DataError: the data is not what its manifest lists.
        DataUnavailableError: CIFAR-10 is not on this machine and cannot be downloaded.
    """
    _train(run, read_config(Config, run.config, run=run.name), Precision(run.device))


def train_mixed(run: GoldenRun) -> None:
    """``train`` in mixed precision: ``[config]`` has ``precision`` and ``loss_scale`` as well."""
    _train(run, *read_mixed(Config, run))


def _train(run: GoldenRun, config: Config, precision: Precision) -> None:
    config = _checked(config, run.name)
    train_images, test_images = _load(config)
    run.data(config.data, packaged_manifest(config.data).digests())

    dataset = AugmentedImages(train_images, side=config.crop)
    loader = training_loader(dataset, batch_size=config.batch_size, workers=config.workers)
    steps = config.epochs * len(loader)
    # Initial weights are drawn on the CPU, so that every device starts from the same ones.
    model = build_model(zero_init_residual=config.zero_init_residual).to(run.device)
    optimizer = torch.optim.SGD(
        model.parameters(),
        lr=config.learning_rate,
        momentum=config.momentum,
        weight_decay=config.weight_decay,
    )
    scheduler = build_scheduler(optimizer, warmup=config.warmup_steps, steps=steps)
    run.watch(model=model, optimizer=optimizer, scheduler=scheduler, scaler=precision.scaler)

    model.train()
    for _ in range(config.epochs):
        dataset.draw(goldtrace.generator("augmentation"))
        for images, labels in loader:
            with precision.forward():
                logits = model(images.to(run.device))
                loss = cross_entropy(
                    logits, labels.to(run.device), label_smoothing=config.label_smoothing
                )
            precision.backward(loss, optimizer)
            precision.step(optimizer)
            scheduler.step()
            optimizer.zero_grad()
            run.step(loss=loss, batch=(images, labels))

    with precision.forward():
        run.metric(accuracy=_accuracy(model, test_images, config, run.device))


def build_model(*, zero_init_residual: bool) -> nn.Module:
    """Torchvision's ResNet-18 for ten classes, drawn from torch's global CPU stream."""
    model: nn.Module = torchvision.models.resnet18(
        num_classes=CLASSES, zero_init_residual=zero_init_residual
    )
    model.conv1 = nn.Conv2d(3, 64, kernel_size=3, stride=1, padding=1, bias=False)
    model.maxpool = nn.Identity()
    return model


def build_scheduler(optimizer: Optimizer, *, warmup: int, steps: int) -> ChainedScheduler:
    """A linear warm-up times a cosine that ends at zero after ``steps``."""
    # SequentialLR would do too, but makes torch warn about its own use of `step(epoch)`.
    return ChainedScheduler(
        [
            LinearLR(optimizer, start_factor=1 / (warmup + 1), total_iters=warmup),
            CosineAnnealingLR(optimizer, T_max=steps),
        ]
    )


@torch.no_grad()
def _accuracy(
    model: nn.Module, images: LabelledImages, config: Config, device: str
) -> torch.Tensor:
    model.eval()
    accuracy = MulticlassAccuracy(device=torch.device(device))
    for pixels, labels in _batches(images, config.batch_size):
        logits = model(normalise(centre_crop(pixels, config.crop)).to(device))
        accuracy.update(logits, labels.to(device))
    result: torch.Tensor = accuracy.compute()
    return result


def _batches(images: LabelledImages, size: int) -> Iterator[tuple[torch.Tensor, torch.Tensor]]:
    for start in range(0, len(images), size):
        stop = start + size
        yield images.pixels[start:stop], images.labels[start:stop]


def _load(config: Config) -> tuple[LabelledImages, LabelledImages]:
    if config.data == "cifar10":
        train_records, test_records = cifar10.load()
    else:
        train_records = synthetic.images(synthetic.Split.TRAIN)
        test_records = synthetic.images(synthetic.Split.TEST)
    train_images, test_images = decode(train_records), decode(test_records)
    return train_images.head(config.train_images), test_images.head(config.test_images)


def _checked(config: Config, run: str) -> Config:
    check = partial(require, config, run=run)
    check("data", "cifar10 or synthetic", holds=config.data in {"cifar10", "synthetic"})
    check("test_images", f"1 to {_RECORDS}", holds=1 <= config.test_images <= _RECORDS)
    check("train_images", f"1 to {_RECORDS}", holds=1 <= config.train_images <= _RECORDS)
    check("crop", f"1 to {SIDE}", holds=1 <= config.crop <= SIDE)
    check(
        "batch_size",
        f"2 to {config.train_images}, the number of training images",
        holds=2 <= config.batch_size <= config.train_images,  # noqa: PLR2004 - batch norm needs two
    )
    check("epochs", "at least 1", holds=config.epochs >= 1)
    check("warmup_steps", "at least 0", holds=config.warmup_steps >= 0)
    return config
