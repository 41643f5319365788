"""The ledger entry of whoever runs this: when, who, why."""

from __future__ import annotations

import getpass
from datetime import datetime, timezone
from typing import TYPE_CHECKING

from goldtrace.environment.git import ask_git
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
    answers = [ask_git(root, "config", key) for key in ("user.name", "user.email")]
    name, email = (a.stdout.decode("utf-8", "replace").strip() if a else "" for a in answers)
    if name and email:
        return f"{name} <{email}>"
    return name or email or _user()


def _user() -> str:
    try:
        return getpass.getuser()
    except (KeyError, OSError, ImportError):
        return "unknown"  # A container may run as a user that has no name.
