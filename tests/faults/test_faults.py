"""Every mistake that people make is told: the verdict, the step and the rung where it begins."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from goldtrace.compare import compare_traces
from goldtrace.determinism import profile_for
from goldtrace.model.codec import decode_trace
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
    variants = {name: {**fields, "tape": list(range(9))} for name, fields in variants.items()}
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
    golden = traces[{"adamw": "adamw"}.get(str(fault.base.get("optimizer")), _base(fault))]
    comparison = compare_traces(golden, traces[fault.name], tolerance={})
    first = comparison.first
    assert comparison.verdict is Verdict.DRIFT
    assert first is not None
    assert first.rung is fault.rung
    if fault.step is not None:
        assert first.step == fault.step
    assert first.name == fault.quantity
    assert fault.note in (first.note or "")


@pytest.mark.parametrize("variant", ["sgd", "workers"])
def test_the_same_training_again_is_identical(traces, variant):
    comparison = compare_traces(traces[variant], traces[f"{variant} again"], tolerance={})
    assert comparison.verdict is Verdict.IDENTICAL
    assert not comparison.divergences


def test_a_diverged_run_is_identical_to_itself_and_says_so(traces):
    comparison = compare_traces(traces["NaN"], traces["NaN"], tolerance={})
    assert comparison.verdict is Verdict.IDENTICAL
    assert any("NaN" in note for note in comparison.notes)


def _base(fault: Fault) -> str:
    return "workers" if fault.base is WORKERS else "sgd"
