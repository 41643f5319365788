"""The files below ``candidates/`` of a report: a directory, or the zip that a forge serves.

GitHub puts the report's files at the top of the zip, GitLab keeps the path of the artifact
(``golden-report/…``): the candidates are looked for at any depth. Nothing is ever extracted: the
files come back as bytes, and the names in an archive lead nowhere.
"""

from __future__ import annotations

import os
import stat
import zipfile
import zlib
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

from goldtrace.candidates.manifest import FILES, FOLDER, MANIFEST
from goldtrace.errors import CandidateError
from goldtrace.store.names import is_name

if TYPE_CHECKING:
    from collections.abc import Iterator

LARGEST_FILE = 64 << 20
"""Bytes of one file of a candidate; a golden of a thousand steps has about two million."""

LARGEST_REPORT = 512 << 20
"""Bytes of all candidates of a report together."""

MOST_ENTRIES = 100_000
"""Entries of an archive."""

_DEEPEST = 4
"""Directories around a report that is looked for in another directory."""

_KINDS = (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED)
_ENCRYPTED = 0x1
_DAMAGE = (zipfile.BadZipFile, zlib.error, EOFError, OSError, ValueError, NotImplementedError)

Wanted = Callable[[list[str]], bool]
"""Whether a file is read, from the parts of its path."""

AGAIN = "download the artifact of the CI job again"


def read_report(path: Path) -> dict[str, bytes]:
    """The files of every candidate in a report, by their path in it, with ``/``.

    Raises:
        CandidateError: ``path`` is neither a directory nor a whole, harmless zip, or holds more
            than one report, or no candidate.
    """
    files = _read(path, _is_wanted)
    _only_one(files, path)
    return files


def read_document(path: Path, name: str) -> bytes | None:
    """The file of this name, relative to ``path`` and with ``/``, that lies beside the candidates.

    Raises:
        CandidateError: it is no plain file, or too large.
    """
    return _read(path, lambda parts: parts == name.split("/")).get(name)


def _read(path: Path, wanted: Wanted) -> dict[str, bytes]:
    if path.is_dir():
        return _read_directory(path, wanted)
    if path.is_file():
        return _read_zip(path, wanted)
    raise CandidateError(
        "there is no such report",
        where=str(path),
        expected="the directory of --golden-report, or the zip of a CI job's artifacts",
    )


def _only_one(files: dict[str, bytes], path: Path) -> None:
    places = sorted({"/".join(name.split("/")[:-4]) for name in files})
    if not places:
        raise CandidateError(
            "there is no candidate golden in this report",
            where=str(path),
            expected=f"{FOLDER}/<run>/<platform>/{MANIFEST}",
            found="nothing of that name",
            hint="candidates are stored by a failing check: pytest --golden-report DIR, "
            "or goldtrace check --report DIR",
        )
    if len(places) > 1:
        shown = ", ".join(place or "the top" for place in places[:3])
        raise CandidateError(
            "there is more than one report, and which one is meant is not said",
            where=str(path),
            expected="one report",
            found=shown,
            hint="unpack it and name one of the directories",
        )


def _is_wanted(parts: list[str]) -> bool:
    """Whether a path is that of a candidate's file; its directory is a report."""
    if len(parts) < 4 or parts[-4] != FOLDER or parts[-1] not in (MANIFEST, *FILES):  # noqa: PLR2004
        return False
    # What a check that was killed has left behind has a name that no run and no platform has.
    return is_name(parts[-3]) and is_name(parts[-2])


def _read_directory(root: Path, wanted: Wanted) -> dict[str, bytes]:
    files: dict[str, bytes] = {}
    total = 0
    for folder, name in _walk(root):
        file = folder / name
        relative = file.relative_to(root).as_posix()
        if not wanted(relative.split("/")):
            continue
        try:
            descriptor = os.open(file, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
            with open(descriptor, "rb") as stream:  # noqa: PTH123 - a descriptor, not a path
                if not stat.S_ISREG(os.fstat(descriptor).st_mode):
                    raise _unsafe(root, relative, "something that is no plain file")
                content = stream.read(LARGEST_FILE + 1)
        except OSError as error:
            found = "a symbolic link" if file.is_symlink() else str(error)
            raise _unsafe(root, relative, found) from error
        total += len(content)
        _require_size(root, relative, len(content), total)
        files[relative] = content
    return files


def _walk(root: Path) -> Iterator[tuple[Path, str]]:
    """Every file below a directory that could be a candidate's, following no link."""
    for folder, directories, names in os.walk(root):
        depth = len(Path(folder).relative_to(root).parts)
        for name in directories:
            if FOLDER in (name, *Path(folder).relative_to(root).parts):
                link = Path(folder, name)
                if link.is_symlink():
                    raise _unsafe(root, link.relative_to(root).as_posix(), "a symbolic link")
        directories[:] = sorted(n for n in directories if depth < _DEEPEST + 3 and n[0] != ".")
        for name in sorted(names):
            yield Path(folder), name


def _read_zip(path: Path, wanted: Wanted) -> dict[str, bytes]:
    try:
        with zipfile.ZipFile(path) as archive:
            return dict(_entries(archive, path, wanted))
    except _DAMAGE as error:
        raise CandidateError(
            "the archive cannot be read",
            where=str(path),
            expected="a whole zip file",
            found=str(error) or type(error).__name__,
            hint=AGAIN,
        ) from error


def _entries(archive: zipfile.ZipFile, path: Path, wanted: Wanted) -> Iterator[tuple[str, bytes]]:
    entries = archive.infolist()
    if len(entries) > MOST_ENTRIES:
        raise _unsafe(path, "the archive", f"{len(entries)} entries")
    seen: set[str] = set()
    total = 0
    for entry in entries:
        _require_harmless(entry, path)
        # As a file system that knows no capitals would see it, so that no two are one there.
        plain = entry.filename.rstrip("/").casefold()
        if plain in seen and not entry.is_dir():
            raise _unsafe(path, entry.filename, "a name that another entry has")
        seen.add(plain)
        parts = entry.filename.split("/")
        if entry.is_dir() or not wanted(parts):
            continue
        total += entry.file_size
        _require_size(path, entry.filename, entry.file_size, total)
        if entry.compress_type not in _KINDS or entry.flag_bits & _ENCRYPTED:
            raise _unsafe(path, entry.filename, "an encrypted entry, or an unusual compression")
        with archive.open(entry) as stream:
            content = stream.read(entry.file_size + 1)
        if len(content) != entry.file_size:
            raise zipfile.BadZipFile(f"{entry.filename!r} is not as long as the archive says")
        yield entry.filename, content


def _require_harmless(entry: zipfile.ZipInfo, path: Path) -> None:
    name = entry.orig_filename
    parts = name.split("/")
    kind = stat.S_IFMT(entry.external_attr >> 16)
    if kind not in (0, stat.S_IFREG, stat.S_IFDIR):
        raise _unsafe(path, name, "a symbolic link, or something else that is no plain file")
    if name.startswith("/") or ".." in parts or any(c in name for c in "\\:\0"):
        raise _unsafe(path, name, "a name that leads out of the archive")


def _require_size(path: Path, name: str, size: int, total: int) -> None:
    if size > LARGEST_FILE or total > LARGEST_REPORT:
        raise _unsafe(path, name, f"{size} bytes, {total} with what came before")


def _unsafe(path: Path, name: str, found: str) -> CandidateError:
    return CandidateError(
        "the report holds something that no check puts there, so nothing of it is taken",
        where=f"{path}: {name!a}",
        expected=f"plain files of at most {LARGEST_FILE >> 20} MiB, each name once",
        found=found,
        hint=AGAIN,
    )
