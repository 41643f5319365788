"""Goldens of GPUs that are not here: whose golden applies, and what a runner without one says."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import pytest

from goldtrace.launch import launch
from goldtrace.model.calibration import Calibration
from goldtrace.model.codec import encode_trace, trace_digest
from goldtrace.model.noise import Noise
from goldtrace.model.scalar import Scalar
from goldtrace.model.spec import RunSpec
from goldtrace.model.tolerance import Tolerance
from goldtrace.model.verdict import Verdict
from goldtrace.report.terminal import render_failure
from goldtrace.session.settings import UpdateMode
from goldtrace.store.golden import Certificate, GoldenStore
from goldtrace.store.ledger import LedgerEntry
from goldtrace.workflow.checking import judge

if TYPE_CHECKING:
    from pathlib import Path

    from goldtrace.model.trace import Trace
    from goldtrace.model.verdict import RunResult

SPEC = RunSpec(name="tiny", entry="training:train", devices=("cpu", "cuda"))
TRAINING = """
import torch

def train(run):
    model = torch.nn.Linear(3, 2)
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
    run.watch(model=model, optimizer=optimizer)
    for _ in range(3):
        loss = model(torch.randn(5, 3)).square().mean()
        loss.backward()
        optimizer.step()
        optimizer.zero_grad()
        run.step(loss=loss)
"""


@pytest.fixture(scope="module")
def plain(tmp_path_factory) -> Trace:
    root = tmp_path_factory.mktemp("project")
    (root / "training.py").write_text(TRAINING)
    return launch(SPEC, "cpu", root=root)


def on(trace: Trace, platform: str) -> Trace:
    """The trace as if it came from another machine."""
    return replace(trace, header=replace(trace.header, platform=platform, device="cuda"))


def keep(store: GoldenStore, trace: Trace, *, calibrated: bool) -> None:
    calibration = Calibration(
        golden=trace_digest(encode_trace(trace)),
        noises=(Noise(ulp=1.0, seed=1), Noise(ulp=64.0, seed=2)),
    )
    plan = store.plan(
        trace,
        certificate=Certificate.of(trace, processes=2),
        entry=LedgerEntry(when="2026-01-02T03:04:05+00:00", who="A", reason="first", moved=""),
        calibration=calibration if calibrated else None,
    )
    store.apply(plan)


@pytest.fixture
def store(tmp_path: Path, plain: Trace) -> GoldenStore:
    store = GoldenStore(tmp_path / "golden")
    keep(store, plain, calibrated=True)
    keep(store, on(plain, "cuda-sm80"), calibrated=False)
    return store


def judged(trace: Trace, platform: str, store: GoldenStore, *, nearest: bool = False) -> RunResult:
    return judge(SPEC, on(trace, platform), store, root=store.root.parent, nearest=nearest)


def test_goldens_of_cpu_and_gpus_lie_side_by_side(store, plain):
    assert store.platforms("tiny") == ["cpu-portable", "cuda-sm80"]
    assert judged(plain, "cuda-sm80", store).verdict is Verdict.IDENTICAL


def test_a_gpu_without_a_golden_is_incomparable_and_says_how_to_record_one(store, plain):
    result = judged(plain, "cuda-sm90", store)
    assert result.verdict is Verdict.INCOMPARABLE
    shown = render_failure(result)
    assert "goldens exist for cpu-portable, cuda-sm80" in shown
    assert "goldtrace record tiny --device cuda --golden-dir" in shown


def with_card(trace: Trace, model: str, multiprocessors: int) -> Trace:
    card = {"model": model, "multiprocessors": str(multiprocessors)}
    header = trace.header
    environment = replace(header.environment, accelerator=card)
    return replace(trace, header=replace(header, environment=environment))


def test_a_card_that_splits_sums_otherwise_is_incomparable_where_it_differs(tmp_path, plain):
    store = GoldenStore(tmp_path / "golden")
    golden = with_card(plain, "NVIDIA H100 PCIe", 114)
    keep(store, on(golden, "cuda-sm90"), calibrated=True)
    other = with_card(plain, "NVIDIA H200", 132)
    assert judged(other, "cuda-sm90", store).verdict is Verdict.IDENTICAL

    def moved(factor: float) -> Trace:
        first = other.steps[1]
        loss = Scalar.of(first.scalars["loss"].value * factor, "float32")
        changed = replace(first, scalars={**first.scalars, "loss": loss})
        return replace(other, steps=(other.steps[0], changed, *other.steps[2:]))

    rounded = judge(
        replace(SPEC, tolerance={"loss": Tolerance(rtol=1e-5)}),
        on(moved(1 + 1e-6), "cuda-sm90"),
        store,
        root=tmp_path,
    )
    assert rounded.verdict is Verdict.ROUNDING
    assert rounded.passed
    result = judged(moved(2.0), "cuda-sm90", store)
    assert result.verdict is Verdict.INCOMPARABLE
    assert not result.passed
    assert not UpdateMode.MISSING.covers(result)
    assert UpdateMode.FAILING.covers(result)
    shown = " ".join(render_failure(result).split())
    assert "incomparable: the golden is from a GPU with 114 multiprocessors, not 132" in shown
    assert "NVIDIA H100 PCIe → NVIDIA H200" in shown
    assert "--golden-nearest (goldtrace check --nearest) takes it" in shown
    assert "loss" in shown

    assert judged(moved(2.0), "cuda-sm90", store, nearest=True).verdict is Verdict.DRIFT
    step = other.steps[1]
    rate = {**step.hyperparameters, "group0.lr": Scalar.of(0.2)}
    steps = (other.steps[0], replace(step, hyperparameters=rate), *other.steps[2:])
    set_otherwise = judged(replace(other, steps=steps), "cuda-sm90", store)
    assert set_otherwise.verdict is Verdict.DRIFT  # no card does that
    same = with_card(moved(2.0), "NVIDIA H100 PCIe of another maker", 114)
    assert judged(same, "cuda-sm90", store).verdict is Verdict.DRIFT


def test_the_nearest_golden_is_of_a_gpu_and_calibrated(store, plain):
    uncalibrated = judged(plain, "cuda-sm90", store, nearest=True)
    assert uncalibrated.verdict is Verdict.INCOMPARABLE
    keep(store, on(plain, "cuda-sm100"), calibrated=True)
    result = judged(plain, "cuda-sm90", store, nearest=True)
    assert result.verdict is Verdict.IDENTICAL
    assert result.comparison is not None
    assert result.comparison.notes[0] == (
        "there is no golden for cuda-sm90: held against cuda-sm100, the only calibrated one for "
        "cuda (0 differences of packages, settings and machine)"
    )
