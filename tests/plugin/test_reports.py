"""What a session leaves for people and for CI services, and what it shows while a golden runs."""

from __future__ import annotations

import json
import os
import pty
import re
import select
import subprocess
import sys
import xml.etree.ElementTree as ET
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from pathlib import Path

    from project import Project

pytest_plugins = ["pytester"]

TWO = """
import os
def test_kept(golden_run): golden_run.step(loss=1.0)
def test_moved(golden_run): golden_run.step(loss=float(os.environ.get("LOSS", 1.0)))
"""
SLOW = """
import time
def test_slow(golden_run):
    for number in range(8):
        time.sleep(0.15)
        golden_run.step(loss=1.0)
"""


@pytest.fixture
def two(project: Project, monkeypatch: pytest.MonkeyPatch) -> Project:
    """One golden that matches and one that doesn't."""
    project.without_torch()
    project.write("tests/test_two.py", TWO)
    project.run("--golden-update").assert_outcomes(passed=2)
    monkeypatch.setenv("LOSS", "1.5")
    return project


def junit(path: Path) -> dict[str, dict[str, str]]:
    """The properties of each test case."""
    return {
        case.get("name", ""): {
            each.get("name", ""): each.get("value", "") for each in case.iter("property")
        }
        for case in ET.parse(path).iter("testcase")  # noqa: S314 - our own file
    }


def test_a_report_directory_has_every_face_and_junit_the_verdicts(two: Project) -> None:
    options = ("--golden-report=report", "--golden-no-candidates", "--junitxml=junit.xml")
    two.run(*options).assert_outcomes(passed=1, failed=1)
    files = {path.name for path in (two.path / "report").iterdir() if path.is_file()}
    assert files == {
        *("report.json", "report.html", "report.md"),
        *("gitlab-metrics.txt", "gitlab-codequality.json"),
    }
    moved = two.report()["tests.test_two--test_moved@cpu"]
    assert moved["origin"] == "tests/test_two.py::test_moved"
    assert [curve["current"] for curve in moved["course"]["curves"]] == [[1.5]]
    (issue,) = json.loads((two.path / "report" / "gitlab-codequality.json").read_text())
    assert issue["location"]["path"] == "tests/test_two.py"
    found = junit(two.path / "junit.xml")
    assert found["test_kept"] == {"verdict": "identical", "platform": "fake-cpu"}
    assert found["test_moved"]["verdict"] == "drift"
    assert found["test_moved"]["first_divergence"] == "0:loss:loss"


def test_junit_tells_the_verdict_on_the_golden_that_was_written(two: Project) -> None:
    two.run("--golden-update", "--junitxml=junit.xml").assert_outcomes(passed=2)
    found = junit(two.path / "junit.xml")
    assert [each["verdict"] for each in found.values()] == ["identical", "identical"]


def test_a_runner_of_github_gets_annotations_and_a_summary(
    two: Project, monkeypatch: pytest.MonkeyPatch
) -> None:
    summary = two.path / "summary.md"
    monkeypatch.setenv("GITHUB_ACTIONS", "true")
    monkeypatch.setenv("GITHUB_WORKSPACE", str(two.path))
    monkeypatch.setenv("GITHUB_STEP_SUMMARY", str(summary))
    lines = two.run().outlines
    assert not [line for line in lines if line.startswith("2 runs:")]
    (command,) = [line for line in lines if line.startswith("::")]
    assert command.startswith("::error title=golden tests.test_two--test_moved [cpu],")
    assert "file=tests/test_two.py::drift from step 0" in command
    assert "### goldtrace: 2 runs: 1 passed, 1 failed" in summary.read_text()


def test_verbose_sessions_show_every_verdict_and_elsewhere_nothing_is_annotated(
    two: Project,
) -> None:
    text = two.run("-v").stdout.str()
    assert not [line for line in text.splitlines() if line.startswith("::")]
    assert re.search(r"^FAIL +tests\.test_two--test_moved +cpu", text, re.MULTILINE)
    assert re.search(r"^pass +tests\.test_two--test_kept +cpu", text, re.MULTILINE)
    assert "2 runs: 1 passed, 1 failed" in text


def test_a_report_that_cannot_be_written_is_an_error_with_its_reason(two: Project) -> None:
    two.write("report", "a file, no directory")
    result = two.run("--golden-report=report", "-k", "kept")
    assert result.ret == 1
    result.stdout.fnmatch_lines(["*the report can't be written*"])
    assert "INTERNALERROR" not in result.stdout.str()


def on_a_terminal(project: Project, *arguments: str, **variables: str) -> str:
    """What a pytest prints that has a terminal of 80 columns."""
    ours, theirs = pty.openpty()
    command = [sys.executable, "-m", "pytest", *arguments]
    environment = {**os.environ, "TERM": "xterm", "COLUMNS": "80", **variables}
    with subprocess.Popen(
        command, cwd=project.path, stdin=theirs, stdout=theirs, stderr=theirs, env=environment
    ) as process:
        os.close(theirs)
        text = b""
        while select.select([ours], [], [], 120)[0]:
            try:
                piece = os.read(ours, 65536)
            except OSError:  # how Linux says that the other side is closed
                break
            if not piece:
                break
            text += piece
    os.close(ours)
    assert process.returncode == 0, text.decode()
    return text.decode()


def screen(text: str) -> str:
    """What is left on the screen, one line each, after cursor and erasures."""
    lines = []
    for line in text.split("\n"):
        shown, at = "", 0
        for piece in re.findall(r"\x1b\[[0-9;]*[A-Za-z]|[^\x1b]", line):
            if piece == "\x1b[K":
                shown = shown[:at]
            elif piece.startswith("\x1b[") and piece.endswith("D"):
                at -= int(piece[2:-1])
            elif piece == "\r":
                at = 0
            elif not piece.startswith("\x1b"):
                shown = shown[:at] + piece + shown[at + 1 :]
                at += 1
        lines.append(shown)
    return "\n".join(lines)


def test_a_running_golden_shows_its_progress_and_leaves_no_trace_of_it(project: Project) -> None:
    project.without_torch()
    project.write("test_slow.py", SLOW)
    project.run("--golden-update").assert_outcomes(passed=1)
    text = on_a_terminal(project, PY_COLORS="1")
    assert re.search(r"step [1-8]/8", text)
    assert re.search(r"step \d/8, \d+\.\d/s, \d+ s left", text)
    left = screen(text)
    assert "step" not in left
    assert re.search(r"test_slow\.py \.", left)


def test_nobody_is_shown_progress_who_wants_quiet_or_has_no_terminal(project: Project) -> None:
    project.without_torch()
    project.write("test_slow.py", SLOW)
    text = project.run("--golden-update").stdout.str()
    assert "/8" not in text
    assert "\x1b" not in text
    assert "/8" not in on_a_terminal(project, "-q")
    assert "/8" not in on_a_terminal(project, TERM="dumb")


def test_what_only_collects_and_a_child_leave_the_report_as_it_is(two: Project) -> None:
    conftest = two.path / "conftest.py"
    conftest.write_text(
        conftest.read_text()
        + """
def pytest_unconfigure(config):
    from pathlib import Path
    if getattr(config.option, "golden_isolated", False):
        Path("seen").write_text(str(Path("report/report.json").exists()))
"""
    )
    two.run("--golden-report=report", "--golden-no-candidates")
    assert (two.path / "seen").read_text() == "False"
    before = (two.path / "report/report.json").read_bytes()
    two.run("--golden-report=report", "--collect-only")
    assert (two.path / "report/report.json").read_bytes() == before


def test_a_summary_that_cannot_be_written_is_a_warning(
    two: Project, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("GITHUB_STEP_SUMMARY", str(two.path))
    result = two.run()
    result.assert_outcomes(passed=1, failed=1)
    result.stdout.fnmatch_lines(["::warning title=goldtrace::the summary can't be written: *"])
