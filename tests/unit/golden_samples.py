"""A small trace and its golden, for the tests of codec and store."""

from __future__ import annotations

import dataclasses
from typing import TYPE_CHECKING, Any

from goldtrace.model.environment import Environment, Revision
from goldtrace.model.scalar import Scalar
from goldtrace.model.trace import INITIAL_STEP, End, Header, StepRecord, Trace
from goldtrace.model.verdict import Change, Rung
from goldtrace.store.golden import Certificate
from goldtrace.store.ledger import LedgerEntry

if TYPE_CHECKING:
    from goldtrace.store.golden import GoldenStore, Plan


def digest(number: int) -> str:
    return f"{number:032x}"


def header(**changes: Any) -> Header:
    sample = Header(
        run="tiny",
        device="cpu",
        platform="cpu-portable",
        origin="package.training:train",
        settings={"config": {"layers": [3, 4.5], "norm": float("inf")}, "seed": 20},
        spec_digest=digest(1) * 2,
        pins={"OMP_NUM_THREADS": "1"},
        environment=Environment(
            system={"python": "3.11.2"}, packages={"torch": "2.15.0", "numpy": "2.4.6"}
        ),
        seeds={"torch": 20},
        data={"cifar10": {"train.bin": digest(2) * 2}},
        revision=Revision(commit=digest(3), dirty=True, diff=digest(4) * 2),
    )
    return dataclasses.replace(sample, **changes)


def trace(*, losses: tuple[float, ...] = (2.5, 1.25, 0.625), **changes: Any) -> Trace:
    tensors = {"layer.weight": digest(5), "layer.bias": digest(6)}
    initial = StepRecord(
        number=INITIAL_STEP,
        ladder={Rung.WEIGHTS: digest(7)},
        rng={"python": digest(8), "torch": digest(9)},
        tensors={Rung.WEIGHTS: tensors, Rung.STRUCTURE: {"layer.weight": "float32[3, 2]"}},
    )
    steps = [
        StepRecord(
            number=number,
            scalars={"loss": Scalar.of(loss, "float32")},
            hyperparameters={
                "group0.lr": Scalar.of(0.1),
                "group0.momentum": Scalar.of(0.9),
                "group0.mode": "nesterov",
            },
            grad_norm=Scalar.of(1.5),
            ladder={Rung.WEIGHTS: digest(10 + number), Rung.BATCH: digest(30 + number)},
            rng={"python": digest(8), "torch": digest(50 + number)},
            samples=digest(70 + number),
            tensors={} if number == 1 else {Rung.WEIGHTS: tensors},
        )
        for number, loss in enumerate(losses)
    ]
    return Trace(
        header=header(**changes),
        steps=(initial, *steps),
        end=End(metrics={"accuracy": Scalar.of(0.5)}, final={Rung.WEIGHTS: digest(90) * 2}),
    )


def entry(reason: str = "because") -> LedgerEntry:
    return LedgerEntry(
        when="2026-01-02T03:04:05+00:00",
        who="A Name <a@example.org>",
        reason=reason,
        moved="step 1, loss: 3 ulp",
        environment_changes=(Change(what="torch", golden="2.14.1", now=None),),
    )


def plan(store: GoldenStore, recorded: Trace, *, reason: str = "because", n: int = 2) -> Plan:
    certificate = Certificate.of(recorded, processes=n)
    return store.plan(recorded, certificate=certificate, entry=entry(reason))


def record(store: GoldenStore, recorded: Trace, *, reason: str = "because", n: int = 2) -> Plan:
    planned = plan(store, recorded, reason=reason, n=n)
    store.apply(planned)
    return planned
