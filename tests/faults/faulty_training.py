"""A small training with a switch for every mistake that people make; run as a child process.

``python faulty_training.py REQUEST.json OUT`` records every variant of the request in one pinned
process and leaves one folder a variant in OUT.
"""

from __future__ import annotations

import json
import math
import sys
from pathlib import Path

import numpy as np
import torch
from torch import nn
from torch.nn.functional import cross_entropy, relu
from torch.utils.data import DataLoader, Dataset

from goldtrace.determinism import generator, seed_everything, seed_worker
from goldtrace.model.codec import encode_trace
from goldtrace.model.spec import RunSpec
from goldtrace.recording import recording

STEPS = 7
BATCH = 7
SAMPLES = 35


class Images(Dataset):
    """Integer-made images; noise comes from numpy when ``noisy``, as in many real datasets."""

    def __init__(self, *, noisy: bool, flipped_byte: bool) -> None:
        size = SAMPLES * 3 * 9 * 9
        values = (torch.arange(size, dtype=torch.int64) * 7919 + 104729) % 251
        self.images = values.reshape(SAMPLES, 3, 9, 9).float() / 251
        self.labels = torch.arange(SAMPLES) % 4
        self.noisy = noisy
        if flipped_byte:
            self.images[11, 0, 0, 0] += 1 / 256

    def __len__(self) -> int:
        return SAMPLES

    def __getitem__(self, index: int) -> tuple[torch.Tensor, torch.Tensor]:
        image = self.images[index]
        if self.noisy:
            image = image + torch.from_numpy(np.random.rand(3, 9, 9).astype(np.float32))  # noqa: NPY002
        return image, self.labels[index]


class Net(nn.Module):
    def __init__(self, config: dict) -> None:
        super().__init__()
        self.conv = nn.Conv2d(3, 5, 3)
        self.norm = nn.BatchNorm2d(
            5, momentum=config.get("bn_momentum", 0.1), eps=config.get("bn_eps", 1e-5)
        )
        self.drop = nn.Dropout(config.get("dropout", 0.1))
        self.head = nn.Linear(5 * 7 * 7, 4)

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        return self.head(self.drop(relu(self.norm(self.conv(images))).flatten(1)))


def build_optimizer(config: dict, model: nn.Module) -> torch.optim.Optimizer:
    parameters = [
        parameter for name, parameter in model.named_parameters() if name != config.get("left_out")
    ]
    if config.get("optimizer", "sgd") == "adamw":
        return torch.optim.AdamW(
            parameters,
            lr=config.get("lr", 1e-3),
            betas=(0.9, config.get("beta2", 0.999)),
            eps=config.get("eps", 1e-8),
            weight_decay=config.get("weight_decay", 1e-2),
        )
    return torch.optim.SGD(
        parameters,
        lr=config.get("lr", 0.05),
        momentum=config.get("momentum", 0.9),
        weight_decay=config.get("weight_decay", 1e-4),
        nesterov=config.get("nesterov", False),
    )


def flip_last_bit(tensor: torch.Tensor) -> None:
    """Change the last bit of the first element."""
    bits = tensor.detach().view(-1)[:1].view(torch.int32)
    bits ^= 1


def train(run) -> None:  # noqa: C901, PLR0912, PLR0915 - one switch a fault, in the order of the loop
    config = run.config
    if config.get("reseed") is not None:
        seed_everything(config["reseed"])
    dataset = Images(
        noisy=config.get("workers", 0) > 0, flipped_byte=config.get("flipped_byte", False)
    )
    loader = DataLoader(
        dataset,
        batch_size=BATCH,
        shuffle=True,
        generator=generator("shuffle"),
        num_workers=config.get("workers", 0),
        worker_init_fn=seed_worker if config.get("worker_init_fn", True) else None,
    )
    model = Net(config).to(run.device)
    if config.get("double"):
        model = model.double()
    if config.get("frozen"):
        model.conv.weight.requires_grad_(requires_grad=False)
    if config.get("last_bit_initial"):
        flip_last_bit(model.head.weight)
    optimizer = build_optimizer(config, model)
    scheduler = torch.optim.lr_scheduler.MultiStepLR(
        optimizer, milestones=[config.get("milestone", 3)], gamma=0.1
    )
    scaler = torch.amp.GradScaler(
        run.device, init_scale=config.get("scale", 1024.0), growth_interval=10**9
    )
    augmentation = torch.default_generator if config.get("global_stream") else generator("noise")
    run.watch(model=model, optimizer=optimizer, scheduler=scheduler, scaler=scaler)
    if config.get("eval"):
        model.eval()
    number = 0
    while number < config.get("steps", STEPS):
        for place, (images, labels) in enumerate(loader):
            if number >= config.get("steps", STEPS):
                break
            if place == config.get("dropped"):
                continue
            x = images + 0.01 * torch.rand(images.shape, generator=augmentation)
            x, y = x.to(run.device), labels.to(run.device)
            if number == config.get("swapped"):
                order = [1, 0, *range(2, len(x))]
                x, y = x[order], y[order]
            if number == config.get("extra_draw"):
                torch.rand(1)
            if config.get("double"):
                x = x.double()
            output = model(x)
            loss = cross_entropy(output, y, label_smoothing=config.get("smoothing", 0.0))
            if number == config.get("nan"):
                loss = loss * math.nan
            scaler.scale(loss).backward()
            scaler.unscale_(optimizer)
            if config.get("clip", 0.5):
                nn.utils.clip_grad_norm_(model.parameters(), config.get("clip", 0.5))
            scaler.step(optimizer)
            scaler.update()
            scheduler.step()
            if config.get("zero_grad", True):
                optimizer.zero_grad()
            if number == config.get("last_bit"):
                flip_last_bit(model.conv.weight)
            extra = {} if config.get("no_accuracy") else {"correct": (output.argmax(1) == y).sum()}
            run.step(loss=loss, batch=(x, y), **extra)
            number += 1
    if not config.get("no_metric"):
        run.metric(final=loss)


def main(request: Path, out: Path) -> None:
    variants = json.loads(request.read_text())
    for name, fields in variants["variants"].items():
        spec = RunSpec(name="fault", entry="faulty_training:train", **fields)
        with recording(spec, variants["device"], root=out) as run:
            threads = torch.get_num_threads()
            torch.set_num_threads(variants.get("threads") or threads)
            train(run)
            torch.set_num_threads(threads)
            files = encode_trace(run.finish())
        (out / name).mkdir()
        for file, content in files.items():
            (out / name / file).write_bytes(content)


if __name__ == "__main__":
    main(Path(sys.argv[1]), Path(sys.argv[2]))
