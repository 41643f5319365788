"""Whatever a child has started ends with it, and a child that leaves no trace is an error."""

from __future__ import annotations

import subprocess
import sys
import time
from pathlib import Path

import pytest

from goldtrace.errors import RunnerDiedError
from goldtrace.launch import launch
from goldtrace.model.spec import RunSpec
from goldtrace.process_group import end, has_ended, wait_for


def runs(pid: int) -> bool:
    try:
        stat = Path(f"/proc/{pid}/stat").read_text(encoding="ascii")
    except FileNotFoundError:
        return False
    return stat.rsplit(")", 1)[1].split()[0] != "Z"


def soon_gone(pid: int) -> bool:
    deadline = time.monotonic() + 30
    while runs(pid) and time.monotonic() < deadline:
        time.sleep(0.02)
    return not runs(pid)


def test_a_childs_own_child_ends_with_it_although_it_has_ended_already(tmp_path: Path) -> None:
    leaver = tmp_path / "python"
    leaver.write_text(
        f'#!/bin/sh\ncase "$*" in *goldtrace.recording*) ;; *) exec {sys.executable} "$@" ;; esac\n'
        "sleep 900 &\necho $! > left\necho last words\nexit 0\n",
        encoding="ascii",
    )
    leaver.chmod(0o755)
    # No trace although the exit status is 0: as after os._exit(0).
    with pytest.raises(RunnerDiedError, match="without an answer") as died:
        launch(RunSpec(name="a[0]", entry="a:b"), "cpu", root=tmp_path, interpreter=str(leaver))
    assert "exit status 0" in str(died.value)
    assert "last words" in str(died.value)
    assert "goldtrace check 'a[0]'" in str(died.value)
    assert soon_gone(int((tmp_path / "left").read_text(encoding="ascii")))


def test_a_child_that_is_looked_at_keeps_its_number_until_it_is_ended() -> None:
    with subprocess.Popen([sys.executable, "-c", "exit(3)"], start_new_session=True) as child:
        assert wait_for(child)
        assert has_ended(child)
        assert child.returncode is None
        assert end(child) == end(child) == 3
        assert has_ended(child)
        assert wait_for(child, 0)


def test_a_child_is_given_so_much_time_and_no_more() -> None:
    with subprocess.Popen(["/bin/sleep", "900"], start_new_session=True) as child:
        assert not wait_for(child, 0.05)
        assert end(child) == -9
