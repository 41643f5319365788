"""Golden tests under xdist, pytest-cov and pytest-randomly, and for a debugger."""

from __future__ import annotations

import json
import subprocess
import sys
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from project import Project

pytest_plugins = ["pytester"]

FILES = {
    "test_x.py": """
import os, warnings, pytest
import covered

@pytest.mark.parametrize("size", range(4))
def test_many(golden_run, size):
    golden_run.step(loss=covered.child(size))

def test_plain():
    assert covered.parent() == 1

def test_drifts(golden_run):
    golden_run.step(loss=float(os.environ.get("LOSS", 1)))

def test_warns(golden_run):
    warnings.warn("from the child")
    golden_run.step(loss=1.0)

def test_dies(golden_run):
    if os.environ.get("LOSS"):
        os._exit(4)
    golden_run.step(loss=1.0)
""",
    "covered.py": """
def child(size):
    if size > 1:
        return 2.0
    return 1.0

def parent():
    return 1

def never():
    return 0
""",
}


@pytest.fixture
def plugins(project: Project) -> Project:
    project.without_torch()
    project.load_all_plugins()
    for name, content in FILES.items():
        project.write(name, content)
    return project


def test_xdist_gives_the_same_verdicts(plugins: Project, monkeypatch: pytest.MonkeyPatch) -> None:
    update = plugins.run("-n2", "--golden-update", "--dist=loadgroup")
    update.assert_outcomes(passed=8, warnings=1)
    assert update.stdout.str().count("written: ") == 7
    monkeypatch.setenv("LOSS", "2")
    plain = plugins.run("--golden-report=plain", "-p", "no:xdist")
    spread = plugins.run("--golden-report=spread", "-n2")
    documents = []
    for result, folder in ((plain, "plain"), (spread, "spread")):
        result.assert_outcomes(passed=6, failed=2, warnings=1)
        result.stdout.fnmatch_lines(["*UserWarning: from the child*"])
        assert "exit status 4" in result.stdout.str()
        runs = plugins.report(folder)
        documents.append({name: run["verdict"] for name, run in runs.items()})
    assert documents[0] == documents[1]
    assert documents[0]["test_x--test_drifts@cpu"] == "drift"


def test_coverage_counts_what_the_child_ran(plugins: Project) -> None:
    plugins.run("--golden-update")
    for extra in ((), ("-n2",)):
        result = plugins.run("--cov=covered", "--cov-branch", "--cov-report=json", *extra)
        result.assert_outcomes(passed=8, warnings=1)
        report = json.loads((plugins.path / "coverage.json").read_text(encoding="utf-8"))
        assert report["files"]["covered.py"]["missing_lines"] == [11]
        assert not list(plugins.path.glob(".coverage.*"))
    subprocess.run(
        [sys.executable, "-m", "coverage", "run", "--source=.", "-m", "pytest", "-q"],
        cwd=plugins.path,
        check=True,
        capture_output=True,
    )
    shown = subprocess.run(
        [sys.executable, "-m", "coverage", "report", "-m", "--include=covered.py"],
        cwd=plugins.path,
        check=True,
        capture_output=True,
        text=True,
    )
    assert "11" in shown.stdout.split("covered.py")[1].splitlines()[0].split()


def test_pytest_randomly_changes_the_order_and_nothing_else(project: Project) -> None:
    project.without_torch()
    project.load_all_plugins()
    project.configure(addopts="")
    project.write(
        "test_random.py",
        "import random\n"
        "def test_a(golden_run): golden_run.step(loss=random.random())\n"
        "def test_b(golden_run): golden_run.step(loss=random.random())\n",
    )
    project.run("--golden-update", "-p", "randomly", "--randomly-seed=1").assert_outcomes(passed=2)
    project.run("--randomly-seed=2").assert_outcomes(passed=2)
    project.run("-p", "no:randomly").assert_outcomes(passed=2)


def test_in_process_runs_here_with_pins_in_force_and_only_then(project: Project) -> None:
    project.without_torch()
    project.write(
        "test_here.py",
        "import os\n"
        "PID = os.getpid()\n"
        "def test_here(golden_run):\n"
        "    golden_run.step(loss=1.0)\n"
        "    if os.environ.get('ASK'): assert False, 'asked'\n",
    )
    project.run("--golden-update").assert_outcomes(passed=1)
    project.run("--golden-in-process").assert_outcomes(passed=1)
    hint = project.run("--pdb")
    hint.stdout.fnmatch_lines(["goldtrace: --pdb needs --golden-in-process*"])
