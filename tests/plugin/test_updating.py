"""Which goldens a session writes, when, and what it says about them."""

from __future__ import annotations

import json
import re
import shlex
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from project import Project

pytest_plugins = ["pytester"]

THREE = """
import os
def test_kept(golden_run): golden_run.step(loss=1.0)
def test_moved(golden_run): golden_run.step(loss=float(os.environ.get("LOSS", 1.0)))
def test_new(golden_run): golden_run.step(loss=1.0)
"""


@pytest.fixture
def three(project: Project, monkeypatch: pytest.MonkeyPatch) -> Project:
    """One golden that matches, one that doesn't, and one that is missing."""
    project.without_torch()
    project.write("tests/test_three.py", THREE)
    project.run("--golden-update", "-k", "kept or moved").assert_outcomes(passed=2, deselected=1)
    monkeypatch.setenv("LOSS", "1.5")
    return project


def names(project: Project) -> set[str]:
    return {path.split("/")[0].rpartition("--")[2] for path in project.goldens()}


def changed(before: dict[str, bytes], after: dict[str, bytes]) -> set[str]:
    paths = {path for path in before.keys() | after.keys() if before.get(path) != after.get(path)}
    return {path.split("/")[0].rpartition("--")[2] for path in paths}


def test_nothing_is_written_unless_asked_for(three: Project) -> None:
    before = three.goldens()
    result = three.run("--golden-report=report")
    result.assert_outcomes(passed=1, failed=2)
    assert three.goldens() == before
    text = result.stdout.str()
    assert "no golden" in text
    assert "drift" in text
    runs = three.report()
    verdicts = {name.partition("--")[2]: run["verdict"] for name, run in runs.items()}
    assert verdicts == {
        "test_kept@cpu": "identical",
        "test_moved@cpu": "drift",
        "test_new@cpu": "missing",
    }
    assert runs["tests.test_three--test_moved@cpu"]["first_divergence"]["step"] == 0
    traces = three.path / "report" / "traces" / "tests.test_three--test_moved" / "cpu"
    assert sorted(path.name for path in traces.iterdir()) == ["header.json", "steps.jsonl"]


@pytest.mark.parametrize(
    ("option", "written"),
    [
        ("--golden-update", {"test_moved", "test_new"}),
        ("--golden-update=missing", {"test_new"}),
        ("--golden-update=failing", {"test_moved"}),
    ],
)
def test_an_update_writes_what_it_names(three: Project, option: str, written: set[str]) -> None:
    before = three.goldens()
    result = three.run("--golden-reason", "a new schedule", option, "tests/")
    assert changed(before, three.goldens()) == written
    result.assert_outcomes(passed=1 + len(written), failed=2 - len(written))
    for name in written:
        result.stdout.fnmatch_lines([f"written: tests.test_three--{name} *2 fresh processes*"])
        ledger = three.path / f"golden/tests.test_three--{name}/fake-cpu/ledger.jsonl"
        last = json.loads(ledger.read_text(encoding="utf-8").splitlines()[-1])
        assert last["reason"] == "a new schedule"


@pytest.mark.parametrize("choice", ["mising", ""])
def test_an_update_of_what_there_is_none_of_is_one_error(project: Project, choice: str) -> None:
    project.without_torch()
    project.write("test_one.py", "def test_one(golden_run): golden_run.step(loss=1.0)")
    result = project.run(f"--golden-update={choice}")
    assert result.ret == pytest.ExitCode.USAGE_ERROR
    assert result.outlines == []
    shown = [line for line in result.errlines if line]
    message = (
        "ERROR: --golden-update: expected missing, failing or all after the sign =, or nothing for "
        f"missing and failing goldens, found '{choice}'"
    )
    assert shown == [message]
    assert not project.goldens()


@pytest.mark.parametrize("options", [(), ("--golden-dir", "golden")])
def test_a_command_that_is_shown_works_where_pytest_was_called(
    project: Project, monkeypatch: pytest.MonkeyPatch, options: tuple[str, ...]
) -> None:
    project.without_torch()
    project.write("tests/deep/test_one.py", "def test_one(golden_run): golden_run.step(loss=1.0)")
    monkeypatch.chdir(project.path / "tests" / "deep")
    shown = project.run(*options).stdout.str()
    (command,) = set(re.findall(r"pytest \S+::.*--golden-update.*", shown))
    program, *arguments = shlex.split(command)
    assert program == "pytest"
    project.run(*arguments).assert_outcomes(passed=1)
    project.run(*options).assert_outcomes(passed=1)


def test_updating_all_leaves_unchanged_goldens_unchanged(three: Project) -> None:
    before = three.goldens()
    three.run("--golden-update=all", "--golden-report=report").assert_outcomes(passed=3)
    assert changed(before, three.goldens()) == {"test_moved", "test_new"}
    assert {run["verdict"] for run in three.report().values()} == {"identical"}
    three.run().assert_outcomes(passed=3)


def test_what_two_fresh_processes_do_not_agree_on_is_never_written(project: Project) -> None:
    project.without_torch()
    project.write(
        "test_random.py",
        """
import os, pathlib, random
def test_process_id(golden_run): golden_run.step(loss=float(os.getpid()))
def test_seeded(golden_run): golden_run.step(loss=random.random())
def test_only_once(golden_run):
    flag = pathlib.Path("ran")
    assert not flag.exists()
    flag.touch()
    golden_run.step(loss=1.0)
""",
    )
    result = project.run("--golden-update", "--golden-report=report")
    result.assert_outcomes(passed=1, failed=2)
    assert names(project) == {"test_seeded"}
    result.stdout.fnmatch_lines(
        ["*did not repeat the bits of process 1*", "*passed in one process and not in another*"]
    )
    error = project.report()["test_random--test_process_id@cpu"]["error"]
    assert error["type"] == "NotRepeatableError"


def test_a_failing_test_writes_nothing(project: Project) -> None:
    project.without_torch()
    project.write(
        "test_failing.py",
        """
import pytest
@pytest.fixture
def leaky():
    yield
    raise RuntimeError
def test_fails(golden_run):
    golden_run.step(loss=1.0)
    assert False
def test_leaks(golden_run, leaky): golden_run.step(loss=1.0)
@pytest.mark.xfail
def test_expected(golden_run):
    golden_run.step(loss=1.0)
    assert False
""",
    )
    project.run("--golden-update").assert_outcomes(failed=1, passed=1, errors=1, xfailed=1)
    assert project.goldens() == {}


def test_under_ci_an_update_needs_a_second_word(
    project: Project, monkeypatch: pytest.MonkeyPatch
) -> None:
    project.without_torch()
    project.write("test_one.py", "def test_one(golden_run): golden_run.step(loss=1.0)\n")
    monkeypatch.setenv("CI", "true")
    refused = project.run("--golden-update")
    assert refused.ret == pytest.ExitCode.USAGE_ERROR
    refused.stderr.fnmatch_lines(["*--golden-update-in-ci*"])
    assert project.goldens() == {}
    monkeypatch.setenv("CI", "false")
    project.run("--golden-update").assert_outcomes(passed=1)
    monkeypatch.setenv("CI", "1")
    project.run("--golden-update=all", "--golden-update-in-ci").assert_outcomes(passed=1)


def test_options_that_make_no_sense_are_refused(project: Project) -> None:
    both = project.run("--golden-update", "--golden-in-process")
    assert both.ret == pytest.ExitCode.USAGE_ERROR
    both.stderr.fnmatch_lines(["*fresh processes*"])
    assert project.run("--golden-update=some").ret == pytest.ExitCode.USAGE_ERROR
    project.without_torch()
    project.write("test_one.py", "def test_one(golden_run): pass\n")
    device = project.run("--golden-device=gpu")
    assert device.ret != 0
    assert "expected cpu or cuda" in device.stdout.str() + device.stderr.str()


def test_rounding_passes_with_a_warning_unless_exact(project: Project) -> None:
    project.without_torch()
    source = """
import pytest
tolerance = {"loss": {"rtol": 0.1}}
@pytest.mark.golden(tolerance=tolerance)
def test_near(golden_run): golden_run.step(loss=1.0)
@pytest.mark.golden(tolerance=tolerance, exact=True)
def test_exact(golden_run): golden_run.step(loss=1.0)
"""
    project.write("test_round.py", source)
    project.run("--golden-update").assert_outcomes(passed=2)
    project.write("test_round.py", source.replace("loss=1.0", "loss=1.01"))
    result = project.run("--golden-report=report")
    result.assert_outcomes(passed=1, failed=1, warnings=1)
    result.stdout.fnmatch_lines(["*GoldenRoundingWarning: test_round--test_near*", "rounding: *"])
    assert project.report()["test_round--test_near@cpu"]["verdict"] == "rounding"
    as_errors = project.run("-W", "error::goldtrace.errors.GoldenRoundingWarning")
    as_errors.assert_outcomes(failed=2)
