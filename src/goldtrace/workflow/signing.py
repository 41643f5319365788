"""The ledger entry of whoever runs this: when, who, why."""

from __future__ import annotations

import getpass
import subprocess
from datetime import datetime, timezone
from typing import TYPE_CHECKING

from goldtrace.store.ledger import LedgerEntry

if TYPE_CHECKING:
    from pathlib import Path

    from goldtrace.model.verdict import Change


def sign(reason: str, *, root: Path, moved: str, changed: tuple[Change, ...] = ()) -> LedgerEntry:
    """A ledger entry by whoever runs this, now."""
    return LedgerEntry(
        when=datetime.now(timezone.utc).isoformat(timespec="seconds"),
        who=_identity(root),
        reason=reason,
        environment_changes=changed,
        moved=moved,
    )


def _identity(root: Path) -> str:
    """Who is recording: the git identity, or the user's name."""
    values = []
    for key in ("user.name", "user.email"):
        try:
            shown = subprocess.run(  # noqa: S603 - fixed words
                ["git", "config", key],  # noqa: S607 - the git that the user uses
                cwd=root,
                capture_output=True,
                text=True,
                errors="replace",
                check=False,
            )
        except OSError:
            break
        values.append(shown.stdout.strip())
    name, email = (*values, "", "")[:2]
    if name and email:
        return f"{name} <{email}>"
    return name or email or _user()


def _user() -> str:
    try:
        return getpass.getuser()
    except (KeyError, OSError, ImportError):
        return "unknown"  # A container may run as a user that has no name.
