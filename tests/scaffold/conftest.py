"""A repository to lay things down in, and the command line in this process."""

from __future__ import annotations

import shutil
import subprocess
from typing import TYPE_CHECKING

import pytest

from goldtrace.cli import main

if TYPE_CHECKING:
    from pathlib import Path


@pytest.fixture
def repository(tmp_path, monkeypatch) -> Path:
    """An empty git repository, where the tests stand."""
    git = shutil.which("git")
    if git is None:
        pytest.skip("no git on this machine")
    for name in ("CI", "GIT_DIR", "GIT_WORK_TREE", "GIT_INDEX_FILE"):
        monkeypatch.delenv(name, raising=False)
    # Nobody's own configuration.
    monkeypatch.setenv("GIT_CONFIG_GLOBAL", str(tmp_path / "gitconfig"))
    monkeypatch.setenv("GIT_CONFIG_SYSTEM", str(tmp_path / "gitconfig"))
    (tmp_path / "gitconfig").write_text("[user]\nname = T\nemail = t@example.com\n")
    root = tmp_path / "repository"
    root.mkdir()
    subprocess.run([git, "init", "--quiet", "--initial-branch=main"], cwd=root, check=True)
    monkeypatch.chdir(root)
    return root


@pytest.fixture
def goldtrace(capsys):
    """Run a command line in this process: exit status, standard output, standard error."""

    def run(*arguments: object) -> tuple[int, str, str]:
        capsys.readouterr()
        try:
            status = main([str(argument) for argument in arguments])
        except SystemExit as usage:
            status = int(usage.code or 0)
        shown = capsys.readouterr()
        return status, shown.out, shown.err

    return run
