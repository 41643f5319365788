"""Random draws, initial weights and optimizers."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import torch
from torch.nn import functional as F  # noqa: N812 - as torch's documentation writes it
from torch.nn import init

from goldtrace.reference.atlas.case import CHANCE, FLAT, POSITIVE, one
from goldtrace.reference.atlas.inputs import Real

if TYPE_CHECKING:
    from goldtrace.reference.atlas.case import Case


def cases() -> list[Case]:
    """Every case of this group, in a fixed order."""
    return [
        *_draws(),
        *_initialisers(),
        *_optimizers(),
    ]


def _draws() -> list[Case]:
    """Random draws, each after the same seed: another result is another stream."""
    empty = Real((5, 37))
    fills = "uniform_ normal_ exponential_ cauchy_ log_normal_ bernoulli_ random_"
    options: dict[str, Any] = {"backward": False}

    def fill(x: Any, *, name: str) -> Any:
        return getattr(x.clone(), name)()

    return [
        *(
            one(name, lambda x, name=name: fill(x, name=name), empty, **options)
            for name in fills.split()
        ),
        one("geometric_", lambda x: x.clone().geometric_(0.3), empty, **options),
        one("randn", lambda x: torch.randn(3, 41, dtype=x.dtype), empty, **options),
        one("randn_short", lambda x: torch.randn(11, dtype=x.dtype), empty, **options),
        one("rand", lambda x: torch.rand(3, 41, dtype=x.dtype), empty, **options),
        one("randint", lambda _: torch.randint(0, 1000, (41,)), empty, **options),
        one("randperm", lambda _: torch.randperm(1031), empty, **options),
        one("bernoulli", torch.bernoulli, CHANCE, **options),
        one("poisson", torch.poisson, POSITIVE, **options),
        one("binomial", lambda p: torch.binomial(torch.full_like(p, 9), p), CHANCE, **options),
        one("multinomial", lambda p: p.multinomial(11), CHANCE, **options),
        one(
            "multinomial_replaced",
            lambda p: p.multinomial(41, replacement=True),
            CHANCE,
            **options,
        ),
        one("gamma", torch._standard_gamma, POSITIVE, **options),  # noqa: SLF001
        one("dropout", F.dropout, FLAT),
        one("alpha_dropout", lambda x: F.alpha_dropout(x, training=True), FLAT),
        one("rrelu", lambda x: F.rrelu(x, training=True), FLAT),
        one("gumbel_softmax", F.gumbel_softmax, FLAT),
    ]


def _initialisers() -> list[Case]:
    """``torch.nn.init`` on a convolution's weight, each after the same seed."""
    names = "xavier_uniform_ xavier_normal_ kaiming_uniform_ kaiming_normal_ trunc_normal_"
    weight = Real((11, 6, 3, 3))

    def initialised(x: Any, *, name: str) -> Any:
        return getattr(init, name)(x.clone())

    return [
        one(name, lambda x, name=name: initialised(x, name=name), weight, backward=False)
        for name in f"{names} orthogonal_".split()
    ]


def _optimizers() -> list[Case]:
    """Three steps of each optimizer on a quadratic, weights as the output."""
    made: dict[str, tuple[str, dict[str, Any]]] = {
        "sgd": ("SGD", {"momentum": 0.9, "nesterov": True}),
        "adam": ("Adam", {}),
        "adamw_fused": ("AdamW", {"fused": True}),
        "adamw_foreach": ("AdamW", {"foreach": True, "weight_decay": 0.05}),
        "adagrad": ("Adagrad", {}),
        "rmsprop": ("RMSprop", {"momentum": 0.5}),
        "adadelta": ("Adadelta", {}),
        "nadam": ("NAdam", {}),
        "radam": ("RAdam", {}),
        "adamax": ("Adamax", {}),
    }

    def run(x: Any, *, kind: str, options: dict[str, Any]) -> Any:
        weight = x.detach().clone().requires_grad_()
        optimizer = getattr(torch.optim, kind)([weight], lr=0.03, **options)
        for _ in range(3):
            optimizer.zero_grad()
            (weight * weight * 0.37).sum().backward()
            optimizer.step()
        return weight.detach()

    return [
        one(
            f"optimizer_{name}",
            lambda x, kind=kind, options=options: run(x, kind=kind, options=options),
            FLAT,
            backward=False,
        )
        for name, (kind, options) in made.items()
    ]
