"""Every mistake that people make is told: the verdict, the step and the rung where it begins."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from goldtrace.compare import compare_traces
from goldtrace.determinism import profile_for
from goldtrace.diagnose import diagnose
from goldtrace.environment import changes
from goldtrace.model.codec import decode_trace
from goldtrace.model.diagnosis import Cause
from goldtrace.model.tape import Phase
from goldtrace.model.trace import INITIAL_STEP
from goldtrace.model.verdict import Rung, Verdict

if TYPE_CHECKING:
    from goldtrace.model.trace import Trace

SGD: dict[str, object] = {}
ADAMW: dict[str, object] = {"optimizer": "adamw"}
WORKERS: dict[str, object] = {"workers": 2}


@dataclass(frozen=True)
class Fault:
    """One mistake, the training that it is made in, and where it must first be seen."""

    name: str
    change: dict[str, object]
    step: int | None
    rung: Rung
    quantity: str
    base: dict[str, object] = field(default_factory=dict)
    note: str = ""


FAULTS = [
    Fault("learning rate by 0.1 %", {"lr": 0.05 * 1.001}, 0, Rung.LR, "group0.lr"),
    Fault("schedule off by one", {"milestone": 4}, 3, Rung.LR, "group0.lr"),
    Fault("AdamW eps", {"eps": 2e-8}, 0, Rung.LR, "group0.eps", ADAMW),
    Fault("AdamW beta2", {"beta2": 0.9991}, 0, Rung.LR, "group0.betas[1]", ADAMW),
    Fault("weight decay by 1 %", {"weight_decay": 1.01e-4}, 0, Rung.LR, "group0.weight_decay"),
    Fault("momentum", {"momentum": 0.9001}, 0, Rung.LR, "group0.momentum"),
    Fault("nesterov", {"nesterov": True}, 0, Rung.LR, "group0.nesterov"),
    Fault("loss scale", {"scale": 2048.0}, 0, Rung.LR, "scaler.scale"),
    Fault(
        "one weight's last bit, initially",
        {"last_bit_initial": True},
        INITIAL_STEP,
        Rung.WEIGHTS,
        "head.weight",
    ),
    Fault("one weight's last bit, later", {"last_bit": 2}, 2, Rung.WEIGHTS, "weights"),
    Fault("two samples swapped", {"swapped": 1}, 1, Rung.BATCH, "batch", note="another order"),
    Fault("one batch dropped", {"dropped": 2}, 2, Rung.BATCH, "batch"),
    Fault("one pixel of the data", {"flipped_byte": True}, None, Rung.BATCH, "batch"),
    Fault(
        "augmentation from the global stream",
        {"global_stream": True},
        INITIAL_STEP,
        Rung.RNG,
        "generator:noise",
    ),
    Fault("no worker_init_fn", {"worker_init_fn": False}, 0, Rung.BATCH, "batch", WORKERS),
    Fault("an extra draw", {"extra_draw": 4}, 4, Rung.RNG, "torch"),
    Fault("evaluation mode", {"eval": True}, 0, Rung.RNG, "torch"),
    Fault("dropout probability", {"dropout": 0.101}, 0, Rung.LOSS, "loss"),
    Fault("label smoothing", {"smoothing": 1e-4}, 0, Rung.LOSS, "loss"),
    Fault("batch norm eps", {"bn_eps": 1.1e-5}, 0, Rung.LOSS, "loss"),
    Fault("NaN", {"nan": 3}, 3, Rung.LOSS, "loss"),
    Fault("batch norm momentum", {"bn_momentum": 0.101}, 0, Rung.BUFFERS, "norm.running_mean"),
    Fault("no gradient clipping", {"clip": 0.0}, 0, Rung.GRADIENTS, "conv.bias"),
    Fault("zero_grad skipped", {"zero_grad": False}, 1, Rung.GRADIENTS, "gradients"),
    Fault("dtype", {"double": True}, INITIAL_STEP, Rung.STRUCTURE, "conv.bias"),
    Fault(
        "a parameter left out of the optimizer",
        {"left_out": "head.bias"},
        INITIAL_STEP,
        Rung.STRUCTURE,
        "head.bias",
    ),
    Fault("a frozen layer", {"frozen": True}, INITIAL_STEP, Rung.STRUCTURE, "conv.weight"),
    Fault("another optimizer", ADAMW, INITIAL_STEP, Rung.STRUCTURE, "optimizer"),
    Fault("one step fewer", {"steps": 6}, 6, Rung.STRUCTURE, "step"),
    Fault("one step more", {"steps": 8}, 7, Rung.STRUCTURE, "step"),
    Fault("a scalar gone", {"no_accuracy": True}, 0, Rung.METRIC, "correct"),
    Fault("a metric gone", {"no_metric": True}, None, Rung.METRIC, "final"),
]
SEED = Fault("seed", {}, INITIAL_STEP, Rung.RNG, "generator:noise")

CAUSES: dict[str, tuple[Cause, str | None]] = {
    "learning rate by 0.1 %": (Cause.ARGUMENT, "aten::add_.Tensor"),
    "schedule off by one": (Cause.ARGUMENT, "aten::add_.Tensor"),
    "AdamW eps": (Cause.ARGUMENT, "aten::add_.Tensor"),
    "AdamW beta2": (Cause.ARGUMENT, "aten::mul_.Tensor"),
    "weight decay by 1 %": (Cause.ARGUMENT, "aten::add.Tensor"),
    "momentum": (Cause.ARGUMENT, "aten::mul_.Tensor"),
    "nesterov": (Cause.ARGUMENT, "aten::add.Tensor"),
    "loss scale": (Cause.ARGUMENT, "aten::full"),
    "one weight's last bit, initially": (Cause.ROUNDING, None),
    "one weight's last bit, later": (Cause.PROGRAM, "aten::bitwise_xor_.Scalar"),
    "two samples swapped": (Cause.DATA, None),
    "one batch dropped": (Cause.DATA, None),
    "one pixel of the data": (Cause.DATA, None),
    "augmentation from the global stream": (Cause.RNG, None),
    "no worker_init_fn": (Cause.DATA, None),
    "an extra draw": (Cause.RNG, "aten::rand"),
    "evaluation mode": (Cause.ARGUMENT, "aten::native_batch_norm"),
    "dropout probability": (Cause.ARGUMENT, "aten::bernoulli_.float"),
    "label smoothing": (Cause.PROGRAM, "aten::sum.dim_IntList"),
    "batch norm eps": (Cause.ARGUMENT, "aten::native_batch_norm"),
    "NaN": (Cause.PROGRAM, "aten::mul.Tensor"),
    "batch norm momentum": (Cause.ARGUMENT, "aten::native_batch_norm"),
    "no gradient clipping": (Cause.PROGRAM, "aten::_foreach_norm.Scalar"),
    "zero_grad skipped": (Cause.PROGRAM, "aten::add_.Tensor"),
    "dtype": (Cause.PRECISION, None),
    SEED.name: (Cause.RNG, None),
}
"""The class of each fault and the operator that it is seen at, on the CPU; any other is a change of
the program that no operator shows. On a GPU the operator may be another one."""

ON_A_GPU = {"evaluation mode": "cuda:0"}
"""Quantities that have another name there: dropout draws from the GPU's stream."""


@pytest.fixture(scope="session")
def traces(tmp_path_factory, request) -> dict[str, Trace]:
    """Every variant, recorded in one pinned child process."""
    device = (request.config.getoption("golden_device", None) or "cpu").split(",")[0]
    out = tmp_path_factory.mktemp("faults")
    variants = {
        "sgd": {"config": SGD},
        "adamw": {"config": ADAMW},
        "workers": {"config": WORKERS},
        "sgd again": {"config": SGD},
        "workers again": {"config": WORKERS},
        SEED.name: {"config": SGD, "seed": 1},
    }
    variants |= {fault.name: {"config": {**fault.base, **fault.change}} for fault in FAULTS}
    variants = {name: {**fields, "tape": list(range(5))} for name, fields in variants.items()}
    request_file = out / "request.json"
    request_file.write_text(json.dumps({"variants": variants, "device": device}))
    child = subprocess.run(
        [sys.executable, Path(__file__).with_name("faulty_training.py"), request_file, out],
        env={**os.environ, **profile_for("cpu-portable", device).environment()},
        capture_output=True,
        text=True,
        check=False,
    )
    if "DeviceUnavailableError" in child.stderr:
        pytest.skip("no CUDA device is available")
    assert child.returncode == 0, child.stderr[-4000:]
    return {
        name: decode_trace({path.name: path.read_bytes() for path in (out / name).iterdir()})
        for name in variants
    }


@pytest.mark.parametrize("fault", [*FAULTS, SEED], ids=lambda fault: fault.name)
def test_a_fault_is_drift_from_the_step_and_rung_where_it_begins(traces, fault):
    golden = traces[_base(fault)]
    comparison = compare_traces(golden, traces[fault.name], tolerance={})
    first = comparison.first
    assert comparison.verdict is Verdict.DRIFT
    assert first is not None
    assert first.rung is fault.rung
    if fault.step is not None:
        assert first.step == fault.step
    on_a_gpu = golden.header.device == "cuda"
    assert first.name == (ON_A_GPU.get(fault.name, fault.quantity) if on_a_gpu else fault.quantity)
    assert fault.note in (first.note or "")


@pytest.mark.parametrize("fault", [*FAULTS, SEED], ids=lambda fault: fault.name)
def test_a_fault_is_diagnosed_with_its_class_and_operator(traces, fault):
    golden, now = traces[_base(fault)], traces[fault.name]
    comparison = compare_traces(
        golden, now, tolerance={}, environment_changes=changes(golden.header, now.header)
    )
    diagnosis = diagnose(golden, now, comparison)
    assert diagnosis is not None
    cause, op = CAUSES.get(fault.name, (Cause.PROGRAM, None))
    assert diagnosis.cause is cause
    if golden.header.device == "cpu":
        assert diagnosis.op == op
    else:
        assert (diagnosis.op is None) == (op is None)
    if op is not None:
        assert "faulty_training.py:" in str(diagnosis.culprits[0].line or diagnosis.sentence) or (
            diagnosis.culprits[0].phase is Phase.BACKWARD
        )
    assert diagnosis.suspects[0].what.startswith("setting ")


def test_an_argument_is_named_with_both_values_and_the_users_line(traces):
    golden, now = traces["sgd"], traces["dropout probability"]
    diagnosis = diagnose(golden, now, compare_traces(golden, now, tolerance={}))
    assert diagnosis is not None
    # On a GPU dropout is one operator, which is given the probability to drop.
    values = "p 0.9 → 0.899" if golden.header.device == "cpu" else "p 0.1 → 0.101"
    assert values in diagnosis.sentence
    source = Path(__file__).with_name("faulty_training.py").read_text().splitlines()
    line = str(diagnosis.culprits[0].line).rpartition(":")[2]
    assert "self.drop(" in source[int(line) - 1]


def test_without_a_tape_the_ladder_still_gives_an_answer(traces):
    for fault in [*FAULTS, SEED]:
        golden = replace(traces[_base(fault)], tape=())
        now = replace(traces[fault.name], tape=())
        diagnosis = diagnose(golden, now, compare_traces(golden, now, tolerance={}))
        assert diagnosis is not None
        assert diagnosis.op is None
        assert diagnosis.sentence
        cause, _ = CAUSES.get(fault.name, (Cause.PROGRAM, None))
        if diagnosis.cause is not None and diagnosis.rung is not Rung.RNG:
            assert diagnosis.cause is cause
        else:
            assert diagnosis.notes or diagnosis.rung in (Rung.RNG, Rung.WEIGHTS)


def test_a_replayed_step_is_held_against_a_tape_of_the_golden(traces):
    golden = replace(traces["sgd"], tape=traces["sgd"].tape[:1])
    now = traces["NaN"]
    comparison = compare_traces(golden, now, tolerance={})
    taped = now.taped(3)
    assert taped is not None
    diagnosis = diagnose(golden, replace(now, tape=(taped,)), comparison)
    assert diagnosis is not None
    assert (diagnosis.cause, diagnosis.op) == (Cause.PROGRAM, "aten::mul.Tensor")
    assert "only a change of the program can be seen" in diagnosis.notes[0]


@pytest.mark.parametrize("variant", ["sgd", "workers"])
def test_the_same_training_again_is_identical(traces, variant):
    comparison = compare_traces(traces[variant], traces[f"{variant} again"], tolerance={})
    assert comparison.verdict is Verdict.IDENTICAL
    assert not comparison.divergences
    assert diagnose(traces[variant], traces[f"{variant} again"], comparison) is None
    assert traces[variant].tape == traces[f"{variant} again"].tape


def test_a_diverged_run_is_identical_to_itself_and_says_so(traces):
    comparison = compare_traces(traces["NaN"], traces["NaN"], tolerance={})
    assert comparison.verdict is Verdict.IDENTICAL
    assert any("NaN" in note for note in comparison.notes)


def _base(fault: Fault) -> str:
    if fault.base is ADAMW:
        return "adamw"
    return "workers" if fault.base is WORKERS else "sgd"
