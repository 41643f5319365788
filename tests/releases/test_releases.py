"""Neighbouring releases of torch: where they differ, the culprit is right, and shows it by itself.

``make test-releases`` builds an environment for each release with uv (some 5 GB each, hard-linked
from uv's cache, and removed afterwards unless ``GOLDTRACE_KEEP_RELEASES`` is set).
``GOLDTRACE_RELEASES="2.6.0/0.21.0 2.7.1/0.22.1"`` chooses other releases of torch and torchvision.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from dataclasses import dataclass, replace
from itertools import pairwise
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from goldtrace.explaining import explain_against, write_reproducer
from goldtrace.model.diagnosis import Cause
from goldtrace.model.verdict import Verdict
from goldtrace.store.declared import load_run

if TYPE_CHECKING:
    from collections.abc import Iterator

    from goldtrace.explaining import Explanation

ROOT = Path(__file__).parents[2]
DEFAULT = "2.6.0/0.21.0 2.7.1/0.22.1 2.8.0/0.23.0 2.11.0/0.26.0 2.15.0/0.29.2"
RELEASES = os.environ.get("GOLDTRACE_RELEASES", DEFAULT).split()
SHORT = {
    "transformer": {"train_sequences": 84, "test_sequences": 21, "epochs": 1},
    "resnet18-synthetic": {"train_images": 60, "test_images": 15, "epochs": 1, "workers": 0},
}
"""Four steps of each run, all of them taped."""

OF_A_LIBRARY = {Cause.ROUNDING, Cause.PRECISION, Cause.BEHAVIOUR, Cause.RNG}
"""What a release can be the cause of, while nobody has touched the training."""


@dataclass(frozen=True)
class Release:
    """A release of torch with the torchvision that belongs to it, in an environment of its own."""

    torch: str
    python: str


@pytest.fixture(scope="session")
def releases(tmp_path_factory) -> Iterator[dict[str, Release]]:
    """Every release, in a fresh environment beside goldtrace's own numpy."""
    import importlib.metadata

    numpy = importlib.metadata.version("numpy")
    folder = Path(os.environ.get("GOLDTRACE_KEEP_RELEASES") or tmp_path_factory.mktemp("releases"))
    uv = shutil.which("uv", path=f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}")
    assert uv is not None, "uv is part of the development environment"
    version = f"{sys.version_info.major}.{sys.version_info.minor}"
    found = {}
    for name in RELEASES:
        torch, torchvision = name.split("/")
        python = folder / torch / "bin" / "python"
        if not python.exists():
            subprocess.run([uv, "venv", "-q", "--python", version, folder / torch], check=True)
            wanted = [f"torch=={torch}", f"torchvision=={torchvision}", f"numpy=={numpy}"]
            command = [uv, "pip", "install", "-q", "--python", python, *wanted]
            subprocess.run([*command, "xxhash", "threadpoolctl", "torcheval"], check=True)
        found[name] = Release(torch=torch, python=str(python))
    yield found
    if not os.environ.get("GOLDTRACE_KEEP_RELEASES"):
        shutil.rmtree(folder)


@pytest.mark.parametrize("run", SHORT)
@pytest.mark.parametrize("pair", list(pairwise(RELEASES)), ids=" to ".join)
def test_the_culprit_between_two_releases_shows_the_difference_by_itself(
    releases, tmp_path, record_property, run, pair
):
    old, new = pair
    spec = load_run(ROOT / "golden" / run / "run.toml")
    spec = replace(spec, config={**spec.config, **SHORT[run]}, tape=(0, 1, 2, 3))
    found = explain_against(
        spec,
        "cpu",
        releases[old].python,
        root=ROOT,
        progress=print,
        interpreter=releases[new].python,
    )
    record_property("finding", finding(found))
    if found.comparison.verdict is Verdict.IDENTICAL:
        assert found.diagnosis is None
        return
    assert found.diagnosis is not None
    assert found.diagnosis.cause in OF_A_LIBRARY, found.diagnosis
    assert found.diagnosis.suspects[0].what == "torch"
    culprit = write_reproducer(found, "cpu", tmp_path / "culprit", root=ROOT)
    assert culprit.op == found.diagnosis.op
    shown = {
        name: subprocess.run(
            [releases[name].python, tmp_path / "culprit" / "reproduce.py"],
            capture_output=True,
            text=True,
            check=True,
        ).stdout
        for name in (old, new)
    }
    assert "(as the golden)" in shown[old], shown
    assert "(as the run that failed)" in shown[new], shown
    assert "as neither" not in "".join(shown.values()), shown


def finding(found: Explanation) -> str:
    """One line for the table in docs/explanation/releases.md."""
    diagnosis = found.diagnosis
    if diagnosis is None:
        return "identical"
    cause = diagnosis.cause.value if diagnosis.cause else "unknown"
    return f"step {diagnosis.step}, {diagnosis.op}: {cause}; {diagnosis.culprits[0].what}"
