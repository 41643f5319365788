"""A small trace and its golden, for the tests of codec and store."""

from __future__ import annotations

import dataclasses
import math
from typing import TYPE_CHECKING, Any

from goldtrace.model.calibration import Calibration, Response
from goldtrace.model.codec import encode_trace, trace_digest
from goldtrace.model.environment import Environment, Revision
from goldtrace.model.noise import Noise
from goldtrace.model.scalar import Scalar
from goldtrace.model.tape import Call, Phase, Statistics, TapedStep, Value
from goldtrace.model.trace import INITIAL_STEP, End, Header, StepRecord, Trace
from goldtrace.model.verdict import Change, Rung
from goldtrace.store.golden import Certificate
from goldtrace.store.ledger import LedgerEntry

if TYPE_CHECKING:
    from goldtrace.store.golden import GoldenStore, Plan


VALUES = (
    Value(
        digest="0123456789abcdef",
        dtype="float32",
        shape=(2, 3),
        sample="fedcba9876543210",
        elements=("3f800000", "7fc00000"),
        statistics=Statistics(
            count=6, total=-0.0, absolute=math.inf, sketch=(1.5, -2.5, 0.0, 1e300)
        ),
        source=True,
    ),
    Value(digest="0" * 16, dtype="bool", shape=(), sample="1" * 16, elements=("01",)),
    Value(digest="f" * 16, dtype="float32", shape=(0,), sample="2" * 16, elements=()),
)
CALLS = (
    Call(op="aten::mm", phase=Phase.FORWARD, place=0, inputs=(0, 0), outputs=(1,), module="a.b"),
    Call(op="aten::rand", phase=Phase.DATA, place=7, random=True, arguments={"p": "0.1"}),
    Call(op="aten::mm", phase=Phase.BACKWARD, place=9, line="a.py:3", outputs=(1, 2), module="é"),
)
TAPE_STEPS = (
    TapedStep(number=0, values=VALUES, calls=CALLS),
    TapedStep(number=10, values=(), calls=()),
)


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


def taped(**changes: Any) -> Trace:
    """A trace that fills every file of a golden."""
    return dataclasses.replace(trace(**changes), tape=TAPE_STEPS)


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
    measured = calibration(recorded) if recorded.tape else None
    return store.plan(recorded, certificate=certificate, entry=entry(reason), calibration=measured)


def calibration(recorded: Trace) -> Calibration:
    return Calibration(
        golden=trace_digest(encode_trace(recorded)),
        noises=(Noise(ulp=1.0, seed=1), Noise(ulp=64.0, seed=2)),
        scalars={"loss": {0: Response(1e-7, 6e-6), 1: Response(0.0, float("inf"))}},
        metrics={"accuracy": Response(0.0, 0.125)},
        tensors={Rung.WEIGHTS: {0: {"layer.weight": Response(1e-8, 1e-6)}}},
        horizons={"loss": 0, "weights": 0},
    )


def record(store: GoldenStore, recorded: Trace, *, reason: str = "because", n: int = 2) -> Plan:
    planned = plan(store, recorded, reason=reason, n=n)
    store.apply(planned)
    return planned
