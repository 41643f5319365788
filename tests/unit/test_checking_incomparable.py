from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from goldtrace.errors import PlatformUnsupportedError
from goldtrace.model.machine import Processor
from goldtrace.model.spec import RunSpec
from goldtrace.model.verdict import Verdict
from goldtrace.recording import session
from goldtrace.report.terminal import render_failure
from goldtrace.store.golden import GoldenStore
from goldtrace.workflow import checking

if TYPE_CHECKING:
    from pathlib import Path

SPEC = RunSpec(name="mlp", entry="train:run")
NEHALEM = Processor(architecture="x86_64", vendor="GenuineIntel", flags=frozenset({"sse4_2"}))


@pytest.fixture
def old_cpu(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("goldtrace.environment.platforms.processor", lambda: NEHALEM)


def test_a_recording_on_a_cpu_without_avx2_is_refused_before_anything_is_pinned(
    old_cpu: None, tmp_path: Path
) -> None:
    with (
        pytest.raises(PlatformUnsupportedError, match="no AVX2") as caught,
        session.recording(SPEC, "cpu", root=tmp_path),
    ):
        pass

    assert caught.value.where == "profile cpu-portable"
    assert "universal" in str(caught.value.hint)


def test_a_cpu_without_avx2_starts_no_process(
    old_cpu: None, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    # Releases of numpy and torch die of an illegal instruction there while they are imported.
    monkeypatch.setattr("subprocess.Popen", None)

    result = checking.check_declared(SPEC, "cpu", store=GoldenStore(tmp_path), root=tmp_path)

    assert result.verdict is Verdict.INCOMPARABLE


def test_a_machine_that_the_profile_does_not_cover_is_incomparable_and_never_a_pass(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    def refuse(*_: object, **__: object) -> None:
        raise PlatformUnsupportedError("its CPU has no AVX2", where="mlp on cpu", hint="other")

    monkeypatch.setattr(checking, "launch", refuse)

    [result] = checking.check([(SPEC, "cpu")], store=GoldenStore(tmp_path), root=tmp_path)

    assert result.verdict is Verdict.INCOMPARABLE
    assert not result.passed
    shown = render_failure(result)
    assert "incomparable" in shown
    assert "its CPU has no AVX2" in shown
    assert "other" in shown
