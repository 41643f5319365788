"""A merge request lived through: CI is red, its candidate is accepted from the zip, CI is green.

Real git, real training of a tiny model, and the zip in both shapes that forges serve.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import zipfile
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from pathlib import Path

TRAINING = """
import torch

def test_training(golden_run):
    model = torch.nn.Linear(3, 2)
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
    golden_run.watch(model=model, optimizer=optimizer)
    for _ in range(3):
        x = torch.randn(5, 3)
        loss = model(x).square().mean()
        loss.backward()
        optimizer.step()
        optimizer.zero_grad()
        golden_run.step(loss=loss, batch=x)
"""
RUN = "test_training--test_training"


class Clone:
    """A checkout of the project, on a developer's machine or a CI runner's."""

    def __init__(self, root: Path) -> None:
        self.root = root

    def run(self, *command: str, ci: bool = False, ok: int | None = 0) -> str:
        environment = {
            key: value
            for key, value in os.environ.items()
            if key not in {"CI", "PYTEST_ADDOPTS"} and not key.startswith(("GIT_", "COV_"))
        }
        environment["PYTEST_DISABLE_PLUGIN_AUTOLOAD"] = "1"
        if ci:
            environment["CI"] = "true"
        done = subprocess.run(
            command, cwd=self.root, env=environment, capture_output=True, text=True, check=False
        )
        assert ok is None or done.returncode == ok, done.stdout + done.stderr
        return done.stdout + done.stderr

    def git(self, *arguments: str) -> str:
        return self.run("git", *arguments)

    def commit(self, message: str) -> None:
        self.git("add", "-A")
        self.git("commit", "-q", "-m", message)

    def pytest(self, *arguments: str, ci: bool = False, ok: int = 0) -> str:
        pytest_ = (sys.executable, "-m", "pytest", "-p", "goldtrace.pytest_plugin")
        return self.run(*pytest_, "-p", "no:cacheprovider", *arguments, ci=ci, ok=ok)

    def goldtrace(self, *arguments: str, ok: int = 0) -> str:
        """The command, in an interpreter that must not import torch."""
        code = (
            "import sys; from goldtrace.cli import main; status = main(sys.argv[1:]); "
            "assert 'torch' not in sys.modules; raise SystemExit(status)"
        )
        return self.run(sys.executable, "-c", code, *arguments, ok=ok)


def clone(origin: Path, place: Path, branch: str) -> Clone:
    subprocess.run(
        ["git", "clone", "-q", "-b", branch, str(origin), str(place)],  # noqa: S607 - this machine's
        check=True,
    )
    made = Clone(place)
    made.git("config", "user.name", "A Developer")
    made.git("config", "user.email", "dev@example.org")
    return made


def zip_as(shape: str, report: Path, path: Path) -> None:
    """What the forge serves for the report that the job left."""
    top = "" if shape == "github" else "golden-report/"
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        for file in sorted(report.rglob("*")):
            archive.write(file, f"{top}{file.relative_to(report).as_posix()}")


@pytest.fixture(scope="module")
def project(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The project's main branch, whose golden was recorded by its first developer."""
    root = tmp_path_factory.mktemp("project")
    (root / "test_training.py").write_text(TRAINING, encoding="utf-8")
    (root / ".gitignore").write_text(
        ".goldtrace/\n__pycache__/\ngolden-report/\n", encoding="utf-8"
    )
    (root / ".gitattributes").write_text("golden/** -text\n", encoding="utf-8")
    main = Clone(root)
    main.git("init", "-q", "-b", "main")
    main.git("config", "user.name", "The First Developer")
    main.git("config", "user.email", "first@example.org")
    main.pytest("--golden-update", "--golden-no-calibrate")
    main.commit("a training and its golden")
    return root


@pytest.fixture(scope="module")
def red(project: Path, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    """The repository with a merge request, and the report of its red CI job."""
    developer = clone(project, tmp_path_factory.mktemp("developer") / "work", "main")
    developer.git("switch", "-q", "-c", "smaller-steps")
    source = TRAINING.replace("lr=0.1", "lr=0.1001")
    (developer.root / "test_training.py").write_text(source, encoding="utf-8")
    developer.commit("Smaller steps")
    developer.git("push", "-q", "origin", "smaller-steps")
    runner = clone(project, tmp_path_factory.mktemp("runner") / "work", "smaller-steps")
    output = runner.pytest("--golden-report", "golden-report", ci=True, ok=1)
    assert "group0.lr 0.1 → 0.1001" in output
    assert f"if meant: goldtrace accept golden-report {RUN}" in output
    assert runner.git("status", "--porcelain") == ""  # CI writes no golden.
    return project, runner.root / "golden-report"


def test_a_merge_request_is_accepted_from_the_zip_of_its_red_job(
    red: tuple[Path, Path], tmp_path: Path
) -> None:
    project, report = red
    document = json.loads((report / "report.json").read_bytes())
    assert document["runs"][0]["verdict"] == "drift"
    assert document["runs"][0]["candidate"]["folder"] == f"candidates/{RUN}/cpu-portable"
    archive = tmp_path / "artifacts.zip"
    zip_as("github", report, archive)

    # Somebody without the runner takes the candidate, and sees what changes before it does.
    reviewer = clone(project, tmp_path / "reviewer", "smaller-steps")
    screen = reviewer.goldtrace("accept", str(archive), "--reason", "smaller steps", "--dry-run")
    assert "would be replaced  (2 processes agree)" in screen
    assert "group0.lr 0.1 → 0.1001" in screen
    assert "calibrated, horizon: step 2 of 2" in screen
    assert reviewer.git("status", "--porcelain") == ""
    reviewer.goldtrace("accept", str(archive), "--reason", "smaller steps")
    assert changed(reviewer) == {
        *("calibration.json", "certificate.json", "header.json"),
        *("ledger.jsonl", "steps.jsonl", "tape.jsonl.gz", "tensors.jsonl.gz"),
    }

    # The hook before the commit, and CI on the merge request, find an entry for every change.
    assert "every change has its entry" in reviewer.goldtrace("ledger", "--verify")
    reviewer.commit("Accept what smaller steps train")
    verify = ("ledger", "--verify", "--base", "origin/main")
    assert "every change has its entry" in reviewer.goldtrace(*verify)
    assert "smaller steps" in reviewer.goldtrace("ledger")
    output = reviewer.pytest("--golden-report", "golden-report", ci=True)
    assert "1 passed" in output
    again = json.loads((reviewer.root / "golden-report/report.json").read_bytes())
    assert again["runs"][0]["verdict"] == "identical"

    # And a golden that nobody accounts for is what the check is for.
    ledger = reviewer.root / "golden" / RUN / "cpu-portable/ledger.jsonl"
    ledger.write_bytes(ledger.read_bytes().splitlines(keepends=True)[0])
    reviewer.commit("Tidy the history")
    refused = reviewer.goldtrace(*verify, ok=3)
    assert "tape.jsonl.gz, tensors.jsonl.gz changed without an entry in ledger.jsonl" in refused


def test_both_forges_serve_the_same_candidate(red: tuple[Path, Path], tmp_path: Path) -> None:
    project, report = red
    goldens = []
    for shape in ("github", "gitlab"):
        zip_as(shape, report, tmp_path / f"{shape}.zip")
        reviewer = clone(project, tmp_path / shape, "smaller-steps")
        reviewer.goldtrace("accept", str(tmp_path / f"{shape}.zip"), "--reason", "smaller steps")
        place = reviewer.root / "golden" / RUN / "cpu-portable"
        names = changed(reviewer) - {"ledger.jsonl"}
        goldens.append({name: (place / name).read_bytes() for name in names})
    assert goldens[0] == goldens[1]
    assert len(goldens[0]) == 6


def changed(reviewer: Clone) -> set[str]:
    """The files of the golden that differ from what is committed; nothing else does."""
    paths = [line[3:] for line in reviewer.git("status", "--porcelain").splitlines()]
    assert {path.rpartition("/")[0] for path in paths} == {f"golden/{RUN}/cpu-portable"}
    return {path.rpartition("/")[2] for path in paths}
