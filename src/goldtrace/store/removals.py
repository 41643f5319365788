"""Goldens that were removed, when and why: ``golden/removed.jsonl``, one line each.

A golden's own ledger goes with it, so its end is written down beside it.
"""

from __future__ import annotations

import contextlib
import fcntl
import os
import secrets
from dataclasses import dataclass
from typing import TYPE_CHECKING

from goldtrace.errors import StoreError
from goldtrace.file_lock import lock
from goldtrace.model import fields, sealed

if TYPE_CHECKING:
    from pathlib import Path

REMOVED = "removed.jsonl"

SCHEMA = 1
"""The version of the format of a line."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Removal:
    """One golden that is no more; ``golden`` is the fingerprint of all its files."""

    run: str
    platform: str
    golden: str
    when: str
    who: str
    reason: str


def encode_removal(removal: Removal) -> bytes:
    """The line of a removal."""
    names = ("run", "platform", "golden", "when", "who", "reason")
    document = {name: fields.checked(getattr(removal, name)) for name in names}
    return sealed.to_line(sealed.seal({**document, "schema": SCHEMA}))


def decode_removals(data: bytes, *, where: str) -> tuple[Removal, ...]:
    """The removals in a file, oldest first.

    Raises:
        GoldenError: a line is damaged, truncated or too new.
    """
    return tuple(
        _decode(line, f"{where}:{number}")
        for number, line in enumerate(data.splitlines(keepends=True), start=1)
    )


def append_removal(root: Path, removal: Removal) -> None:
    """Add a line to the file in the golden directory ``root``, all of it or nothing.

    Raises:
        StoreError: it cannot be written.
    """
    file = root / REMOVED
    staged = root / f".{REMOVED}.{secrets.token_hex(4)}"
    try:
        folder = os.open(root, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        try:
            # Two removals at once: the second sees the line of the first.
            lock(folder, fcntl.LOCK_EX)
            before = file.read_bytes() if file.exists() else b""
            with staged.open("xb") as stream:
                stream.write(before + encode_removal(removal))
                stream.flush()
                os.fsync(stream.fileno())
            staged.replace(file)
            os.fsync(folder)
        finally:
            os.close(folder)
    except OSError as error:
        raise StoreError(
            "the removal cannot be written down", where=str(file), found=str(error)
        ) from error
    finally:
        with contextlib.suppress(OSError):
            staged.unlink()


def _decode(line: bytes, where: str) -> Removal:
    document = sealed.parse(line, where=where)
    sealed.check_schema(document, SCHEMA, where=where)
    sealed.check_seal(document, where=where)
    names = ("run", "platform", "golden", "when", "who", "reason")
    return Removal(**{name: fields.required(document, name, fields.text, where) for name in names})
