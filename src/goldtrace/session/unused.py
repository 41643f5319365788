"""Goldens that nothing uses any more."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING

from goldtrace.session.identity import GOLDEN
from goldtrace.store.declared import RUN_FILE
from goldtrace.store.golden import GoldenStore

if TYPE_CHECKING:
    from collections.abc import Iterable

    import pytest

    from goldtrace.session.settings import Settings


def unused_goldens(
    config: pytest.Config,
    items: Iterable[pytest.Item],
    collected: set[str],
    settings: Settings,
) -> list[str]:
    """A line about each golden whose run or test is gone.

    ``items`` are those of the whole collection, before any were deselected, and ``collected`` the
    ids of the files that were collected without an error. A golden is only called unused when its
    test's file is gone, or has been collected whole and has no such test.
    """
    store = GoldenStore(settings.golden_dir)
    used = {item.stash[GOLDEN].spec.name for item in items}
    return [
        f"{run} ({origin})"
        for run, origin in sorted(store.origins().items())
        if run not in used and _is_gone(run, origin, config, collected, settings)
    ]


def _is_gone(
    run: str, origin: str, config: pytest.Config, collected: set[str], settings: Settings
) -> bool:
    name, separator, _ = origin.partition("::")
    if not separator:
        return not (settings.golden_dir / run / RUN_FILE).is_file()
    file = settings.root / name
    return not file.is_file() or (name in collected and _is_whole(file, config))


def _is_whole(file: Path, config: pytest.Config) -> bool:
    if config.option.pyargs or getattr(config.option, "lf", False):
        return False
    places = [Path(config.invocation_params.dir, a) for a in config.args if "::" not in a]
    return any(place == file or place in file.parents for place in map(_normal, places))


def _normal(path: Path) -> Path:
    return Path(os.path.normpath(path))
