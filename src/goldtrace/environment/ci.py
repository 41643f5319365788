"""Whether this process runs under continuous integration."""

from __future__ import annotations

import os

_NO = ("", "0", "false", "no", "off", "n", "f")


def in_ci() -> bool:
    """Whether the environment says that this is a CI job: ``CI`` is set, to no word for no."""
    return os.environ.get("CI", "").lower() not in _NO
