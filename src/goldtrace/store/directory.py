"""The directory of one golden, read and replaced as one thing.

A golden is written to ``.<platform>.writing-XXXXXXXX`` and flushed to the disk. Renaming that
directory to ``.<platform>.next`` is the moment at which the new golden becomes the golden: readers
prefer it. What follows (the old directory is removed, ``.next`` takes its place) only tidies up,
and the next writer finishes it if this one dies.

Every operation is relative to an open directory and follows no symbolic link, so nothing outside
the golden directory can be read or written, not even in a race.
"""

from __future__ import annotations

import contextlib
import errno
import fcntl
import os
import re
import secrets
import stat
from typing import TYPE_CHECKING

from goldtrace.errors import StoreError
from goldtrace.file_lock import lock
from goldtrace.model.sealed import sha256

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from pathlib import Path

_DIRECTORY = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC
_NEW_FILE = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC
_OLD_FILE = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC

_ATTEMPTS = 20
"""Reads that may find the golden replaced under them before it is called busy."""


def next_name(platform: str) -> str:
    """The directory of a golden that is committed and has not taken its place yet."""
    return f".{platform}.next"


def fingerprint(files: Mapping[str, bytes] | None) -> str | None:
    """What tells two contents of a golden's directory apart; ``None`` where there is none."""
    if files is None:
        return None
    return sha256("".join(f"{sha256(files[name])} {name}\n" for name in sorted(files)).encode())


def read(run: Path, platform: str, names: tuple[str, ...]) -> dict[str, bytes] | None:
    """Those of the files ``names`` that the golden has, all of one writing; ``None`` if absent.

    Raises:
        StoreError: it cannot be read, or something else stands in its place.
    """
    with _explained(run / platform, "the golden cannot be read"):
        try:
            run_fd = os.open(run, _DIRECTORY)
        except FileNotFoundError:
            return None
        try:
            files = _read(run_fd, run / platform, names)
            if files is None:
                # A writer may have moved it from one name to the other between two looks.
                lock(run_fd, fcntl.LOCK_SH)
                files = _read(run_fd, run / platform, names)
            return files
        finally:
            os.close(run_fd)


def exists(run: Path, platform: str, names: tuple[str, ...]) -> bool:
    """Whether there is a golden: a directory with one of the files ``names``, which aren't read.

    Raises:
        StoreError: it cannot be looked at.
    """
    with _explained(run / platform, "the golden cannot be read"):
        try:
            run_fd = os.open(run, _DIRECTORY)
        except FileNotFoundError:
            return False
        try:
            if _holds(run_fd, platform, names):
                return True
            # A writer may have moved it from one name to the other between two looks.
            lock(run_fd, fcntl.LOCK_SH)
            return _holds(run_fd, platform, names)
        finally:
            os.close(run_fd)


def _holds(run_fd: int, platform: str, names: tuple[str, ...]) -> bool:
    place = _place(run_fd, platform)
    if place is None:
        return False
    try:
        golden_fd = os.open(place, _DIRECTORY, dir_fd=run_fd)
    except FileNotFoundError:
        return False
    try:
        return not set(names).isdisjoint(os.listdir(golden_fd))  # noqa: PTH208 - a path knows no descriptors
    finally:
        os.close(golden_fd)


def replace(
    run: Path,
    platform: str,
    files: Mapping[str, bytes],
    *,
    names: tuple[str, ...],
    expected: str | None,
) -> None:
    """Put ``files`` in the place of the golden whose fingerprint is ``expected``, all or nothing.

    ``names`` are all files that a golden may have, as they were given to ``read``.

    Raises:
        StoreError: the directory cannot be written, or holds something else than expected.
    """
    target = run / platform
    with _explained(target, "the golden cannot be written"):
        run.parent.mkdir(parents=True, exist_ok=True)
        with contextlib.suppress(FileExistsError):
            os.mkdir(run)  # noqa: PTH102 - the test of faults counts the calls of os
            _sync_directory(run.parent)
        run_fd = os.open(run, _DIRECTORY)
        try:
            lock(run_fd, fcntl.LOCK_EX)
            _settle(run_fd, platform)
            _require_unchanged(run_fd, target, names, expected)
            _commit(run_fd, platform, files)
            with _explained(target, "the new golden is in place, but the old one is in its way"):
                _settle(run_fd, platform)
                os.fsync(run_fd)
        finally:
            os.close(run_fd)


def remove(run: Path, platform: str, *, names: tuple[str, ...], expected: str) -> None:
    """Remove the golden whose fingerprint is ``expected``, all or nothing; and an empty ``run``.

    Raises:
        StoreError: the directory cannot be changed, or holds something else than expected.
    """
    target = run / platform
    with _explained(target, "the golden cannot be removed"):
        run_fd = os.open(run, _DIRECTORY)
        try:
            lock(run_fd, fcntl.LOCK_EX)
            _settle(run_fd, platform)
            _require_unchanged(run_fd, target, names, expected)
            # One rename, and it is gone: the next writer clears away what is left if this one dies.
            going = f".{platform}.writing-{secrets.token_hex(4)}"
            os.rename(platform, going, src_dir_fd=run_fd, dst_dir_fd=run_fd)
            _remove(going, run_fd)
            os.fsync(run_fd)
        finally:
            os.close(run_fd)
        with contextlib.suppress(OSError):
            run.rmdir()


def _require_unchanged(
    run_fd: int, target: Path, names: tuple[str, ...], expected: str | None
) -> None:
    if fingerprint(_read(run_fd, target, names)) != expected:
        raise StoreError(
            "the golden was changed by someone else in the meantime",
            where=str(target),
            hint="look at it, and record again",
        )


def _read(run_fd: int, target: Path, names: tuple[str, ...]) -> dict[str, bytes] | None:
    for _ in range(_ATTEMPTS):
        place = _place(run_fd, target.name)
        if place is None:
            return None
        try:
            golden_fd = os.open(place, _DIRECTORY, dir_fd=run_fd)
        except FileNotFoundError:
            continue
        try:
            listed = os.listdir(golden_fd)  # noqa: PTH208 - a path knows no descriptors
            files = {name: _read_file(name, golden_fd) for name in names if name in listed}
            settled = _same(golden_fd, _place(run_fd, target.name), run_fd)
        except FileNotFoundError:
            continue
        finally:
            os.close(golden_fd)
        if not settled:
            continue
        if listed and not files:
            raise StoreError(
                "there is something else in the place of the golden",
                where=str(target),
                expected=", ".join(names),
                found=", ".join(sorted(map(ascii, listed))[:5]),
                hint="move it elsewhere",
            )
        return files or None
    raise StoreError("the golden is being written all the time", where=str(target))


def _place(run_fd: int, platform: str) -> str | None:
    """The directory that holds the golden now."""
    for name in (next_name(platform), platform):
        with contextlib.suppress(FileNotFoundError):
            os.lstat(name, dir_fd=run_fd)
            return name
    return None


def _same(golden_fd: int, place: str | None, run_fd: int) -> bool:
    if place is None:
        return False
    found = os.lstat(place, dir_fd=run_fd)
    return os.path.samestat(os.fstat(golden_fd), found)


def _read_file(name: str, directory_fd: int) -> bytes:
    file_fd = os.open(name, _OLD_FILE, dir_fd=directory_fd)
    try:
        status = os.fstat(file_fd)
        if not stat.S_ISREG(status.st_mode):
            raise OSError(errno.EINVAL, "not a regular file", name)
        # One byte more than expected, so that the end is reached in one go.
        pieces = [os.read(file_fd, status.st_size + 1)]
        while pieces[-1]:
            pieces.append(os.read(file_fd, 1 << 20))
        return b"".join(pieces)
    finally:
        os.close(file_fd)


def _commit(run_fd: int, platform: str, files: Mapping[str, bytes]) -> None:
    """Write a complete golden beside the old one, then make it the golden by one rename."""
    staging = f".{platform}.writing-{secrets.token_hex(4)}"
    os.mkdir(staging, dir_fd=run_fd)
    try:
        staging_fd = os.open(staging, _DIRECTORY, dir_fd=run_fd)
        try:
            for name in sorted(files):
                _write_file(name, files[name], staging_fd)
            os.fsync(staging_fd)
        finally:
            os.close(staging_fd)
        os.rename(staging, next_name(platform), src_dir_fd=run_fd, dst_dir_fd=run_fd)
    except BaseException:
        # The next writer would remove it too; an error here must not hide the first one.
        with contextlib.suppress(OSError):
            _remove(staging, run_fd)
        raise


def _settle(run_fd: int, platform: str) -> None:
    """Finish or clear away what a writer has left behind."""
    leftover = re.compile(re.escape(f".{platform}.writing-") + "[0-9a-f]{8}")
    present = os.listdir(run_fd)
    for name in filter(leftover.fullmatch, present):
        _remove(name, run_fd)
    if next_name(platform) in present:
        # Nothing is given up for something that is no directory.
        os.close(os.open(next_name(platform), _DIRECTORY, dir_fd=run_fd))
        if platform in present:
            _remove(platform, run_fd)
        os.rename(next_name(platform), platform, src_dir_fd=run_fd, dst_dir_fd=run_fd)


def _write_file(name: str, data: bytes, directory_fd: int) -> None:
    file_fd = os.open(name, _NEW_FILE, 0o666, dir_fd=directory_fd)
    try:
        rest = memoryview(data)
        while rest:
            rest = rest[os.write(file_fd, rest) :]
        os.fsync(file_fd)
    finally:
        os.close(file_fd)


def _remove(name: str, parent_fd: int) -> None:
    """Remove a directory and all below it, following no link."""
    directory_fd = os.open(name, _DIRECTORY, dir_fd=parent_fd)
    try:
        for entry in os.listdir(directory_fd):  # noqa: PTH208 - a path knows no descriptors
            if stat.S_ISDIR(os.lstat(entry, dir_fd=directory_fd).st_mode):
                _remove(entry, directory_fd)
            else:
                os.unlink(entry, dir_fd=directory_fd)
    finally:
        os.close(directory_fd)
    os.rmdir(name, dir_fd=parent_fd)


def _sync_directory(path: Path) -> None:
    directory_fd = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(directory_fd)
    finally:
        os.close(directory_fd)


@contextlib.contextmanager
def _explained(target: Path, what: str) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        places = (target, target.parent, target.with_name(next_name(target.name)))
        link = error.errno == errno.ELOOP or any(place.is_symlink() for place in places)
        raise StoreError(
            what,
            where=str(target),
            expected="plain files in a directory",
            found="a symbolic link, which is not followed" if link else str(error),
            hint="check what stands there, its permissions and the free space",
        ) from error
