"""A user's project with a run for each way in which a training can end."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from pathlib import Path

TRAINING = """
import os, signal, time, uuid
import torch
from goldtrace.errors import DataUnavailableError

def train(run):
    model = torch.nn.Linear(3, 2)
    optimizer = torch.optim.SGD(model.parameters(), lr=run.config.get("lr", 0.1))
    run.watch(model=model, optimizer=optimizer)
    for _ in range(3):
        x = torch.randn(5, 3)
        loss = model(x).square().mean() * float(run.config.get("factor", 1))
        loss.backward()
        optimizer.step()
        optimizer.zero_grad()
        run.step(loss=loss, batch=x)
    run.metric(final=loss)

def raises(run):
    run.step(loss=1.0)
    raise ValueError("the loader is broken")

def exits(run):
    raise SystemExit(3)

def no_step(run):
    print("nothing to train")

def not_a_scalar(run):
    run.step(loss=torch.ones(2))

def unrepeatable(run):
    run.step(loss=float(uuid.uuid4().int % 1000003))

def dies(run):
    print("last words", flush=True)
    os.kill(os.getpid(), signal.SIGKILL)

def lacks_data(run):
    raise DataUnavailableError("the data is not here", hint="fetch it")

def sleeps(run):
    open("asleep", "w").write(str(os.getpid()))
    time.sleep(120)

number = 3
"""


@dataclass(frozen=True)
class Project:
    """A directory with ``training.py`` and runs under ``golden/``."""

    root: Path

    def declare(self, name: str, entry: str, rest: str = "") -> Path:
        """Write ``golden/<name>/run.toml``."""
        path = self.root / "golden" / name / "run.toml"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(f'entry = "{entry}"\n{rest}')
        return path

    def golden(self, name: str) -> Path:
        """Where the golden of a run is."""
        return self.root / "golden" / name / "cpu-portable"

    def contents(self, name: str) -> dict[str, bytes]:
        """Every file of a run's golden directory by its path."""
        folder = self.root / "golden" / name
        return {
            str(path.relative_to(folder)): path.read_bytes()
            for path in sorted(folder.rglob("*"))
            if path.is_file() and path.name != "run.toml"
        }


@pytest.fixture
def project(tmp_path, monkeypatch) -> Project:
    for name in ("CI", "GITHUB_ACTIONS", "GITHUB_STEP_SUMMARY", "GITHUB_WORKSPACE"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.chdir(tmp_path)
    (tmp_path / "training.py").write_text(TRAINING)
    return Project(tmp_path)
