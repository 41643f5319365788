from __future__ import annotations

import pytest

from goldtrace.launch import child_environment, describe_status


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
