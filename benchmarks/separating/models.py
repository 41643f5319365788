"""The five runs of the separation benchmark: the reference runs, and two of other kinds."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from torch import nn
from torch.nn.functional import cross_entropy
from torch.utils.data import DataLoader, TensorDataset

import goldtrace
from goldtrace.model.spec import RunSpec
from goldtrace.store.declared import load_run

if TYPE_CHECKING:
    from goldtrace import GoldenRun

_GOLDEN = Path(__file__).parents[2] / "golden"
REFERENCE = ("transformer", "resnet18-synthetic", "resnet18-cifar10")
OTHERS = ("lstm", "depthwise")
RUNS = (*REFERENCE, *OTHERS)


def specs() -> dict[str, RunSpec]:
    """The runs by name."""
    runs = {name: load_run(_GOLDEN / name / "run.toml") for name in REFERENCE}
    for name in OTHERS:
        runs[name] = RunSpec(name=name, entry=f"separating.models:{name}", seed=20)
    return runs


class Tagger(nn.Module):
    """A two-layer LSTM that labels each token."""

    def __init__(self) -> None:
        super().__init__()
        self.embedding = nn.Embedding(31, 27)
        self.lstm = nn.LSTM(27, 45, num_layers=2, batch_first=True)
        self.dropout = nn.Dropout(0.1)
        self.head = nn.Linear(45, 31)

    def forward(self, tokens: torch.Tensor) -> torch.Tensor:
        """``[batch, length]`` to ``[batch, length, 31]``."""
        hidden, _ = self.lstm(self.embedding(tokens))
        return self.head(self.dropout(hidden))


def lstm(run: GoldenRun) -> None:
    """Predict the next token of sequences that count in strides, with Adam."""
    start = torch.randint(0, 31, (189, 1))
    stride = torch.randint(1, 5, (189, 1))
    tokens = (start + stride * torch.arange(20)) % 31
    model = Tagger()
    optimizer = torch.optim.AdamW(
        model.parameters(), lr=2e-3, betas=(0.9, 0.999), weight_decay=0.05, fused=True
    )
    scheduler = torch.optim.lr_scheduler.LambdaLR(optimizer, lambda step: min(1, (step + 1) / 5))
    _train(run, model, optimizer, scheduler, TensorDataset(tokens[:, :-1], tokens[:, 1:]), 21)


def depthwise(run: GoldenRun) -> None:
    """Tell ten noisy patterns apart with depthwise separable convolutions, batch norm and SGD."""

    def block(width: int, wider: int, stride: int) -> list[nn.Module]:
        return [
            nn.Conv2d(width, width, 3, stride, 1, groups=width, bias=False),
            nn.BatchNorm2d(width),
            nn.ReLU6(),
            nn.Conv2d(width, wider, 1, bias=False),
            nn.BatchNorm2d(wider),
            nn.ReLU6(),
        ]

    labels = torch.arange(150) % 10
    images = torch.rand(10, 3, 21, 21)[labels] + 0.5 * torch.rand(150, 3, 21, 21)
    model = nn.Sequential(
        nn.Conv2d(3, 18, 3, 1, 1, bias=False),
        nn.BatchNorm2d(18),
        nn.ReLU6(),
        *block(18, 34, 2),
        *block(34, 66, 1),
        nn.AdaptiveAvgPool2d(1),
        nn.Flatten(),
        nn.Dropout(0.1),
        nn.Linear(66, 10),
    )
    optimizer = torch.optim.SGD(model.parameters(), lr=0.02, momentum=0.9, weight_decay=5e-4)
    scheduler = torch.optim.lr_scheduler.LambdaLR(optimizer, lambda step: min(1, (step + 1) / 5))
    _train(run, model, optimizer, scheduler, TensorDataset(images, labels), 15)


def _train(
    run: GoldenRun, model: nn.Module, optimizer: Any, scheduler: Any, data: Any, size: int
) -> None:
    loader = DataLoader(data, size, shuffle=True, generator=goldtrace.generator("shuffle"))
    run.watch(model=model, optimizer=optimizer, scheduler=scheduler)
    model.train()
    while True:
        for inputs, labels in loader:
            loss = cross_entropy(model(inputs).flatten(0, -2), labels.flatten())
            loss.backward()
            optimizer.step()
            scheduler.step()
            optimizer.zero_grad()
            run.step(loss=loss, batch=(inputs, labels))
