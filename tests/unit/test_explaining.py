"""``explain`` says of a failure what the check said that failed."""

from __future__ import annotations

import shlex
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

import golden_samples as samples
import pytest

from goldtrace.errors import UsageError
from goldtrace.model.spec import RunKind, RunSpec
from goldtrace.model.tolerance import Tolerance
from goldtrace.model.verdict import Verdict
from goldtrace.store.golden import GoldenStore
from goldtrace.workflow.checking import judge, remember
from goldtrace.workflow.commands import check_command, explain_command, record_command
from goldtrace.workflow.explaining import explain_failure
from goldtrace.workflow.selecting import run_named

if TYPE_CHECKING:
    from goldtrace.model.trace import Trace
    from goldtrace.model.verdict import Comparison

HOSTILE = "tests/test_it.py::t[a'; rm -rf ~; ']"
TEST = RunSpec(name="tiny", entry=HOSTILE, kind=RunKind.TEST)


def told(
    spec: RunSpec, golden: Trace, now: Trace, root: Path
) -> tuple[Comparison | None, Comparison]:
    """What the check and what the explanation say."""
    store = GoldenStore(root / "golden")
    store.apply(samples.plan(store, golden))
    result = judge(spec, now, store, root=root)
    assert not result.passed
    remember(spec, result, now, store)
    named = run_named(store.root, "tiny", store, "cpu")
    found = explain_failure(named, "cpu", store=store, root=root, progress=lambda _: None)
    return result.comparison, found.comparison


def test_a_failure_is_explained_by_the_golden_of_the_platform_that_the_check_took(
    tmp_path: Path,
) -> None:
    store = GoldenStore(tmp_path / "golden")
    store.apply(samples.plan(store, samples.taped()))
    drifted = samples.taped(losses=(2.5, 9.0, 0.625))
    now = replace(drifted, header=replace(drifted.header, platform="cpu-new"))
    result = judge(TEST, now, store, root=tmp_path, nearest=True)
    remember(TEST, result, now, store)
    # What has come since must not change what is explained.
    store.apply(samples.plan(store, now))
    found = explain_failure(TEST, "cpu", store=store, root=tmp_path, progress=lambda _: None)
    assert found.golden == samples.taped()
    assert found.comparison.first == result.comparison.first
    assert found.diagnosis is not None
    assert any(samples.taped().header.platform in note for note in found.diagnosis.notes)


def test_a_test_is_explained_by_its_markers_tolerance(tmp_path: Path) -> None:
    spec = replace(TEST, tolerance={"loss": Tolerance(rtol=0.01, atol=0.0)}, exact=True)
    now = samples.trace(losses=(2.5, 1.2500001, 0.625))
    checked, explained = told(spec, samples.trace(), now, tmp_path)
    assert explained == checked
    assert explained.verdict is Verdict.ROUNDING


def test_a_test_is_explained_by_the_goldens_calibration(tmp_path: Path) -> None:
    now = samples.taped(losses=(2.5000002, 1.25, 0.625))
    checked, explained = told(replace(TEST, exact=True), samples.taped(), now, tmp_path)
    assert explained == checked
    assert explained.verdict is Verdict.ROUNDING
    assert explained.equivalent_ulp


@pytest.mark.parametrize("kind", RunKind)
@pytest.mark.parametrize("name", ["tiny", "t[a'; rm -rf ~; ']", "a[b c]", "a b", "$(id)"])
def test_a_command_that_is_shown_is_one_for_a_shell(kind: RunKind, name: str) -> None:
    entry = f"tests/test_it.py::{name}" if kind is RunKind.TEST else "a.b:c"
    spec = RunSpec(name=name, entry=entry, kind=kind)
    for command in (record_command(spec, "cpu"), check_command(spec, "cpu")):
        assert "--golden-dir" not in command
        words = shlex.split(command)
        assert (words[1] if kind is RunKind.TEST else words[2]) == (
            entry if kind is RunKind.TEST else name
        )
        assert words[0] == ("pytest" if kind is RunKind.TEST else "goldtrace")


@pytest.mark.parametrize("kind", RunKind)
def test_a_command_that_is_shown_finds_the_goldens_where_they_are(
    kind: RunKind, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    spec = RunSpec(name="tiny", entry="a.b:c", kind=kind)
    for folder, shown in (("my goldens", "my goldens"), ("../golden", "../golden")):
        for command in (
            record_command(spec, "cpu", Path(folder)),
            check_command(spec, "cpu", Path(folder)),
            explain_command("tiny", "cuda", Path(folder)),
        ):
            words = shlex.split(command)
            assert words[words.index("--golden-dir") + 1] == shown


def test_what_is_to_be_checked_before_it_is_explained_is_checked_by_pytest(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    store = GoldenStore(tmp_path / "golden")
    with pytest.raises(UsageError) as refusal:
        explain_failure(TEST, "cpu", store=store, root=tmp_path, progress=lambda _: None)
    assert refusal.value.hint == f"pytest {shlex.quote(HOSTILE)} --golden-device cpu"
