"""Probes on a local Dask cluster of two workers, one of which is killed in the middle."""

from __future__ import annotations

import os
import signal
import threading
import time
from pathlib import Path

import pytest
from fake_packages import PrintedRun

from goldtrace.cli.bisect import cluster
from goldtrace.errors import UsageError
from goldtrace.workflow.bisecting import bisect_package
from goldtrace.workflow.means import Means

HERE = Path(__file__).parent


def test_another_address_is_refused():
    with pytest.raises(UsageError, match="no such executor"):
        cluster("ray://somewhere")


# Sockets and processes that a killed worker leaves are closed by the operating system.
@pytest.mark.filterwarnings("ignore")
def test_a_worker_that_is_killed_costs_a_probe_and_no_answer(index, today, tmp_path, monkeypatch):
    distributed = pytest.importorskip("distributed", reason="the extra dask isn't installed")
    paths = [str(HERE), str(HERE.parent / "unit"), os.environ.get("PYTHONPATH", "")]
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join(filter(None, paths)))
    for minor in range(9):
        code = f"import time\ntime.sleep(0.5)\nVALUE = {minor // 5}.0\n"
        index.add("engine", f"1.{minor}", code)
    today("engine==1.8")
    run = PrintedRun(root=tmp_path, modules=("engine",))
    with distributed.LocalCluster(
        n_workers=2, threads_per_worker=1, dashboard_address=None
    ) as workers:
        victim = workers.workers[0].pid
        address = workers.scheduler_address.replace("tcp://", "dask://")
        executor = cluster(address)
        probes: list[str] = []

        def progress(sentence: str) -> None:
            if sentence.startswith("trying"):
                probes.append(sentence)
                if len(probes) == 4:
                    threading.Thread(target=kill_later, args=(victim,)).start()

        means = Means(
            directory=tmp_path / "workspace", executor=executor, jobs=2, progress=progress
        )
        bisection = bisect_package(run, "engine", means, first="1.0", last="1.8")
        executor.shutdown()
    (point,) = bisection.change_points
    assert (point.good, point.bad) == ("1.4", "1.5")
    assert point.confirmed
    with pytest.raises(ProcessLookupError):
        os.kill(victim, 0)


def kill_later(victim: int) -> None:
    time.sleep(0.3)
    os.kill(victim, signal.SIGKILL)
