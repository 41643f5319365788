"""``goldtrace check --report`` and ``goldtrace report``."""

from __future__ import annotations

import json
import os
import pty
import re
import subprocess
import sys

import pytest

SLOW = """
import time
import torch

def slow(run):
    for _ in range(6):
        time.sleep(0.4)
        run.step(loss=1.0)
"""


@pytest.fixture
def checked(project, goldtrace):
    """A report of one run that drifts."""
    project.declare("tiny", "training:train")
    assert goldtrace("record", "--no-calibrate", "--reason", "first")[0] == 0
    project.declare("tiny", "training:train", "[config]\nfactor = 1.5\n")
    return project


def test_check_writes_a_report_that_the_command_shows_again(checked, goldtrace, monkeypatch):
    summary = checked.root / "summary.md"
    monkeypatch.setenv("GITHUB_ACTIONS", "true")
    monkeypatch.setenv("GITHUB_STEP_SUMMARY", str(summary))
    status, out, err = goldtrace("check", "--report", "out", "--no-candidates")
    assert status == 1
    assert "course" in out
    assert "\x1b" not in out + err
    # The tape knows the line of the user's code that computes otherwise.
    (command,) = [line for line in out.splitlines() if line.startswith("::error")]
    assert "file=training.py,line=" in command
    assert summary.read_text().startswith("### goldtrace: 1 run: 1 failed")
    names = {path.name for path in (checked.root / "out").iterdir()}
    assert {"report.json", "report.html", "report.md", "gitlab-codequality.json"} <= names

    status, out, _ = goldtrace("report", "out")
    assert status == 0
    assert "FAIL  tiny" in out
    assert goldtrace("report", "out", "--html", "page.html", "--markdown", "page.md")[0] == 0
    for page, file in (("page.html", "report.html"), ("page.md", "report.md")):
        assert (checked.root / page).read_text() == (checked.root / "out" / file).read_text()


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (None, "no report here"),
        ("{", "no JSON"),
        ("[]", "this file is no report"),
        ('{"schema": 1, "runs": [5]}', "this file is no report"),
        ('{"schema": 7, "runs": []}', "schema 7"),
        ('{"schema": 1, "runs": 5}', "this file is no report"),
        ('{"schema": 1, "change_points": 5}', "this file is no report"),
        ('{"schema": 1, "runs": [], "x": NaN}', "NaN is no number"),
        ("[" * 100000, "no JSON"),
        ('{"schema": 1, "runs": [{"name": "old"}]}', "lacks what a page shows"),
        ('{"schema": 1, "runs": [{"name": 5}]}', "runs[0].name"),
    ],
)
def test_what_is_no_report_is_refused_with_the_reason(goldtrace, tmp_path, content, message):
    path = tmp_path / "report.json"
    if content is not None:
        path.write_text(content)
    status, _, err = goldtrace("report", path, "--html", tmp_path / "page.html")
    assert status == 2
    assert message in err
    assert not (tmp_path / "page.html").exists()


@pytest.mark.parametrize(
    ("conclusive", "answer"), [(True, "no change point"), (False, "inconclusive")]
)
def test_a_bisections_answer_is_rendered_too(goldtrace, tmp_path, conclusive, answer):
    document = {
        "schema": 1,
        "target": "tiny",
        "device": "cpu",
        "question": "engine 1.0 to 1.1, 2 releases",
        "until": "rounding",
        "conclusive": conclusive,
        "change_points": [],
        "causes": [],
        "probes": [],
        "notes": ["engine 1.1 is *odd*"],
    }
    path = tmp_path / "bisection.json"
    path.write_text(json.dumps(document))
    status, out, _ = goldtrace("report", path, "--html", "-")
    assert status == 0
    assert f'<p class="finding">{answer}</p>' in out
    page = goldtrace("report", path)[1]
    assert f"{answer.capitalize()}." in page
    assert r"engine 1.1 is \*odd\*" in page


def test_a_terminal_shows_how_far_a_run_is(project):
    (project.root / "slowly.py").write_text(SLOW)
    project.declare("slow", "slowly:slow")
    ours, theirs = pty.openpty()
    command = [sys.executable, "-m", "goldtrace.cli", "check"]
    environment = {**os.environ, "TERM": "xterm", "COLUMNS": "100", "PYTHONHASHSEED": "0"}
    with subprocess.Popen(
        command, cwd=project.root, stdin=theirs, stdout=theirs, stderr=theirs, env=environment
    ) as process:
        os.close(theirs)
        text = b""
        while True:
            try:
                piece = os.read(ours, 65536)
            except OSError:  # how Linux says that the other side is closed
                break
            text += piece
    os.close(ours)
    shown = text.decode()
    assert re.search(r"slow on cpu.*starting", shown)
    assert re.search(r"step [2-6], \d+\.\d/s", shown)
    assert process.returncode == 3
