"""A small repository with golden tests, as a test lays it down and runs pytest in it."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import fake_recording

if TYPE_CHECKING:
    from pathlib import Path

    import pytest


class Project:
    """Files, and pytest in a process of its own.

    Only goldtrace is loaded, which halves the time that a session takes, unless
    ``load_all_plugins`` was called.
    """

    def __init__(self, pytester: pytest.Pytester, monkeypatch: pytest.MonkeyPatch) -> None:
        for name in (
            *("CI", "PYTEST_ADDOPTS", "PYTHONHASHSEED"),
            *("GITHUB_ACTIONS", "GITHUB_STEP_SUMMARY", "GITHUB_WORKSPACE"),
        ):
            monkeypatch.delenv(name, raising=False)
        self.pytester = pytester
        self.path = pytester.path
        self._monkeypatch = monkeypatch
        monkeypatch.setenv("PYTEST_DISABLE_PLUGIN_AUTOLOAD", "1")
        self.configure()

    def configure(self, *lines: str, addopts: str = "-p goldtrace.pytest_plugin") -> None:
        """Write ``pytest.ini``."""
        self.write("pytest.ini", "\n".join(["[pytest]", f"addopts = {addopts}", *lines, ""]))

    def load_all_plugins(self) -> None:
        """Have pytest find the plugins of this environment, as a user's does."""
        self._monkeypatch.delenv("PYTEST_DISABLE_PLUGIN_AUTOLOAD", raising=False)
        self.configure(addopts="-p no:randomly")

    def write(self, name: str, content: str) -> Path:
        path = self.path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(content, encoding="utf-8")
        return path

    def without_torch(self, conftest: str = "") -> None:
        self.write("conftest.py", fake_recording.CONFTEST + conftest)

    def run(self, *arguments: str, timeout: float = 240) -> pytest.RunResult:
        return self.pytester.runpytest_subprocess(*arguments, timeout=timeout)

    def goldens(self) -> dict[str, bytes]:
        root = self.path / "golden"
        files = sorted(p for p in root.rglob("*") if p.is_file() and p.name != "run.toml")
        return {str(p.relative_to(root)): p.read_bytes() for p in files}

    def report(self, folder: str = "report") -> dict[str, dict[str, Any]]:
        """The runs of report.json by name and device."""
        document = json.loads((self.path / folder / "report.json").read_text(encoding="utf-8"))
        assert document["schema"] == 1
        return {f"{run['name']}@{run['device']}": run for run in document["runs"]}
