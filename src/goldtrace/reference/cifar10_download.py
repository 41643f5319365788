"""Fetching CIFAR-10 with torchvision, and keeping the first 1,000 images of each part."""

from __future__ import annotations

import contextlib
import http.client
import os
import socket
import sys
import tempfile
import threading
import urllib.error
import urllib.request
from pathlib import Path
from typing import TYPE_CHECKING, Any

from goldtrace.errors import DataError, DataUnavailableError
from goldtrace.reference.manifest import packaged_manifest, verify_bytes

if TYPE_CHECKING:
    from collections.abc import Iterator

TRAIN = "train-0-1000.bin"
TEST = "test-0-1000.bin"
RECORDS = 1_000
FETCH = "goldtrace data cifar10"
"""The command that puts the files in place."""

_PROBE_SECONDS = 10.0
_READ_SECONDS = 30.0


def download(place: Path) -> None:
    """Put the two verified files into ``place``; the archive is removed again.

    The files appear whole or not at all. A progress bar goes to standard error.

    Raises:
        DataUnavailableError: ``GOLDTRACE_OFFLINE`` is set, the server can't be reached, or
            ``place`` can't be written. Told within seconds.
        DataError: what was downloaded is not CIFAR-10.
    """
    if os.environ.get("GOLDTRACE_OFFLINE", "0") not in {"", "0"}:
        raise _unavailable(place, "GOLDTRACE_OFFLINE is set")

    from torchvision.datasets import CIFAR10

    _require_reachable(CIFAR10.url, place)
    try:
        place.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(prefix=".download-", dir=place) as scratch:
            # Older torchvision prints its progress to standard output.
            with _socket_timeout(_READ_SECONDS), contextlib.redirect_stdout(sys.stderr):
                parts = {
                    TRAIN: CIFAR10(scratch, train=True, download=True),
                    TEST: CIFAR10(scratch, train=False),
                }
            manifest = packaged_manifest("cifar10")
            files = {
                name: verify_bytes(
                    records(part), manifest.files[name], where=f"{name}, converted from CIFAR-10"
                )
                for name, part in parts.items()
            }
            for name, content in files.items():
                _write(place / name, content)
    except (OSError, http.client.HTTPException) as error:
        raise _unavailable(place, f"{type(error).__name__}: {error}") from error
    except RuntimeError as error:
        raise DataError(
            "the downloaded archive is not CIFAR-10",
            where=CIFAR10.url,
            expected=f"MD5 {CIFAR10.tgz_md5}",
            found=str(error),
            hint=FETCH,
        ) from error


def records(part: Any) -> bytes:
    """The first 1,000 images of a ``torchvision.datasets.CIFAR10`` in the binary format."""
    import numpy as np

    pixels = np.asarray(part.data[:RECORDS], dtype=np.uint8)
    labels = np.asarray(part.targets[:RECORDS], dtype=np.uint8)
    # torchvision holds [images, row, column, channel]; the format has one plane a channel.
    planes = pixels.transpose(0, 3, 1, 2).reshape(len(pixels), -1)
    return np.concatenate([labels[:, None], planes], axis=1).tobytes()


def _require_reachable(url: str, place: Path) -> None:
    """Ask the server for the headers, in a thread: a name server that is silent can't be timed."""
    answer: list[str] = []

    def ask() -> None:
        request = urllib.request.Request(url, method="HEAD")  # noqa: S310 - torchvision's https address
        try:
            with urllib.request.urlopen(request, timeout=_PROBE_SECONDS):  # noqa: S310 - as above
                answer.append("")
        except urllib.error.HTTPError:
            answer.append("")  # some servers refuse HEAD, and are there all the same
        except (OSError, http.client.HTTPException) as error:
            answer.append(f"{type(error).__name__}: {error}")

    thread = threading.Thread(target=ask, name="goldtrace-probe", daemon=True)
    thread.start()
    thread.join(_PROBE_SECONDS)
    if not answer:
        raise _unavailable(place, f"no answer from {url} within {_PROBE_SECONDS:.0f} s")
    if answer[0]:
        raise _unavailable(place, f"{url}: {answer[0]}")


@contextlib.contextmanager
def _socket_timeout(seconds: float) -> Iterator[None]:
    before = socket.getdefaulttimeout()
    socket.setdefaulttimeout(seconds)
    try:
        yield
    finally:
        socket.setdefaulttimeout(before)


def _write(path: Path, content: bytes) -> None:
    with tempfile.NamedTemporaryFile(dir=path.parent, prefix=".", delete=False) as stream:
        scratch = Path(stream.name)
        try:
            stream.write(content)
            stream.flush()
            os.fsync(stream.fileno())
            scratch.chmod(0o644)
            scratch.replace(path)
        except BaseException:
            scratch.unlink(missing_ok=True)
            raise


def _unavailable(place: Path, reason: str) -> DataUnavailableError:
    return DataUnavailableError(
        "CIFAR-10 is not on this machine and could not be fetched",
        where=str(place),
        expected=f"{TRAIN} and {TEST}",
        found=reason,
        hint=f"on a machine with a network: {FETCH}  (GOLDTRACE_DATA names the directory)",
    )
