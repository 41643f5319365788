"""What a pytest process knows about its part in the isolation of golden tests."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from goldtrace.model.noise import Noise

OUT = pytest.StashKey[str]()
"""In the stash of a child's config: the directory that the running item leaves its trace in."""

NOISE: pytest.StashKey[Noise | None] = pytest.StashKey()
"""In the stash of a child's config: the noise in the gradients of the running item."""

PROGRESS: pytest.StashKey[str | None] = pytest.StashKey()
"""In the stash of a child's config: the file that says how far the running item is."""

JUDGED = pytest.StashKey[bool]()
"""In the stash of a child's config: whether the running item is held against its golden."""


def is_isolated(config: pytest.Config) -> bool:
    """Whether this process is the child that runs golden tests for a session."""
    return getattr(config.option, "golden_isolated", False) is True
