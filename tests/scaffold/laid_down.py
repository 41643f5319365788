"""What is in a repository, and what git says of it."""

from __future__ import annotations

import shutil
import subprocess
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pathlib import Path


def git(root: Path, *arguments: str) -> str:
    """What git says in the repository."""
    return subprocess.run(
        [shutil.which("git") or "git", *arguments],
        cwd=root,
        capture_output=True,
        text=True,
        check=True,
    ).stdout


def contents(root: Path) -> dict[str, bytes]:
    """Every file of the repository by its path."""
    return {
        path.relative_to(root).as_posix(): path.read_bytes()
        for path in sorted(root.rglob("*"))
        if path.is_file() and ".git" not in path.relative_to(root).parts
    }
