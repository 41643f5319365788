"""An index on disk that uv is configured with, and nothing else."""

from __future__ import annotations

import os
import sys
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parents[1] / "unit"))
sys.path.insert(0, str(Path(__file__).parent))

from fake_packages import Index

from goldtrace.packages.today import Today
from goldtrace.packages.uv import find_uv
from goldtrace.workflow import bisecting, trying


@pytest.fixture
def index(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Index:
    find_uv()  # Part of the development environment: its absence is an error.
    for name in os.environ:
        if name.startswith("UV_"):
            monkeypatch.delenv(name)
    monkeypatch.setenv("UV_CACHE_DIR", str(tmp_path / "uv-cache"))
    monkeypatch.setenv("UV_NO_CONFIG", "1")
    index = Index(tmp_path / "simple")
    monkeypatch.setenv("UV_DEFAULT_INDEX", index.url)
    return index


@pytest.fixture
def today(monkeypatch: pytest.MonkeyPatch):
    """Says what the environment at hand is; goldtrace needs nothing beside it."""

    def say(*pins: str) -> None:
        names = tuple(pin.partition("==")[0] for pin in pins)
        now = Today(requirements=names, pins=pins, editable=())
        for module in (bisecting, trying):
            monkeypatch.setattr(module, "todays_environment", lambda: now)

    monkeypatch.setattr(bisecting, "own_requirements", lambda: ())
    return say
