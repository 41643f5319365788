"""What a search has found out so far, on disk before it is used: a killed one goes on from there.

One JSON object a line, each flushed to the disk before ``add`` returns. A line that a kill or a
full disk has cut short is dropped when the journal is opened again, and so is what follows it.
"""

from __future__ import annotations

import contextlib
import fcntl
import hashlib
import json
import os
from typing import TYPE_CHECKING, Any

from goldtrace.errors import StoreError, UsageError
from goldtrace.file_lock import lock

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from pathlib import Path

SCHEMA = 1


class Journal:
    """The finished probes of one question, by key; open it with ``open_journal``."""

    def __init__(self, path: Path, descriptor: int, entries: dict[str, Any]) -> None:
        self._path = path
        self._descriptor = descriptor
        self._entries = entries

    def __contains__(self, key: str) -> bool:
        return key in self._entries

    def __len__(self) -> int:
        return len(self._entries)

    def get(self, key: str) -> Any:
        """What was added under ``key``, or ``None``."""
        return self._entries.get(key)

    def add(self, key: str, value: Any) -> None:
        """Keep ``value`` (of JSON types) under ``key``, on the disk when this returns.

        Raises:
            StoreError: the disk is full or the file can't be written.
        """
        _keep(self._descriptor, _line({"key": key, "value": value}), self._path)
        self._entries[key] = value


@contextlib.contextmanager
def open_journal(
    directory: Path, question: Mapping[str, Any], *, fresh: bool = False
) -> Iterator[Journal]:
    """The journal of ``question`` (JSON values that say what is asked); ``fresh`` forgets it first.

    Raises:
        UsageError: another process has it open.
        StoreError: it can't be read or written.
    """
    head = _line({"schema": SCHEMA, "question": dict(question)})
    path = directory / f"{hashlib.sha256(head).hexdigest()[:20]}.jsonl"
    try:
        directory.mkdir(parents=True, exist_ok=True)
        descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_APPEND, 0o644)
    except OSError as error:
        raise StoreError(
            "the journal can't be opened", where=str(path), found=error.strerror
        ) from error
    try:
        _lock(descriptor, path)
        if fresh:
            os.ftruncate(descriptor, 0)
        yield Journal(path, descriptor, _read(descriptor, head, path))
    finally:
        os.close(descriptor)


def _lock(descriptor: int, path: Path) -> None:
    try:
        lock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError as error:
        raise UsageError(
            "another process is working on the same question",
            where=str(path),
            hint="wait for it, or end it: its finished probes are kept",
        ) from error


def _read(descriptor: int, head: bytes, path: Path) -> dict[str, Any]:
    """The entries of whole lines; what comes after the last whole line is cut off."""
    content = path.read_bytes()
    entries: dict[str, Any] = {}
    whole = 0
    for number, line in enumerate(content.splitlines(keepends=True)):
        fields = _parsed(line)
        if fields is None or (number == 0 and line != head):
            break
        if number > 0:
            entries[fields["key"]] = fields["value"]
        whole += len(line)
    os.ftruncate(descriptor, whole)
    if whole == 0:
        _keep(descriptor, head, path)
    return entries


def _parsed(line: bytes) -> dict[str, Any] | None:
    if not line.endswith(b"\n"):
        return None
    digest, _, text = line[:-1].partition(b" ")
    if digest != _digest(text):
        return None
    fields: dict[str, Any] = json.loads(text)
    return fields


def _line(fields: Mapping[str, Any]) -> bytes:
    text = json.dumps(fields, sort_keys=True, allow_nan=False).encode("ascii")
    return _digest(text) + b" " + text + b"\n"


def _digest(text: bytes) -> bytes:
    return hashlib.sha256(text).hexdigest()[:16].encode("ascii")


def _keep(descriptor: int, line: bytes, path: Path) -> None:
    try:
        _append(descriptor, line)
    except OSError as error:
        raise StoreError(
            "the journal can't be written",
            where=str(path),
            found=error.strerror,
            hint="make room and give the same command again: it goes on where it stopped",
        ) from error


def _append(descriptor: int, line: bytes) -> None:
    """Write all of ``line`` or take back what was written."""
    before = os.fstat(descriptor).st_size
    try:
        view = memoryview(line)
        while view:
            view = view[os.write(descriptor, view) :]
        os.fsync(descriptor)
    except OSError:
        with contextlib.suppress(OSError):
            os.ftruncate(descriptor, before)
        raise
