"""A repository to lay things down in."""

from __future__ import annotations

import shutil
import subprocess
from typing import TYPE_CHECKING

import pytest

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
