"""uv, which resolves and installs: found, called, and asked for one resolution."""

from __future__ import annotations

import hashlib
import os
import re
import shutil
import subprocess
import sys
import tempfile
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

from goldtrace.errors import GoldtraceError, UsageError

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

_TRANSIENT = re.compile(
    r"no space left|disk quota|error sending request|timed out|connection (reset|refused|closed)"
    r"|dns error|network is unreachable|50[0-9] (internal|bad|service|gateway)"
    r"|failed to fetch|40[13] (unauthorized|forbidden)|429 too many",
    re.IGNORECASE,
)
_NO_SOLUTION = "No solution found"
"""In uv's words, the only failure that says that there is no such release."""

_NOT_THERE = re.compile(r"there is no version of|was not found in the (package registry|provided)")
"""In uv's words, that the index lists no such release; others say why one isn't usable."""

_TAIL = 12
"""Lines of uv's output that a message shows."""


class ResolutionError(GoldtraceError):
    """No set of releases satisfies the requirements."""


class BuildError(GoldtraceError):
    """An environment that can't be built."""


class FetchError(GoldtraceError):
    """The index or the disk gave out: nothing is said about the packages."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Wish:
    """What an environment shall hold.

    ``requirements`` must hold and their dependencies are added; ``constraints`` hold for whatever
    is chosen; ``preferred`` are pins (``name==version``) that are taken where nothing speaks
    against them. ``until`` (a date, or a time with RFC 3339's syntax) leaves out what was
    uploaded later. ``otherwise`` is wished for where this can't be had.
    """

    requirements: tuple[str, ...]
    constraints: tuple[str, ...] = ()
    preferred: tuple[str, ...] = ()
    until: str | None = None
    otherwise: Wish | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Resolution:
    """Exact releases for one interpreter; ``pins`` are sorted lines ``name==version``."""

    pins: tuple[str, ...]
    python: str = field(default_factory=lambda: sys.version.split()[0])

    @property
    def digest(self) -> str:
        """What identifies the environment: SHA-256 of pins and version of Python."""
        return hashlib.sha256("\n".join((self.python, *self.pins)).encode()).hexdigest()

    @property
    def versions(self) -> dict[str, str]:
        """Versions (or addresses) by normalised name."""
        return dict(_named(pin) for pin in self.pins)


@dataclass(frozen=True, slots=True, kw_only=True)
class Uv:
    """The uv command with the choices that hold for all of its calls.

    It runs in ``root``, so it is configured as the project is: ``uv.toml``, ``[tool.uv]``,
    ``UV_…`` variables, keyrings. ``prereleases`` and ``builds`` (source distributions) are off
    unless asked for; without ``cache`` nothing that was downloaded is kept.
    """

    command: Path
    root: Path
    python: Path
    prereleases: bool = False
    builds: bool = False
    cache: bool = True

    def resolve(self, wish: Wish) -> Resolution:
        """The releases that uv chooses for ``wish``.

        Raises:
            ResolutionError: there are none; ``found`` is uv's explanation.
        """
        try:
            return self._resolve(wish)
        except ResolutionError:
            if wish.otherwise is None:
                raise
            return self.resolve(wish.otherwise)

    def _resolve(self, wish: Wish) -> Resolution:
        with tempfile.TemporaryDirectory(prefix="goldtrace-") as scratch:
            out, constraints = Path(scratch, "pins.txt"), Path(scratch, "constraints.txt")
            # uv takes the pins of an existing output as preferences.
            out.write_text(_lines(wish.preferred), encoding="utf-8")
            constraints.write_text(_lines(wish.constraints), encoding="utf-8")
            answer = self.call(
                *("pip", "compile", "-", "--output-file", str(out)),
                *("--constraints", str(constraints), "--python", str(self.python)),
                *("--no-header", "--no-annotate", "--no-strip-markers"),
                *("--prerelease", "allow" if self.prereleases else "if-necessary-or-explicit"),
                *(() if self.builds else ("--no-build",)),
                *(() if wish.until is None else ("--exclude-newer", wish.until)),
                stdin=_lines(wish.requirements),
            )
            if answer.returncode != 0:
                _raise_if_transient(answer)
                raise ResolutionError("the requirements can't be resolved", found=_tail(answer))
            lines = out.read_text(encoding="utf-8").splitlines()
        return Resolution(pins=tuple(sorted(_pins(lines))))

    def newest(self, package: str, bounds: str) -> str | None:
        """The newest release of ``package`` within ``bounds`` (as ``>=2,<3``) that fits here.

        That is for this interpreter and platform, not yanked, no pre-release unless asked for.
        ``None`` when there is none.

        Raises:
            FetchError: uv failed otherwise, which says nothing about releases.
        """
        return self._release(package, bounds, "highest")

    def oldest(self, package: str, bounds: str) -> str | None:
        """As ``newest``, from the other end."""
        return self._release(package, bounds, "lowest")

    def lists(self, package: str, version: str) -> bool:
        """Whether the index has this release, be it yanked or for another platform.

        Raises:
            FetchError: the index can't be asked.
        """
        answer = self._ask(f"{package}=={version}", prereleases=True)
        if answer.returncode != 0:
            _raise_if_transient(answer)
        return _NO_SOLUTION not in answer.stderr or not _NOT_THERE.search(answer.stderr)

    def _ask(
        self, requirement: str, *arguments: str, prereleases: bool
    ) -> subprocess.CompletedProcess[str]:
        """Resolve one requirement without what it needs."""
        return self.call(
            *("pip", "compile", "-", "--no-deps", "--python", str(self.python)),
            *("--no-header", "--no-annotate", "--no-strip-markers"),
            *("--prerelease", "allow" if prereleases else "disallow"),
            *(() if self.builds else ("--no-build",)),
            *arguments,
            stdin=f"{requirement}\n",
        )

    def _release(self, package: str, bounds: str, which: str) -> str | None:
        answer = self._ask(
            f"{package}{bounds}", "--resolution", which, prereleases=self.prereleases
        )
        if answer.returncode != 0:
            _raise_if_transient(answer)
            if _NO_SOLUTION not in answer.stderr:
                raise FetchError(
                    f"the releases of {package} can't be listed",
                    found=_tail(answer),
                    hint="mend what uv says, then give the same command again",
                )
            return None
        names = dict(map(_named, _pins(answer.stdout.splitlines())))
        return names.get(canonicalize_name(package))

    def install(self, environment: Path, arguments: tuple[str, ...], *, builds: bool) -> None:
        """``uv pip install --no-deps`` into an environment.

        Raises:
            BuildError: it fails; ``found`` is uv's explanation.
        """
        answer = self.call(
            *("pip", "install", "--no-deps", "--python", str(environment / "bin" / "python")),
            *(() if builds else ("--no-build",)),
            *(() if self.cache else ("--no-cache",)),
            *arguments,
        )
        if answer.returncode != 0:
            _raise_if_transient(answer)
            raise BuildError("the environment can't be built", found=_tail(answer))

    def call(self, *arguments: str, stdin: str = "") -> subprocess.CompletedProcess[str]:
        """Run uv, quietly and without colours; the caller looks at the exit status."""
        return subprocess.run(  # noqa: S603 - arguments, never a shell
            [self.command, "--quiet", "--color", "never", "--no-python-downloads", *arguments],
            cwd=self.root,
            env={key: value for key, value in os.environ.items() if key != "VIRTUAL_ENV"},
            input=stdin,
            capture_output=True,
            text=True,
            check=False,
        )


def find_uv() -> Path:
    """The uv beside this interpreter, else the one on the path.

    Raises:
        UsageError: there is none.
    """
    beside = Path(sys.executable).with_name("uv")
    if beside.exists():
        return beside
    if found := shutil.which("uv"):
        return Path(found)
    raise UsageError(
        "uv isn't installed: it builds the environments",
        expected="uv beside this Python, or on PATH",
        hint="pip install uv",
    )


def _raise_if_transient(answer: subprocess.CompletedProcess[str]) -> None:
    """Raise ``FetchError`` for what another day, or more room, would mend."""
    if _TRANSIENT.search(answer.stderr):
        raise FetchError(
            "packages can't be fetched",
            found=_tail(answer),
            hint="make room, wait for the index or give uv its credentials, then give the same "
            "command again: it goes on where it stopped",
        )


def _pins(lines: Iterable[str]) -> Iterator[str]:
    """The requirements of uv's output, whatever else the project's settings make it write."""
    for line in lines:
        if line[:1].isalnum():
            yield line.partition(" ;")[0].rstrip("\\").strip()


def _named(line: str) -> tuple[str, str]:
    requirement = Requirement(line)
    version = requirement.url or str(requirement.specifier).removeprefix("==")
    return canonicalize_name(requirement.name), version


def _lines(lines: tuple[str, ...]) -> str:
    return "".join(f"{line}\n" for line in lines)


def _tail(answer: subprocess.CompletedProcess[str]) -> str:
    return "\n".join((answer.stderr or answer.stdout).strip().splitlines()[-_TAIL:])
