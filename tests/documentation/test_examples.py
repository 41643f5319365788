"""What README and tutorial show, taken from the pages and done, word for word."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
TUTORIAL = (ROOT / "docs" / "tutorial" / "first-golden.md").read_text(encoding="utf-8")
README = (ROOT / "README.md").read_text(encoding="utf-8")
BLOCK = re.compile(r"^```(\w+)\n(.*?)^```$", re.MULTILINE | re.DOTALL)
NUMBER = re.compile(r"\d[\d,.]*(e[+-]?\d+)?")

# What the README leaves to the reader's imagination.
README_PREAMBLE = """
import torch


def build(device):
    model = torch.nn.Linear(7, 3).to(device)
    data = torch.utils.data.TensorDataset(torch.randn(33, 7), torch.randint(3, (33,)))
    loader = torch.utils.data.DataLoader(data, batch_size=11)
    return model, torch.optim.SGD(model.parameters(), lr=0.1), loader
"""


def blocks(text: str, language: str) -> list[str]:
    return [block for found, block in BLOCK.findall(text) if found == language]


def example(text: str, defines: str) -> str:
    """The block of Python that defines a function."""
    (block,) = (block for block in blocks(text, "python") if f"def {defines}(" in block)
    return block


def shape(line: str) -> str:
    """A line without its numbers and the widths that follow from them."""
    return " ".join(NUMBER.sub("N", line).split())


@pytest.fixture
def project(tmp_path, monkeypatch) -> Path:
    """A repository of a new user, in an environment as after `pip install`."""
    git = shutil.which("git")
    if git is None:
        pytest.skip("no git on this machine")
    monkeypatch.delenv("CI", raising=False)
    monkeypatch.setenv("PATH", f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}")
    monkeypatch.setenv("GIT_CONFIG_GLOBAL", str(tmp_path / "gitconfig"))
    monkeypatch.setenv("COLUMNS", "80")
    root = tmp_path / "project"
    root.mkdir()
    subprocess.run([git, "init", "--quiet"], cwd=root, check=True)
    return root


def do(command: str, root: Path) -> str:
    result = subprocess.run(
        [shutil.which("bash") or "bash", "-c", command],
        cwd=root,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        check=False,
    )
    return result.stdout


def test_the_tutorial_shows_what_its_commands_print(project):
    done = []
    for block in blocks(TUTORIAL, "console"):
        commands = re.split(r"^\$ ", block, flags=re.MULTILINE)[1:]
        for part in commands:
            command, *shown = part.splitlines()
            if command == "goldtrace init mytraining:train":
                (project / "mytraining.py").write_text(example(TUTORIAL, "train"))
            printed = do(command, project)
            lines = [shape(line) for line in printed.splitlines()]
            for line in shown:
                if line != "…":
                    assert shape(line) in lines, f"$ {command}\n{printed}"
            done.append(command)
    assert len(done) >= 8
    assert (
        (project / "golden" / "mytraining" / "run.toml")
        .read_text()
        .endswith(next(block for block in blocks(TUTORIAL, "toml") if "mytraining" in block))
    )
    table = TUTORIAL.partition("| file | holds |")[2].partition("\n\n")[0]
    platform = project / "golden" / "example" / "cpu-portable"
    assert {path.name for path in platform.iterdir()} == set(
        re.findall(r"^\| `(.*?)`", table, re.MULTILINE)
    )


def test_the_readme_shows_the_failure_that_the_tutorial_does():
    (shown,) = (block for block in blocks(TUTORIAL, "console") if "ulp) from step 0" in block)
    failure = shown[shown.index("example [cpu]: drift") : shown.rindex("…")].rstrip()
    assert "".join(f"    {line}".rstrip() + "\n" for line in failure.splitlines()) in README


@pytest.mark.parametrize(
    "text", [README_PREAMBLE + example(README, "test_training"), example(TUTORIAL, "test_training")]
)
def test_a_test_becomes_a_golden_test_as_the_page_says(project, text):
    (project / "test_training.py").write_text(text)
    # Without the calibration, which other tests are about.
    shown = do("pytest --golden-update --golden-no-calibrate", project)
    assert "1 passed" in shown, shown
    assert list(project.rglob("steps.jsonl")) != []
    shown = do("pytest -W error", project)
    assert "1 passed" in shown, shown


def test_the_training_of_the_tutorial_trains(project):
    (project / "mytraining.py").write_text(example(TUTORIAL, "train"))
    do("goldtrace init mytraining:train", project)
    shown = do('goldtrace record mytraining --no-calibrate --reason "first golden"', project)
    assert "created  (2 processes agree)" in shown, shown
