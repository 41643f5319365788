"""Environments with the neighbouring releases of torch that the benchmark holds together."""

from __future__ import annotations

import importlib.metadata
import subprocess
import sys
from pathlib import Path

RELEASES = {"2.7.1": "0.22.1", "2.8.0": "0.23.0"}
"""Releases of torch with their torchvision: attention and batch norm differ by rounding."""

_ROOT = Path(__file__).parents[2]


def environments(folder: Path) -> dict[str, str]:
    """The interpreter of each release; what isn't in ``folder`` yet is built by uv."""
    uv = str(Path(sys.executable).with_name("uv"))
    numpy = f"numpy=={importlib.metadata.version('numpy')}"
    pythons = {}
    for torch, torchvision in RELEASES.items():
        place = folder / torch
        pythons[torch] = str(place / "bin" / "python")
        if not (place / ".ready").exists():
            subprocess.run(
                [uv, "venv", "-q", "--clear", "--python", sys.executable, place], check=True
            )
            wanted = [f"torch=={torch}", f"torchvision=={torchvision}", numpy, "--editable", _ROOT]
            subprocess.run([uv, "pip", "install", "-q", "-p", pythons[torch], *wanted], check=True)
            (place / ".ready").touch()
    return pythons
