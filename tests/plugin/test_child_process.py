"""A child that dies, hangs on, or is interrupted, and a session that is."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from project import Project

pytest_plugins = ["pytester"]

DEATHS = """
import os, signal, sys

def test_before(golden_run): golden_run.step(loss=1.0)

def test_leaves(golden_run):
    os.write(2, b"last words\\n")
    os._exit(3)

def test_between(golden_run): golden_run.step(loss=1.0)

def test_killed(golden_run): os.kill(os.getpid(), signal.SIGKILL)

def test_segfault(golden_run):
    import ctypes
    ctypes.string_at(0)

def test_after(golden_run): golden_run.step(loss=1.0)
"""


def test_a_test_that_kills_its_process_fails_and_the_others_go_on(project: Project) -> None:
    project.without_torch()
    project.write("test_deaths.py", DEATHS)
    alive = "before or between or after"
    project.run("--golden-update", "-k", alive).assert_outcomes(passed=3, deselected=3)
    before = project.goldens()
    result = project.run("--golden-update=all", "--golden-report=report")
    result.assert_outcomes(passed=3, failed=3)
    text = result.stdout.str()
    assert "test_deaths.py::test_leaves: the child process that ran this golden test died" in text
    assert "exit status 3" in text
    assert "killed by SIGKILL" in text
    assert "killed by SIGSEGV" in text
    assert "Fatal Python error: Segmentation fault" in text  # faulthandler's traceback
    assert project.goldens() == before
    runs = project.report()
    assert runs["test_deaths--test_killed@cpu"]["error"]["type"] == "RunnerDiedError"
    assert runs["test_deaths--test_after@cpu"]["verdict"] == "identical"


def test_what_only_the_child_cannot_collect_is_an_error_of_the_test(project: Project) -> None:
    project.without_torch()
    project.write(
        "test_collect.py",
        "import os\n"
        "if os.environ.get('ATEN_CPU_CAPABILITY'):\n"
        "    raise RuntimeError('not under these pins')\n"
        "def test_a(golden_run): pass\n"
        "def test_b(golden_run): pass\n",
    )
    result = project.run()
    result.assert_outcomes(errors=2)
    result.stdout.fnmatch_lines(["*could not collect this test*", "*not under these pins*"])
    project.write(
        "broken_plugin.py", "import os\nassert not os.environ.get('ATEN_CPU_CAPABILITY')\n"
    )
    project.write("test_collect.py", "def test_a(golden_run): pass\n")
    broken = project.run("-p", "broken_plugin")
    broken.assert_outcomes(errors=1)
    broken.stdout.fnmatch_lines(["*broken_plugin*"])


def test_exit_in_a_golden_test_ends_the_session(project: Project) -> None:
    project.without_torch()
    project.write(
        "test_exit.py",
        "import pytest\n"
        "def test_leaves(golden_run): pytest.exit('enough', returncode=9)\n"
        "def test_never(golden_run): pass\n",
    )
    result = project.run()
    assert result.ret == 9
    result.stdout.fnmatch_lines(["*Exit: enough*"])


HANGING = """
import os, time, pathlib, pytest

@pytest.fixture(scope="module")
def resource():
    yield
    pathlib.Path("torn-down").write_text("yes")

def test_quick(golden_run): golden_run.step(loss=2.0)

def test_hangs(golden_run, resource):
    golden_run.step(loss=2.0)
    if os.environ.get("HANG"):
        pathlib.Path("pid").write_text(str(os.getpid()))
        time.sleep(600)
"""


def wait_for(path: Path, seconds: float = 120) -> str:
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        if path.exists() and path.read_text(encoding="utf-8"):
            return path.read_text(encoding="utf-8")
        time.sleep(0.05)
    raise TimeoutError(path)


def is_running(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    stat = Path(f"/proc/{pid}/stat").read_text(encoding="utf-8")
    return stat.rpartition(")")[2].split()[0] != "Z"


def wait_until_gone(pid: int, seconds: float = 30) -> bool:
    end = time.monotonic() + seconds
    while is_running(pid) and time.monotonic() < end:
        time.sleep(0.05)
    return not is_running(pid)


@pytest.fixture
def hanging(project: Project, monkeypatch: pytest.MonkeyPatch) -> Project:
    project.without_torch()
    project.write("test_hang.py", HANGING)
    project.run("--golden-update").assert_outcomes(passed=2)
    (project.path / "torn-down").unlink()
    source = (project.path / "test_hang.py").read_text(encoding="utf-8")
    project.write("test_hang.py", source.replace("loss=2.0", "loss=3.0"))
    monkeypatch.setenv("HANG", "1")
    return project


def start(project: Project, *arguments: str) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, "-m", "pytest", *arguments],
        cwd=project.path,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        # Shells have jobs in the background ignore it, such as this test-suite may be.
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),
    )


def test_ctrl_c_ends_the_child_and_leaves_the_goldens_alone(hanging: Project) -> None:
    before = hanging.goldens()
    session = start(hanging, "--golden-update", "-k", "hangs")
    pid = int(wait_for(hanging.path / "pid"))
    session.send_signal(signal.SIGINT)
    output, _ = session.communicate(timeout=60)
    assert session.returncode == pytest.ExitCode.INTERRUPTED, output
    assert "KeyboardInterrupt" in output
    assert wait_until_gone(pid)
    assert (hanging.path / "torn-down").exists()  # fixtures in the child had their turn
    assert hanging.goldens() == before


def test_a_killed_session_takes_its_child_along(hanging: Project) -> None:
    session = start(hanging, "-k", "hangs")
    pid = int(wait_for(hanging.path / "pid"))
    session.kill()
    session.communicate(timeout=60)
    assert wait_until_gone(pid)


def test_what_a_child_has_started_ends_with_it(project: Project) -> None:
    project.without_torch()
    project.write(
        "test_left.py",
        "import os, pathlib, subprocess\n"
        "def test_left(golden_run):\n"
        "    child = subprocess.Popen(['sleep', '900'])\n"
        "    pathlib.Path('left').write_text(str(child.pid))\n"
        "    os._exit(3)\n",
    )
    project.run().assert_outcomes(failed=1)
    pid = int((project.path / "left").read_text())
    assert wait_until_gone(pid)
