"""A small causal transformer with normalisation before each branch, on a generated task.

Xiong et al., "On Layer Normalization in the Transformer Architecture", ICML 2020. The task is
``synthetic.sequences``: count upwards modulo 23 in a stride to be inferred from the context.
"""

from __future__ import annotations

import math
from contextlib import nullcontext
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING

import torch
from torch import nn
from torch.nn.attention import SDPBackend, sdpa_kernel
from torch.nn.functional import cross_entropy, scaled_dot_product_attention
from torch.optim.lr_scheduler import LambdaLR
from torch.utils.data import DataLoader, TensorDataset

import goldtrace
from goldtrace.reference import synthetic
from goldtrace.reference.config import read_config, require
from goldtrace.reference.manifest import packaged_manifest
from goldtrace.reference.metrics import Mean, MulticlassAccuracy, Perplexity
from goldtrace.reference.mixed import Precision, read_mixed

if TYPE_CHECKING:
    from torch import Tensor

    from goldtrace import GoldenRun


@dataclass(frozen=True, slots=True, kw_only=True)
class Config:
    """The ``[config]`` of a transformer run."""

    train_sequences: int
    test_sequences: int
    width: int
    """Length of a token's vector; ``heads`` divides it."""
    heads: int
    layers: int
    hidden: int
    """Width of the hidden layer of each feed-forward branch."""
    dropout: float
    batch_size: int
    epochs: int
    learning_rate: float
    """At the end of the warm-up; afterwards it falls with the root of the step."""
    warmup_steps: int
    beta1: float
    beta2: float
    eps: float
    weight_decay: float
    """For matrices; biases, gains and embeddings have none."""
    clip_norm: float
    """Gradients are scaled down to this norm."""


def train(run: GoldenRun) -> None:
    """Train for ``epochs``; report each step's loss, then loss, accuracy and perplexity.

    Raises:
        SpecError: ``[config]`` has a wrong key or value.
        DataError: this machine generated other bytes than the manifest lists.
    """
    _train(run, read_config(Config, run.config, run=run.name), Precision(run.device))


def train_mixed(run: GoldenRun) -> None:
    """``train`` in mixed precision: ``[config]`` has ``precision`` and ``loss_scale`` as well."""
    _train(run, *read_mixed(Config, run))


def _train(run: GoldenRun, config: Config, precision: Precision) -> None:
    config = _checked(config, run.name)
    train_tokens = _tokens(synthetic.Split.TRAIN)[: config.train_sequences]
    test_tokens = _tokens(synthetic.Split.TEST)[: config.test_sequences]
    run.data("strides", packaged_manifest("strides").digests())

    loader: DataLoader[tuple[Tensor, ...]] = DataLoader(
        TensorDataset(train_tokens),
        batch_size=config.batch_size,
        shuffle=True,
        drop_last=True,
        generator=goldtrace.generator("shuffle"),
    )
    # Initial weights are drawn on the CPU, so that every device starts from the same ones.
    model = Decoder(config).to(run.device)
    optimizer = build_optimizer(model, config)
    scheduler = LambdaLR(optimizer, lambda step: _rate(step, config.warmup_steps))
    run.watch(model=model, optimizer=optimizer, scheduler=scheduler, scaler=precision.scaler)

    model.train()
    for _ in range(config.epochs):
        for (tokens,) in loader:
            inputs, targets = _shifted(tokens.to(run.device))
            with precision.forward():
                logits = model(inputs)
                loss = cross_entropy(logits.flatten(0, 1), targets.flatten())
            precision.backward(loss, optimizer)
            nn.utils.clip_grad_norm_(model.parameters(), config.clip_norm)
            precision.step(optimizer)
            scheduler.step()
            optimizer.zero_grad()
            run.step(loss=loss, batch=tokens)

    with precision.forward():
        run.metric(**_evaluate(model, test_tokens, config.batch_size, run.device))


class Decoder(nn.Module):
    """Tokens ``[batch, length]`` to the logits of each next token, ``[batch, length, 23]``."""

    def __init__(self, config: Config) -> None:
        super().__init__()
        self.token = nn.Embedding(synthetic.VOCABULARY, config.width)
        self.position = nn.Embedding(synthetic.LENGTH - 1, config.width)
        self.dropout = nn.Dropout(config.dropout)
        self.blocks = nn.ModuleList(Block(config) for _ in range(config.layers))
        self.norm = nn.LayerNorm(config.width)
        self.head = nn.Linear(config.width, synthetic.VOCABULARY)

    def forward(self, tokens: Tensor) -> Tensor:
        """The logits of the token after each of ``tokens``."""
        places = torch.arange(tokens.shape[1], device=tokens.device)
        hidden: Tensor = self.dropout(self.token(tokens) + self.position(places))
        for block in self.blocks:
            hidden = block(hidden)
        logits: Tensor = self.head(self.norm(hidden))
        return logits


class Block(nn.Module):
    """Causal self-attention and a feed-forward branch, each added to its own input."""

    def __init__(self, config: Config) -> None:
        super().__init__()
        self.heads = config.heads
        self.attention_norm = nn.LayerNorm(config.width)
        self.project = nn.Linear(config.width, 3 * config.width)
        self.merge = nn.Linear(config.width, config.width)
        self.feed_norm = nn.LayerNorm(config.width)
        self.feed = nn.Sequential(
            nn.Linear(config.width, config.hidden),
            nn.GELU(),
            nn.Linear(config.hidden, config.width),
        )
        self.dropout = nn.Dropout(config.dropout)

    def forward(self, hidden: Tensor) -> Tensor:
        """``[batch, length, width]`` to the same shape."""
        hidden = hidden + self.dropout(self.merge(self._attend(self.attention_norm(hidden))))
        fed: Tensor = self.dropout(self.feed(self.feed_norm(hidden)))
        return hidden + fed

    def _attend(self, hidden: Tensor) -> Tensor:
        batch, length, width = hidden.shape
        parts = self.project(hidden).view(batch, length, 3, self.heads, width // self.heads)
        query, key, value = parts.permute(2, 0, 3, 1, 4).unbind(0)
        # On CUDA torch would choose among kernels by its release and the card.
        with sdpa_kernel(SDPBackend.MATH) if hidden.is_cuda else nullcontext():
            mixed = scaled_dot_product_attention(query, key, value, is_causal=True)
        return mixed.transpose(1, 2).reshape(batch, length, width)


def build_optimizer(model: nn.Module, config: Config) -> torch.optim.AdamW:
    """AdamW with weight decay on the matrices of linear layers only.

    Fused: the unfused one takes its square roots from MKL on the CPU, whose last bit depends on
    the make of the processor.
    """
    decayed = [module.weight for module in model.modules() if isinstance(module, nn.Linear)]
    chosen = {id(weight) for weight in decayed}
    others = [weight for weight in model.parameters() if id(weight) not in chosen]
    return torch.optim.AdamW(
        [
            {"params": decayed, "weight_decay": config.weight_decay},
            {"params": others, "weight_decay": 0.0},
        ],
        lr=config.learning_rate,
        betas=(config.beta1, config.beta2),
        eps=config.eps,
        fused=True,
    )


def _rate(step: int, warmup: int) -> float:
    if step < warmup:
        return (step + 1) / (warmup + 1)
    return math.sqrt((warmup + 1) / (step + 1))


@torch.no_grad()
def _evaluate(model: nn.Module, tokens: Tensor, size: int, device: str) -> dict[str, Tensor]:
    model.eval()
    on = torch.device(device)
    loss, accuracy, perplexity = (
        Mean(device=on),
        MulticlassAccuracy(device=on),
        Perplexity(device=on),
    )
    for start in range(0, len(tokens), size):
        batch = tokens[start : start + size]
        inputs, targets = _shifted(batch.to(on))
        logits = model(inputs)
        flat = logits.flatten(0, 1)
        loss.update(cross_entropy(flat, targets.flatten()), weight=len(batch))
        accuracy.update(flat, targets.flatten())
        perplexity.update(logits, targets)
    return {
        "test_loss": loss.compute(),
        "accuracy": accuracy.compute(),
        "perplexity": perplexity.compute(),
    }


def _shifted(tokens: Tensor) -> tuple[Tensor, Tensor]:
    return tokens[:, :-1], tokens[:, 1:]


def _tokens(split: synthetic.Split) -> Tensor:
    data = torch.frombuffer(bytearray(synthetic.sequences(split)), dtype=torch.uint8)
    return data.reshape(synthetic.SEQUENCES, synthetic.LENGTH).long()


def _checked(config: Config, run: str) -> Config:
    check = partial(require, config, run=run)
    limit = synthetic.SEQUENCES
    check("train_sequences", f"1 to {limit}", holds=1 <= config.train_sequences <= limit)
    check("test_sequences", f"1 to {limit}", holds=1 <= config.test_sequences <= limit)
    check("heads", "at least 1", holds=config.heads >= 1)
    check("width", "a multiple of heads", holds=config.width % config.heads == 0)
    check(
        "batch_size",
        f"1 to {config.train_sequences}, the number of training sequences",
        holds=1 <= config.batch_size <= config.train_sequences,
    )
    check("epochs", "at least 1", holds=config.epochs >= 1)
    check("warmup_steps", "at least 0", holds=config.warmup_steps >= 0)
    return config
