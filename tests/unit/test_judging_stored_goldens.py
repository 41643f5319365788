"""A trace against what is stored: the nearest golden, and the evidence of the tape."""

from __future__ import annotations

import dataclasses

import pytest
from small_training import calibration, golden, train

from goldtrace.model.codec import encode_trace, trace_digest
from goldtrace.model.environment import Environment
from goldtrace.model.noise import Noise
from goldtrace.model.spec import RunSpec
from goldtrace.model.verdict import Verdict
from goldtrace.store.certificate import Certificate
from goldtrace.store.golden import GoldenStore
from goldtrace.store.ledger import LedgerEntry
from goldtrace.workflow.checking import judge

SPEC = RunSpec(name="tiny", entry="package:train")


def on(trace, platform, **header):
    header = {"device": platform.partition("-")[0], **header}
    changed = dataclasses.replace(trace.header, platform=platform, **header)
    return dataclasses.replace(trace, header=changed)


def keep(store, trace, *, calibrated=True):
    known = dataclasses.replace(calibration(), golden=trace_digest(encode_trace(trace)))
    entry = LedgerEntry(when="2026-01-01T00:00:00+00:00", who="a", reason="b", moved="c")
    plan = store.plan(
        trace,
        certificate=Certificate.of(trace, processes=2),
        entry=entry,
        calibration=known if calibrated else None,
    )
    store.apply(plan)


@pytest.fixture
def store(tmp_path):
    return GoldenStore(tmp_path)


def check(store, **options):
    current = on(train(noise=Noise(ulp=2, seed=99)), "cpu-new")
    return judge(SPEC, current, store, root=store.root.parent, **options)


def test_without_being_asked_for_no_other_platform_is_taken(store):
    keep(store, on(golden(), "cpu-a"))
    assert check(store).verdict is Verdict.INCOMPARABLE


def test_the_only_calibrated_golden_of_the_device_is_taken_and_named(store):
    keep(store, on(golden(), "cpu-a"))
    keep(store, on(golden(), "cpu-b"), calibrated=False)
    keep(store, on(golden(), "cuda-sm90"))
    result = check(store, nearest=True)
    assert result.verdict is Verdict.ROUNDING
    note = result.comparison.notes[0]
    assert note.startswith(
        "there is no golden for cpu-new: held against cpu-a, the only calibrated one for cpu"
    )


def test_of_several_the_one_that_differs_least_is_taken(store):
    other = Environment(packages={"torch": "1.0"})
    keep(store, on(golden(), "cpu-a", environment=other))
    keep(store, on(golden(), "cpu-z"))
    [note, *_] = check(store, nearest=True).comparison.notes
    assert "held against cpu-z, of 2 calibrated ones for cpu the least different" in note


def test_neither_an_uncalibrated_golden_nor_another_device_will_do(store):
    keep(store, on(golden(), "cpu-b"), calibrated=False)
    keep(store, on(golden(), "cuda-sm90"))
    assert check(store, nearest=True).verdict is Verdict.INCOMPARABLE


def test_another_argument_of_a_later_operator_is_drift_though_the_first_differs_by_rounding(store):
    """Batch norm's inputs differ already when it is given another eps."""
    keep(store, on(train(taped=(0,)), "cpu-new"))

    def verdict(**changes):
        noise = Noise(ulp=2, seed=99)
        current = on(train(noise=noise, taped=(0,), **changes), "cpu-new")
        return judge(SPEC, current, store, root=store.root.parent)

    assert verdict().verdict is Verdict.ROUNDING
    assert verdict(eps=1e-5 * (1 + 1e-6)).verdict is Verdict.ROUNDING
    result = verdict(eps=1.1e-5)
    assert result.verdict is Verdict.DRIFT
    assert "eps 1e-05 → 1.1e-05" in result.comparison.notes[0]
