"""The git that the user has, asked from a folder; nothing here changes a repository."""

from __future__ import annotations

import os
import subprocess
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pathlib import Path


def ask_git(
    folder: Path, *arguments: str, given: bytes = b"", seconds: float | None = None
) -> subprocess.CompletedProcess[bytes] | None:
    """What git answers, whatever its exit status; ``given`` is its standard input.

    ``None`` where there is no git or no such folder, or no answer within ``seconds``.
    """
    try:
        return subprocess.run(  # noqa: S603 - arguments, never a shell
            ["git", *arguments],  # noqa: S607 - the user's git, wherever it is
            cwd=folder,
            env={**os.environ, "GIT_OPTIONAL_LOCKS": "0", "LC_ALL": "C"},
            input=given,
            capture_output=True,
            check=False,
            timeout=seconds,
        )
    except (OSError, subprocess.TimeoutExpired):
        return None
