"""The first 1,000 training and 1,000 test images of CIFAR-10, cached and verified.

Krizhevsky, "Learning Multiple Layers of Features from Tiny Images", 2009. The two files are in
the documented binary format: for each image 1 label byte and 3,072 pixel bytes, the red, green
and blue plane of 32 by 32 pixels row by row.
"""

from __future__ import annotations

import os
import sys
from pathlib import Path

from goldtrace.errors import DataError
from goldtrace.reference.cifar10_download import FETCH, TEST, TRAIN, download
from goldtrace.reference.manifest import packaged_manifest, verify_bytes


def directory() -> Path:
    """Where the files are kept: ``$GOLDTRACE_DATA``, else ``cifar10`` in the user's cache."""
    named = os.environ.get("GOLDTRACE_DATA")
    if named:
        return Path(named).expanduser()
    return _user_cache() / "goldtrace" / "cifar10"


def load() -> tuple[bytes, bytes]:
    """The records of the training and of the test images, downloaded first where absent.

    Raises:
        DataError: a file's bytes are not the ones that the manifest lists.
        DataUnavailableError: the files are absent and could not be downloaded.
    """
    place = directory()
    if not all((place / name).exists() for name in (TRAIN, TEST)):
        download(place)
    return _read(place / TRAIN), _read(place / TEST)


def fetch() -> tuple[Path, dict[str, str]]:
    """Make sure that the files are there: the directory, and the SHA-256 of each.

    Raises:
        DataError: a file's bytes are not the ones that the manifest lists.
        DataUnavailableError: the files are absent and could not be downloaded.
    """
    load()
    return directory(), packaged_manifest("cifar10").digests()


def _read(path: Path) -> bytes:
    expected = packaged_manifest("cifar10").files[path.name]
    try:
        data = path.read_bytes()
    except OSError as error:
        raise DataError(
            "data file cannot be read",
            where=str(path),
            expected=f"{expected.size} bytes, SHA-256 {expected.sha256}",
            found=error.strerror or str(error),
            hint=FETCH,
        ) from error
    return verify_bytes(data, expected, where=str(path))


def _user_cache() -> Path:
    if named := os.environ.get("XDG_CACHE_HOME"):
        return Path(named)
    if sys.platform == "darwin":
        return Path.home() / "Library" / "Caches"
    return Path.home() / ".cache"
