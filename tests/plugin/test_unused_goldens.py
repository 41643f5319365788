"""Goldens that no test and no declaration stands for any more."""

from __future__ import annotations

import shutil
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from project import Project

pytest_plugins = ["pytester"]

TWO = """
import pytest
def test_stays(golden_run): golden_run.step(loss=1.0)
@pytest.mark.parametrize("size", [1, 2])
def test_goes(golden_run, size): golden_run.step(loss=1.0)
"""


@pytest.fixture
def changed(project: Project) -> Project:
    """A case of a test is gone, and so is the whole file of another one."""
    project.without_torch()
    project.write("tests/test_two.py", TWO)
    project.write("tests/test_file.py", "def test_it(golden_run): golden_run.step(loss=1.0)\n")
    project.run("--golden-update").assert_outcomes(passed=4)
    (project.path / "tests/test_file.py").unlink()
    project.write("tests/test_two.py", TWO.replace("[1, 2]", "[1]"))
    return project


FILE = "unused: tests.test_file--test_it (tests/test_file.py::test_it)"
CASE = "unused: tests.test_two--test_goes[[]2[]] (tests/test_two.py::test_goes[[]2[]])"


def test_they_are_reported_and_fail_a_strict_session(changed: Project) -> None:
    reported = changed.run()
    reported.assert_outcomes(passed=2)
    assert reported.ret == pytest.ExitCode.OK
    reported.stdout.fnmatch_lines([FILE, CASE])
    # a selection deselects, it doesn't make unused
    selected = changed.run("--golden-strict", "-k", "stays")
    assert selected.ret == pytest.ExitCode.TESTS_FAILED
    selected.stdout.fnmatch_lines([FILE, CASE, "*--golden-strict*"])
    # of a file that was not collected whole nothing is known
    one = changed.run("tests/test_two.py::test_stays")
    one.stdout.fnmatch_lines([FILE])
    assert "test_goes" not in one.stdout.str()
    one.stdout.fnmatch_lines(
        ["*any more: goldtrace ledger --remove tests.test_file--test_it --reason *"]
    )
    shutil.rmtree(changed.path / "golden" / "tests.test_file--test_it")
    assert "unused" not in changed.run("tests/test_two.py::test_stays").stdout.str()


def test_they_are_reported_under_xdist_too(changed: Project) -> None:
    changed.load_all_plugins()
    result = changed.run("-n2", "--golden-strict", "--golden-report=report")
    result.assert_outcomes(passed=2)
    assert result.ret == pytest.ExitCode.TESTS_FAILED
    result.stdout.fnmatch_lines([FILE, CASE])
    assert len(changed.report()) == 2


def test_a_session_without_golden_tests_reports_them(changed: Project) -> None:
    shutil.rmtree(changed.path / "tests")
    changed.write("tests/test_plain.py", "def test_plain(): pass\n")
    assert changed.run("--golden-strict").ret == pytest.ExitCode.TESTS_FAILED
