"""With what environments are made and probed, for ``try`` and ``bisect``."""

from __future__ import annotations

import os
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from goldtrace.model.upgrade import Severity
from goldtrace.packages.uv import Uv, find_uv

if TYPE_CHECKING:
    from concurrent.futures import Executor

    from goldtrace.model.progress import Progress

DEFAULT_KEEP = 20 * 10**9
"""Bytes of environments that stay for the next time."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Means:
    """With what environments are made and probed; ``directory`` holds all that is kept.

    ``keep`` bytes of environments stay; ``cache`` lets uv keep what it downloads. ``ahead``
    builds environments that may be needed next while others train.
    """

    directory: Path
    keep: int = DEFAULT_KEEP
    cache: bool = True
    builds: bool = False
    prereleases: bool = False
    jobs: int = 1
    executor: Executor | None = None
    ahead: bool = True
    fresh: bool = False
    confirm: bool = True
    until: Severity = Severity.ROUNDING
    progress: Progress = lambda _: None

    def uv(self, root: Path) -> Uv:
        """The uv command as the project in ``root`` has it configured."""
        return Uv(
            command=find_uv(),
            root=root,
            python=Path(sys.executable),
            prereleases=self.prereleases,
            builds=self.builds,
            cache=self.cache,
        )


def default_directory() -> Path:
    """Where environments, traces and journals are kept: below the user's cache."""
    base = os.environ.get("XDG_CACHE_HOME") or str(Path.home() / ".cache")
    return Path(base) / "goldtrace" / "upgrades"
