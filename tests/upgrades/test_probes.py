"""What a probe that did not train says: about the packages, about the machine, or nothing."""

from __future__ import annotations

import pytest
from fake_packages import PrintedRun

from goldtrace.errors import (
    DataUnavailableError,
    DeviceUnavailableError,
    PinError,
    PlatformUnsupportedError,
    RunnerDiedError,
)
from goldtrace.model.upgrade import Standing
from goldtrace.packages.uv import BuildError
from goldtrace.workflow.bisecting import bisect_package
from goldtrace.workflow.means import Means


class HinderedRun(PrintedRun):
    """Raises instead of training, as long as something stands in the way."""

    error: Exception | None = None

    def train(self, interpreter):
        if self.error is not None:
            raise self.error
        return super().train(interpreter)


@pytest.fixture
def ask(index, today, tmp_path):
    """Bisects two releases that differ; what stands in the way is told by an error."""
    for minor in range(2):
        index.add("engine", f"1.{minor}", f"VALUE = {minor}\n")
    today("engine==1.1")

    def asked(error):
        run = HinderedRun(root=tmp_path, modules=("engine",))
        run.error = error
        means = Means(directory=tmp_path / "workspace", ahead=False, confirm=False)
        return bisect_package(run, "engine", means, first="1.0", last="1.1")

    return asked


@pytest.mark.parametrize(
    "error", [DataUnavailableError, DeviceUnavailableError, PlatformUnsupportedError]
)
def test_what_no_environment_would_mend_ends_the_bisection(ask, error):
    with pytest.raises(error, match="not here"):
        ask(error("not here"))
    assert ask(None).change_points


@pytest.mark.parametrize(
    "error",
    [
        BuildError("can't be built"),
        PinError("not in force"),
        RunnerDiedError("died", found="killed by SIGKILL\n    last words"),
    ],
)
def test_what_may_be_the_machines_fault_is_skipped_and_asked_again(ask, error):
    bisection = ask(error)
    assert not bisection.conclusive
    assert {probe.standing for probe in bisection.probes} == {Standing.SKIPPED}
    assert ask(None).change_points


def test_another_signal_is_an_answer_that_is_remembered(ask):
    for error in (RunnerDiedError("died", found="killed by SIGSEGV\n"), None):
        probes = ask(error).probes
        assert {probe.standing for probe in probes} == {Standing.FAILED}
