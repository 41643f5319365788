"""Manifests: the size and SHA-256 of every file of a data set, checked when it is loaded.

A manifest is a small JSON file to commit beside the code that trains on the data::

    {"files": {"train.bin": {"sha256": "1c5f…", "size": 3073000}}, "schema": 1}

Nothing here needs torch, so that other projects can check their own data with it.
"""

from __future__ import annotations

import hashlib
import json
import re
from dataclasses import dataclass
from importlib import resources
from pathlib import PurePosixPath
from typing import TYPE_CHECKING

from goldtrace.errors import DataError

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

SCHEMA = 1
_CHUNK = 1 << 20
_SHA256 = re.compile(r"[0-9a-f]{64}")


@dataclass(frozen=True, slots=True, kw_only=True)
class FileDigest:
    """What a file must contain: ``size`` in bytes and the SHA-256 in hexadecimal."""

    size: int
    sha256: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Manifest:
    """The files of a data set by their path relative to its directory, sorted, with ``/``."""

    files: Mapping[str, FileDigest]

    def digests(self) -> dict[str, str]:
        """The SHA-256 of each file: what a run hands to ``golden_run.data``."""
        return {name: entry.sha256 for name, entry in self.files.items()}

    def to_json(self) -> str:
        """The manifest as text to commit: sorted, the same bytes for the same data."""
        files = {
            name: {"sha256": entry.sha256, "size": entry.size} for name, entry in self.files.items()
        }
        return json.dumps({"files": files, "schema": SCHEMA}, indent=2, sort_keys=True) + "\n"


def parse_manifest(text: str, *, where: str) -> Manifest:
    """The manifest written in ``text``; ``where`` names the file in errors.

    Raises:
        DataError: the text is not a manifest that this goldtrace can read.
    """
    try:
        document = json.loads(text)
        if document["schema"] != SCHEMA:
            raise DataError(
                "unknown manifest schema",
                where=where,
                expected=str(SCHEMA),
                found=str(document["schema"]),
                hint="upgrade goldtrace",
            )
        files = {
            _relative(name): FileDigest(size=int(entry["size"]), sha256=_digest(entry["sha256"]))
            for name, entry in sorted(document["files"].items())
        }
    except (ValueError, TypeError, KeyError, AttributeError) as error:
        raise DataError(
            "not a data manifest",
            where=where,
            expected='{"files": {NAME: {"sha256": …, "size": …}}, "schema": 1}',
            found=f"{type(error).__name__}: {error}",
        ) from error
    return Manifest(files=files)


def packaged_manifest(name: str) -> Manifest:
    """The manifest of a data set that comes with goldtrace: ``cifar10``, ``synthetic``, …."""
    path = resources.files("goldtrace.reference").joinpath("manifests", f"{name}.json")
    return parse_manifest(path.read_text(encoding="utf-8"), where=str(path))


def describe(directory: Path) -> Manifest:
    """The manifest of all files below ``directory``, in sorted order."""
    files = {}
    for path in sorted(p for p in directory.rglob("*") if p.is_file()):
        files[path.relative_to(directory).as_posix()] = _measure(path)
    return Manifest(files=dict(sorted(files.items())))


def verify(directory: Path, manifest: Manifest) -> dict[str, str]:
    """Check every listed file below ``directory``; files that are not listed do not matter.

    Returns:
        The SHA-256 of each file, as ``golden_run.data`` takes it.

    Raises:
        DataError: a file is absent, unreadable, or has another size or other bytes.
    """
    for name, expected in manifest.files.items():
        path = directory / name
        try:
            found = _measure(path)
        except OSError as error:
            raise DataError(
                "data file cannot be read",
                where=str(path),
                expected=f"{expected.size} bytes, SHA-256 {expected.sha256}",
                found=error.strerror or str(error),
            ) from error
        _compare(str(path), expected, found)
    return manifest.digests()


def verify_bytes(data: bytes, expected: FileDigest, *, where: str) -> bytes:
    """``data`` itself, when it is what the manifest lists.

    Raises:
        DataError: the size or the SHA-256 differs; ``where`` names the file.
    """
    _compare(where, expected, FileDigest(size=len(data), sha256=hashlib.sha256(data).hexdigest()))
    return data


def _compare(where: str, expected: FileDigest, found: FileDigest) -> None:
    if found.size != expected.size:
        raise DataError(
            "data file has the wrong size",
            where=where,
            expected=f"{expected.size} bytes, SHA-256 {expected.sha256}",
            found=f"{found.size} bytes, SHA-256 {found.sha256}",
            hint="remove the file and fetch it again",
        )
    if found.sha256 != expected.sha256:
        raise DataError(
            "data file does not match its manifest",
            where=where,
            expected=f"SHA-256 {expected.sha256}",
            found=f"SHA-256 {found.sha256}",
            hint="remove the file and fetch it again",
        )


def _measure(path: Path) -> FileDigest:
    digest = hashlib.sha256()
    size = 0
    with path.open("rb") as stream:
        while chunk := stream.read(_CHUNK):
            digest.update(chunk)
            size += len(chunk)
    return FileDigest(size=size, sha256=digest.hexdigest())


def _relative(name: str) -> str:
    path = PurePosixPath(name)
    if path.is_absolute() or ".." in path.parts or not path.parts or "\\" in name:
        raise ValueError(f"{name!r} leaves the directory of the data")
    return name


def _digest(text: str) -> str:
    if not _SHA256.fullmatch(text):
        raise ValueError(f"{text!r} is not a SHA-256")
    return text
