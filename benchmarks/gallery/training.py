"""The trainings of the gallery: with batch norm, with attention, with a package."""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch
from torch import nn
from torch.nn.functional import cross_entropy

if TYPE_CHECKING:
    from goldtrace.recording import GoldenRun


class Mean(nn.Module):
    """What pooling to one pixel does, with sums in another order."""

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """The mean of each channel, ``[batch, channels]``."""
        return x.sum(3).sum(2) / (x.shape[2] * x.shape[3])


def vision(run: GoldenRun) -> None:
    """Images of noise with one of five patterns in them, 40 steps of SGD with a cosine schedule."""
    norm = {"eps": run.config["eps"]}
    model = nn.Sequential(
        nn.Conv2d(3, 24, 3, padding=1, bias=False),
        nn.BatchNorm2d(24, **norm),
        nn.SiLU(),
        nn.Conv2d(24, 40, 3, stride=2, padding=1, bias=False),
        nn.BatchNorm2d(40, **norm),
        nn.SiLU(),
        Mean() if run.config["mean"] else nn.Sequential(nn.AdaptiveAvgPool2d(1), nn.Flatten()),
        nn.Linear(40, 5),
    )
    _train(run, model, torch.randn(5, 3, 23, 23), torch.optim.SGD, momentum=0.9, weight_decay=5e-4)


class Attention(nn.Module):
    """Two encoder layers over 17 positions, and a label for the whole."""

    def __init__(self) -> None:
        super().__init__()
        layer = nn.TransformerEncoderLayer(36, 3, 72, dropout=0.1, batch_first=True)
        self.encoder = nn.TransformerEncoder(layer, 2, enable_nested_tensor=False)
        self.head = nn.Linear(36, 5)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Logits ``[batch, 5]`` of ``x``, ``[batch, 17, 36]``."""
        return self.head(self.encoder(x).mean(1))


def language(run: GoldenRun) -> None:
    """Sequences with one of five patterns in them, 40 steps of AdamW with a cosine schedule."""
    _train(run, Attention(), torch.randn(5, 17, 36), torch.optim.AdamW, weight_decay=0.01)


def packaged(run: GoldenRun) -> None:
    """The images again, normalised by a package of which there are several releases."""
    import tinynorm

    model = nn.Sequential(
        nn.Flatten(),
        tinynorm.Norm(3 * 11 * 11),
        nn.Linear(3 * 11 * 11, 40),
        nn.SiLU(),
        nn.Linear(40, 5),
    )
    _train(run, model, torch.randn(5, 3, 11, 11), torch.optim.AdamW, weight_decay=0.01)


def _train(
    run: GoldenRun,
    model: nn.Module,
    patterns: torch.Tensor,
    kind: type[torch.optim.Optimizer],
    **settings: float,
) -> None:
    optimizer = kind(model.parameters(), lr=run.config["learning_rate"], **settings)
    scheduler = torch.optim.lr_scheduler.OneCycleLR(
        optimizer, max_lr=run.config["learning_rate"], total_steps=41, pct_start=0.15
    )
    run.watch(model=model, optimizer=optimizer, scheduler=scheduler)
    for _ in range(40):
        labels = torch.randint(5, (29,))
        images = 0.6 * patterns[labels] + torch.randn(29, *patterns.shape[1:])
        logits = model(images)
        loss = cross_entropy(logits, labels)
        loss.backward()
        optimizer.step()
        scheduler.step()
        optimizer.zero_grad()
        accuracy = (logits.argmax(1) == labels).float().mean()
        run.step(loss=loss, batch=(images, labels), accuracy=accuracy)
    run.metric(final_accuracy=accuracy)
