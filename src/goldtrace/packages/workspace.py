"""Environments on disk: one directory a resolution, named by its content, removed by size."""

from __future__ import annotations

import contextlib
import fcntl
import hashlib
import os
import shutil
import tempfile
import time
from pathlib import Path
from typing import TYPE_CHECKING

from goldtrace.file_lock import lock
from goldtrace.packages.own_wheel import own_digest, write_own_wheel
from goldtrace.packages.uv import BuildError

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from goldtrace.packages.uv import Resolution, Uv

_READY = ".goldtrace-ready"
"""Written last: an environment without it was cut short and is built again."""

CACHE_TAG = "CACHEDIR.TAG"
"""In a folder that others can make anew (https://bford.info/cachedir/)."""

_NOW = fcntl.LOCK_EX | fcntl.LOCK_NB


def tag_as_cache(directory: Path) -> None:
    """Make a folder that git, backups and whoever looks for a project's code pass over."""
    directory.mkdir(parents=True, exist_ok=True)
    (directory / CACHE_TAG).write_text("Signature: 8a477f597d28d172789f06886806bc55\n", "ascii")
    (directory / ".gitignore").write_text("*\n", "ascii")


class Workspace:
    """Environments below ``directory``; those longest unused go when they exceed ``keep`` bytes.

    ``editable`` are folders of projects to install beside the resolution, as the environment at
    hand has them. Several processes and threads may share a directory: an environment is locked
    while it is built or used.
    """

    def __init__(
        self, directory: Path, uv: Uv, *, keep: int, editable: Sequence[Path] = ()
    ) -> None:
        self.directory = directory
        self.uv = uv
        self.keep = keep
        self.editable = tuple(editable)
        self._own: str | None = None

    def place(self, resolution: Resolution) -> Path:
        """Where the environment of a resolution is, or would be."""
        if self._own is None:
            self._own = own_digest()[:8]
        # Projects with equal pins have environments of their own: each holds its checkout.
        whole = "\n".join((resolution.digest, *(str(p.absolute()) for p in self.editable)))
        digest = hashlib.sha256(whole.encode()).hexdigest()
        return self.directory / "environments" / f"{digest[:20]}-{self._own}"

    @contextlib.contextmanager
    def environment(self, resolution: Resolution) -> Iterator[Path]:
        """The interpreter of a resolution's environment, built if need be, kept while in use.

        Raises:
            BuildError: it can't be built; nothing of it stays behind.
        """
        place = self.place(resolution)
        place.parent.mkdir(parents=True, exist_ok=True)
        try:
            while True:
                with _locked(place, fcntl.LOCK_SH):
                    if (place / _READY).exists():
                        now = time.time_ns()  # The kernel's own clock ticks in milliseconds.
                        os.utime(place / _READY, ns=(now, now))
                        yield place / "bin" / "python"
                        break
                self.prepare(resolution)
        finally:
            self.clean()

    def prepare(self, resolution: Resolution) -> None:
        """Build an environment that will be needed.

        Raises:
            BuildError: it can't be built; nothing of it stays behind.
        """
        place = self.place(resolution)
        place.parent.mkdir(parents=True, exist_ok=True)
        with _locked(place, fcntl.LOCK_EX):
            if not (place / _READY).exists():
                try:
                    self._build(place, resolution)
                except BaseException:
                    shutil.rmtree(place, ignore_errors=True)
                    raise

    def sizes(self) -> dict[Path, int]:
        """The bytes of each finished environment, the longest unused first.

        Hard links to uv's cache count too: only removing both would free them.
        """
        root = self.directory / "environments"
        found = []
        with contextlib.suppress(FileNotFoundError):
            for place in root.iterdir():
                with contextlib.suppress(OSError):
                    used = (place / _READY).stat().st_mtime_ns
                    found.append((used, place, int((place / _READY).read_text() or 0)))
        return {place: size for _, place, size in sorted(found)}

    def clean(self) -> None:
        """Remove the longest unused environments until the others fit into ``keep``."""
        sizes = self.sizes()
        total = sum(sizes.values())
        for place, size in sizes.items():
            if total <= self.keep:
                break
            with contextlib.suppress(BlockingIOError), _locked(place, _NOW):
                (place / _READY).unlink(missing_ok=True)
                shutil.rmtree(place, ignore_errors=True)
                total -= size

    def _build(self, place: Path, resolution: Resolution) -> None:
        shutil.rmtree(place, ignore_errors=True)
        created = self.uv.call("venv", "--python", str(self.uv.python), str(place))
        if created.returncode != 0:
            raise BuildError("the environment can't be made", found=created.stderr.strip())
        with tempfile.TemporaryDirectory(prefix="goldtrace-") as scratch:
            pins = Path(scratch, "pins.txt")
            pins.write_text("\n".join(resolution.pins) + "\n", encoding="utf-8")
            if resolution.pins:
                self.uv.install(place, ("--requirements", str(pins)), builds=self.uv.builds)
            own = write_own_wheel(Path(scratch))
            self.uv.install(place, (str(own),), builds=False)
        for project in self.editable:
            self.uv.install(place, ("--editable", str(project)), builds=True)
        (place / _READY).write_text(str(size_of(place)))


def size_of(place: Path) -> int:
    """The bytes of all files below a folder, hard links included."""
    total = 0
    for folder, _, names in os.walk(place):
        for name in names:
            total += Path(folder, name).lstat().st_size
    return total


@contextlib.contextmanager
def _locked(place: Path, how: int) -> Iterator[None]:
    """A lock among processes and threads that ends with whoever holds it."""
    with place.with_name(f"{place.name}.lock").open("w") as file:
        lock(file.fileno(), how)
        yield
