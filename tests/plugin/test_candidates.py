"""Candidate goldens of a session: who leaves one, and how it becomes the golden."""

from __future__ import annotations

import json
import subprocess
import sys
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from pathlib import Path

    from project import Project

pytest_plugins = ["pytester"]

SESSION = """
import os
import pytest
def loss(): return float(os.environ.get("LOSS", 1.0))
def test_kept(golden_run): golden_run.step(loss=1.0)
def test_moved(golden_run): golden_run.step(loss=loss())
def test_new(golden_run): golden_run.step(loss=1.0)
def test_unsure(golden_run): golden_run.step(loss=float(os.getpid()) if loss() != 1.0 else 1.0)
def test_fails(golden_run):
    golden_run.step(loss=loss())
    assert loss() == 1.0
@pytest.fixture
def leaky():
    yield
    assert loss() == 1.0
def test_leaks(golden_run, leaky): golden_run.step(loss=loss())
@pytest.mark.xfail
def test_expected(golden_run): golden_run.step(loss=loss())
"""
NAME = "tests.test_session--test_{}"


@pytest.fixture
def session(project: Project, monkeypatch: pytest.MonkeyPatch) -> Project:
    """Goldens of all tests but ``test_new``; then the loss moves."""
    project.without_torch()
    project.write("tests/test_session.py", SESSION)
    updated = project.run("--golden-update", "-k", "not new")
    assert updated.parseoutcomes()["passed"] >= 5
    monkeypatch.setenv("LOSS", "1.5")
    return project


def candidates(project: Project) -> set[str]:
    folder = project.path / "report/candidates"
    return {path.parts[-3].rpartition("_")[2] for path in folder.rglob("candidate.json")}


def accept(project: Project, *arguments: object) -> subprocess.CompletedProcess[str]:
    """Run ``goldtrace accept`` in an interpreter of its own, which may not import torch."""
    code = (
        "import sys; from goldtrace.cli import main; status = main(sys.argv[1:]); "
        "assert 'torch' not in sys.modules; raise SystemExit(status)"
    )
    return subprocess.run(
        [sys.executable, "-c", code, "accept", *map(str, arguments)],
        cwd=project.path,
        capture_output=True,
        text=True,
        check=False,
    )


def test_a_verdict_that_fails_a_test_leaves_a_candidate_and_nothing_else_does(
    session: Project, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = session.goldens()
    result = session.run("--golden-report=report")
    assert candidates(session) == {"moved", "new"}
    assert session.goldens() == before
    runs = session.report()
    stored = runs[f"{NAME.format('moved')}@cpu"]["candidate"]
    assert stored == {"folder": f"candidates/{NAME.format('moved')}/fake-cpu", "why_not": None}
    manifest = json.loads(
        (session.path / "report" / stored["folder"] / "candidate.json").read_bytes()
    )
    assert manifest["verdict"] == "drift"
    assert manifest["moved"] == "from step 0: loss 1 → 1.5"
    why_not = runs[f"{NAME.format('unsure')}@cpu"]["candidate"]["why_not"]
    assert "did not repeat the bits of process 1" in why_not
    for name in ("kept", "fails", "expected"):
        assert runs[f"{NAME.format(name)}@cpu"]["candidate"] is None
    result.stdout.fnmatch_lines(
        [
            f"goldtrace: {NAME.format('moved')} once more, for a candidate golden",
            f"{NAME.format('moved')} [[]cpu[]]: candidate golden in report/candidates/*",
            "  if meant: goldtrace accept report * --reason *",
            f"{NAME.format('unsure')} [[]cpu[]]: no candidate golden: *",
        ]
    )
    # The next report speaks of what it has run, and holds no candidate of another one.
    monkeypatch.delenv("LOSS")
    session.run("--golden-report=report", "-k", "moved")
    assert candidates(session) == set()


def test_accepting_makes_the_session_green(session: Project, tmp_path: Path) -> None:
    session.run("--golden-report=report", "-k", "moved or new")
    dry = accept(session, "report", "--reason", "a new schedule", "--dry-run")
    assert dry.returncode == 0, dry.stderr
    assert "would be replaced  (2 processes agree)  from step 0: loss 1 → 1.5" in dry.stdout
    assert "would be created" in dry.stdout
    assert "from: a check with the verdict drift" in dry.stdout
    before = session.goldens()
    done = accept(session, "report", NAME.format("moved"), "--reason", "a new schedule")
    assert done.returncode == 0, done.stderr
    assert done.stdout.count("written: golden/") == 1
    changed = {name for name, content in session.goldens().items() if before.get(name) != content}
    assert {name.split("/")[0] for name in changed} == {NAME.format("moved")}
    ledger = session.path / "golden" / NAME.format("moved") / "fake-cpu/ledger.jsonl"
    entries = [json.loads(line) for line in ledger.read_bytes().splitlines()]
    assert [entry["reason"] for entry in entries][1:] == ["a new schedule"]
    assert entries[1]["previous"] == entries[0]["golden"]
    again = accept(session, "report", "--reason", "the rest")
    assert "unchanged" in again.stdout
    assert again.stdout.count("written: golden/") == 1
    session.run("-k", "moved or new").assert_outcomes(passed=2, deselected=5)


def test_workers_leave_their_candidates_in_one_report(session: Project) -> None:
    session.configure(addopts="-p goldtrace.pytest_plugin -p xdist.plugin")
    session.run("--golden-report=report", "-n2", "-k", "moved or new")
    assert candidates(session) == {"moved", "new"}
    runs = session.report()
    assert runs[f"{NAME.format('new')}@cpu"]["candidate"]["folder"] is not None


def test_an_interrupt_while_a_candidate_is_made_keeps_the_verdict(session: Project) -> None:
    session.write(
        "tests/test_session.py",
        """
import os, pathlib, signal
signal.signal(signal.SIGINT, signal.default_int_handler)  # jobs in the background ignore it
def test_moved(golden_run):
    golden_run.step(loss=7.0)
    if pathlib.Path("ran").exists():
        os.kill(os.getppid(), signal.SIGINT)
        import time; time.sleep(30)
    pathlib.Path("ran").touch()
""",
    )
    result = session.run("--golden-report=report", "-k", "moved")
    assert result.ret == pytest.ExitCode.INTERRUPTED
    assert result.parseoutcomes()["failed"] == 1
    assert session.report()[f"{NAME.format('moved')}@cpu"]["verdict"] == "drift"
    assert candidates(session) == set()


def test_what_cannot_be_accepted_is_one_clear_error(
    session: Project, monkeypatch: pytest.MonkeyPatch
) -> None:
    session.run("--golden-report=report", "-k", "moved")
    before = session.goldens()
    for arguments, status, words in (
        (("absent", "--reason", "why"), 3, "no such report"),
        (("report", "--reason", " "), 2, "an empty reason"),
        (("report", "other", "--reason", "why"), 2, "no candidate for 'other'"),
        (("report",), 2, "--reason"),
    ):
        refused = accept(session, *arguments)
        assert refused.returncode == status
        assert words in refused.stderr
        assert "Traceback" not in refused.stderr
        assert session.goldens() == before
    # Somebody else has recorded in the meantime.
    monkeypatch.setenv("LOSS", "2.5")
    (session.path / "report").rename(session.path / "artifact")
    updated = session.run("--golden-update", "--golden-report=report", "-k", "moved")
    updated.assert_outcomes(passed=1, deselected=6)
    assert candidates(session) == set()
    before = session.goldens()
    refused = accept(session, "artifact", "--reason", "too late")
    assert refused.returncode == 3
    assert "the golden has changed since this candidate was made" in refused.stderr
    assert "next:     merge the target branch" in refused.stderr
    assert session.goldens() == before


def test_under_ci_nothing_is_accepted_without_a_second_word(
    session: Project, monkeypatch: pytest.MonkeyPatch
) -> None:
    session.run("--golden-report=report", "--golden-no-candidates", "-k", "moved")
    assert candidates(session) == set()
    monkeypatch.setenv("CI", "true")
    session.run("--golden-report=report", "-k", "moved")
    before = session.goldens()
    assert accept(session, "report", "--reason", "why").returncode == 2
    assert accept(session, "report", "--reason", "why", "--dry-run").returncode == 0
    assert session.goldens() == before
    assert accept(session, "report", "--reason", "why", "--in-ci").returncode == 0
    assert session.goldens() != before
