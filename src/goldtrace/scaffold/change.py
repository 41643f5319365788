"""What would be written to a repository, as values, and the one function that writes it."""

from __future__ import annotations

import enum
import os
import shutil
import tempfile
from dataclasses import dataclass
from pathlib import Path

from goldtrace.errors import UsageError


class Action(str, enum.Enum):
    """What happens to one file."""

    CREATE = "create"
    EXTEND = "extend"
    """Lines are added to a file that is there; none of its own is changed."""
    UNCHANGED = "unchanged"
    LEFT = "left"
    """The file is there and says something else: the note tells what to do by hand."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Change:
    """One file: ``before`` is what was read, ``after`` what is to be there.

    ``path`` counts from the root of the repository, with slashes.
    """

    path: str
    action: Action
    purpose: str
    before: str | None = None
    after: str | None = None
    note: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """Every change to a repository, what to know about them, and the commands that come next."""

    root: Path
    changes: tuple[Change, ...]
    notes: tuple[str, ...] = ()
    next_commands: tuple[tuple[str, str], ...] = ()


def read(root: Path, path: str) -> str | None:
    """The text of a file of the repository, or ``None`` where there is none.

    Raises:
        UsageError: it is there and is not text in UTF-8.
    """
    try:
        # Through bytes: the ends of lines stay as they are.
        return (root / path).read_bytes().decode("utf-8")
    except FileNotFoundError:
        return None
    except (OSError, UnicodeDecodeError) as error:
        raise UsageError(
            "the file can't be read", where=path, expected="text in UTF-8", found=str(error)
        ) from error


def whole_file(root: Path, path: str, text: str, *, purpose: str, otherwise: str) -> Change:
    """A file that is written only where there is none; ``otherwise`` is what to do by hand."""
    before = read(root, path)
    if before is None:
        return Change(path=path, action=Action.CREATE, purpose=purpose, after=text)
    action = Action.UNCHANGED if before == text else Action.LEFT
    note = None if before == text else otherwise
    return Change(path=path, action=action, purpose=purpose, before=before, note=note)


def apply(plan: Plan) -> None:
    """Write what the plan says.

    Raises:
        UsageError: a file has appeared or changed since it was planned, or can't be written; what
            was written before stays.
    """
    for change in plan.changes:
        if change.after is None:
            continue
        path = plan.root / change.path
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            if change.action is Action.CREATE:
                with path.open("x", encoding="utf-8", newline="") as file:
                    file.write(change.after)
            else:
                _rewrite(path, change)
        except OSError as error:
            raise UsageError(
                "the file can't be written",
                where=change.path,
                found=error.strerror or str(error),
                hint="goldtrace init again, when that is mended",
            ) from error


def _rewrite(path: Path, change: Change) -> None:
    real = path.resolve()
    if real.read_bytes().decode("utf-8") != change.before:
        raise UsageError(
            "the file has changed meanwhile", where=change.path, hint="goldtrace init again"
        )
    handle, name = tempfile.mkstemp(dir=real.parent, prefix=f".{real.name}.")
    try:
        with os.fdopen(handle, "w", encoding="utf-8", newline="") as file:
            file.write(change.after or "")
        shutil.copymode(real, name)
        Path(name).replace(real)
    except BaseException:
        Path(name).unlink(missing_ok=True)
        raise
