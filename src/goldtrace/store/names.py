"""Names that become directories: of runs and of platforms."""

from __future__ import annotations

import re

from goldtrace.errors import StoreError

# No leading dot (those are the store's own), no separator, nothing that a shell would take apart.
_NAME = re.compile(r"[A-Za-z0-9_\[\]][A-Za-z0-9_.,=+@\[\]-]*")

_LONGEST = 200
"""Characters; file systems end at 255 bytes, and staging directories have longer names."""


def is_name(name: str) -> bool:
    """Whether a run or a platform may have this name."""
    return len(name) <= _LONGEST and _NAME.fullmatch(name) is not None


def check_name(name: str, *, what: str) -> str:
    """``name``, if it can be a directory inside the golden directory.

    Raises:
        StoreError: it is empty, too long, or could lead elsewhere.
    """
    if not is_name(name):
        raise StoreError(
            f"the name of the {what} cannot be the name of a directory",
            expected=f"up to {_LONGEST} letters, digits and _.,=+@[]-, with no leading dot or sign",
            found=ascii(name),
            hint=f"rename the {what}",
        )
    return name
