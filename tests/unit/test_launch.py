from __future__ import annotations

import sys

import pytest

from goldtrace.determinism.numpy_groups import numpy_avx512_groups
from goldtrace.errors import RunnerDiedError, UsageError
from goldtrace.launch import child_environment, describe_status, launch, numpy_of
from goldtrace.model.machine import processor
from goldtrace.model.spec import RunSpec


def test_a_child_gets_this_processs_environment_with_the_pins_in_it(monkeypatch):
    monkeypatch.setenv("OMP_NUM_THREADS", "8")
    monkeypatch.setenv("KEPT", "yes")
    environment = child_environment({"OMP_NUM_THREADS": "1"}, {"MORE": "x", "OMP_NUM_THREADS": "4"})
    assert environment["OMP_NUM_THREADS"] == "1"
    assert (environment["KEPT"], environment["MORE"]) == ("yes", "x")


def test_numpy_is_not_told_to_enable_and_to_disable_features_at_once(monkeypatch):
    monkeypatch.setenv("NPY_ENABLE_CPU_FEATURES", "AVX2")
    assert "NPY_ENABLE_CPU_FEATURES" not in child_environment({"NPY_DISABLE_CPU_FEATURES": "X"})
    assert "NPY_ENABLE_CPU_FEATURES" in child_environment({})


@pytest.mark.parametrize(
    ("status", "words"), [(3, "exit status 3"), (-9, "killed by SIGKILL"), (-99, "signal 99")]
)
def test_the_end_of_a_process_is_told_in_words(status, words):
    assert words in describe_status(status)


def test_another_interpreter_is_pinned_by_the_names_of_its_own_numpy(tmp_path):
    """numpy 2.4 gave its groups of AVX-512 other names; the wrong ones switch nothing off."""
    interpreter = tmp_path / "python"
    told = tmp_path / "told"
    interpreter.write_text(
        f'#!/bin/sh\ncase "$1" in -c) echo 2.2.3;; *) echo "$NPY_DISABLE_CPU_FEATURES" > {told};'
        " exit 1;; esac\n"
    )
    interpreter.chmod(0o755)
    spec = RunSpec(name="tiny", entry="training:train")
    with pytest.raises(RunnerDiedError):
        launch(spec, "cpu", root=tmp_path, interpreter=str(interpreter))
    expected = numpy_avx512_groups("2.2.3", processor())
    assert told.read_text().split() == list(expected)
    assert numpy_of(str(interpreter)) == "2.2.3"
    assert numpy_of(sys.executable) is None


def test_an_interpreter_that_is_not_there_is_named(tmp_path):
    with pytest.raises(UsageError, match="can't be started") as error:
        launch(RunSpec(name="tiny", entry="a:b"), "cpu", root=tmp_path, interpreter="/nonexistent")
    assert "/nonexistent" in str(error.value)
