from __future__ import annotations

import subprocess
import sys
import time
from functools import partial
from typing import TYPE_CHECKING

import pytest

from goldtrace import launch as launching
from goldtrace.errors import RunnerDiedError
from goldtrace.launch import launch, side_by_side
from goldtrace.model.spec import RunSpec

if TYPE_CHECKING:
    from concurrent.futures import Future
    from pathlib import Path

    from goldtrace.model.trace import Trace

SLEEPER = f"""#!/bin/sh
case "$*" in *goldtrace.recording*) ;; *) exec {sys.executable} "$@" ;; esac
echo started >> started
exec sleep 900
"""


@pytest.fixture
def sleeper(tmp_path: Path) -> Path:
    """An interpreter that answers what it is asked, but never comes to an end of a training."""
    script = tmp_path / "python"
    script.write_text(SLEEPER, encoding="ascii")
    script.chmod(0o755)
    return script


def started(root: Path) -> int:
    file = root / "started"
    return len(file.read_text(encoding="ascii").splitlines()) if file.exists() else 0


def test_an_interrupt_ends_the_runs_that_are_under_way_and_starts_no_other(
    tmp_path: Path, sleeper: Path
) -> None:
    futures: list[Future[Trace]] = []

    def interrupted() -> None:
        spec = RunSpec(name="tiny", entry="a.b:c")
        run = partial(launch, spec, "cpu", root=tmp_path, interpreter=str(sleeper))
        with side_by_side(2) as pool:
            futures.extend(pool.submit(run) for _ in range(4))
            while started(tmp_path) < 2:
                time.sleep(0.02)
            raise KeyboardInterrupt

    began = time.monotonic()
    with pytest.raises(KeyboardInterrupt):
        interrupted()
    assert time.monotonic() - began < 600
    assert started(tmp_path) == 2
    assert [isinstance(f.exception(), RunnerDiedError) for f in futures[:2]] == [True, True]
    assert all(future.cancelled() for future in futures[2:])


def test_a_child_that_starts_after_the_end_is_ended_at_once() -> None:
    children = launching._Children()
    children.end()
    with subprocess.Popen([sys.executable, "-c", "input()"], start_new_session=True) as child:
        children.add(child)
        assert child.wait(timeout=600) == -9
