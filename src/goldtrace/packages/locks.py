"""Lock files and ``pip freeze`` outputs, at any git revision, and the difference of two."""

from __future__ import annotations

import re
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from packaging.markers import InvalidMarker, Marker
from packaging.requirements import InvalidRequirement, Requirement
from packaging.utils import canonicalize_name
from packaging.version import InvalidVersion, Version

from goldtrace.environment import suspicion
from goldtrace.environment.git import ask_git
from goldtrace.errors import UsageError

if TYPE_CHECKING:
    from collections.abc import Iterable
    from pathlib import Path

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib

Pins = Mapping[str, str]
"""Normalised names with exact versions."""

_OWN = "goldtrace"
_SHOWN = 100
_COMMENT = re.compile(r"(^|\s)#.*$")
_OPTION = re.compile(r"\s--[a-z-]+[= ]\S+")


@dataclass(frozen=True, slots=True, kw_only=True, order=True)
class PackageChange:
    """A package whose version differs; ``None`` stands for a package that is not there."""

    package: str
    old: str | None
    new: str | None

    def __str__(self) -> str:
        return f"{self.package} {self.old or 'absent'} → {self.new or 'absent'}"


def read_lock(place: str, *, root: Path) -> dict[str, str]:
    """The pins of a lock file or a ``pip freeze`` output, for this interpreter and platform.

    ``place`` is a path, or ``REVISION:PATH`` for a file as git has it, relative to ``root``.
    Requirements with ``==``, ``pylock.toml`` and ``uv.lock`` are understood.

    Raises:
        UsageError: no such file, or something in it that isn't pinned to one version.
    """
    text = _read(place, root)
    name = place.rpartition(":")[2]
    if name.endswith((".toml", "uv.lock")):
        pins = _toml_pins(text, place)
    else:
        pins = _requirement_pins(text.splitlines(), place)
    pins.pop(_OWN, None)  # It probes, it isn't probed.
    return pins


def read_requirements(path: Path) -> tuple[str, ...]:
    """The requirements of a project: of its ``pyproject.toml``, or the lines of another file.

    Raises:
        UsageError: it can't be read or holds none.
    """
    text = _read(path.name, path.absolute().parent)
    if path.suffix == ".toml":
        found = _toml(text, str(path)).get("project", {}).get("dependencies", [])
    else:
        lines = (_COMMENT.sub("", line).strip() for _, line in _joined(text.splitlines()))
        found = [line for line in lines if line and not line.startswith("-")]
    if not found:
        raise UsageError(
            "no requirements",
            where=str(path),
            expected="[project] dependencies, or one requirement a line",
            hint="name another file with --requirements",
        )
    return tuple(found)


def difference(old: Pins, new: Pins) -> tuple[PackageChange, ...]:
    """What differs, packages that take part in a training's numbers first."""
    found = [
        PackageChange(package=name, old=old.get(name), new=new.get(name))
        for name in {*old, *new}
        if _version(old.get(name)) != _version(new.get(name))
    ]
    return tuple(sorted(found, key=lambda change: suspicion(change.package)))


def _read(place: str, root: Path) -> str:
    path = root / place
    revision, colon, file = place.partition(":")
    if colon and not path.exists():
        shown = ask_git(root, "show", f"{revision}:./{file}")
        if shown is not None and shown.returncode == 0:
            return shown.stdout.decode("utf-8", "replace")
        raise UsageError(
            "git has no such file",
            where=place,
            expected="REVISION:PATH, for example HEAD~5:requirements.lock",
            found=shown.stderr.decode("utf-8", "replace").strip() if shown else "no git",
        )
    try:
        return path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise UsageError(
            "the lock file can't be read",
            where=place,
            expected="a lock file, a pip freeze output, or REVISION:PATH of one",
            found=str(error),
        ) from error


def _requirement_pins(lines: Iterable[str], place: str) -> dict[str, str]:
    pins: dict[str, str] = {}
    for number, line in _joined(lines):
        text = _COMMENT.sub("", line).strip()
        if text.startswith(("-r", "--requirement")):
            raise UsageError(
                "a lock file that includes another one says too little",
                where=f"{place}:{number}",
                expected="every package on a line of its own",
                found=text,
                hint="pip freeze > requirements.lock, or uv pip compile",
            )
        if not text or text.startswith("-"):
            continue  # Options and editable projects: the code under test, not its environment.
        text = _OPTION.sub("", f" {text}").strip()
        try:
            requirement = Requirement(text)
        except InvalidRequirement as error:
            raise UsageError(
                "this line is no requirement", where=f"{place}:{number}", found=text
            ) from error
        if requirement.marker is not None and not requirement.marker.evaluate():
            continue
        if requirement.url is not None:
            if requirement.url.startswith("file:"):
                continue
            raise _not_pinned(place, number, text)
        pins[canonicalize_name(requirement.name)] = _exact(requirement, place, number)
    return pins


def _exact(requirement: Requirement, place: str, number: int) -> str:
    specifiers = list(requirement.specifier)
    if len(specifiers) == 1 and specifiers[0].operator in ("==", "==="):
        version = specifiers[0].version
        if not version.endswith(".*"):
            return version
    raise _not_pinned(place, number, str(requirement))


def _not_pinned(place: str, number: int, text: str) -> UsageError:
    return UsageError(
        "this line isn't pinned to one release",
        where=f"{place}:{number}",
        expected="name==version, as pip freeze, pip-compile and uv pip compile write it",
        found=text,
        hint="uv pip compile requirements.in -o requirements.lock",
    )


def _toml_pins(text: str, place: str) -> dict[str, str]:
    pins: dict[str, str] = {}
    for package in _packages(_toml(text, place)):
        marker = package.get("marker")
        try:
            if marker is not None and not Marker(marker).evaluate():
                continue
            canonicalize_name(package["name"])
        except (InvalidMarker, KeyError, TypeError, AttributeError) as error:
            raise UsageError(
                "a package of the lock file has no name, or a marker that is none",
                where=place,
                found=str(package)[:_SHOWN],
            ) from error
        source = package.get("source", {})
        if "version" not in package or {"editable", "virtual", "directory"} & {*source, *package}:
            continue
        name = canonicalize_name(package["name"])
        if pins.setdefault(name, package["version"]) != package["version"]:
            raise UsageError(
                f"{name} is locked to several releases",
                where=place,
                expected="one release a package",
                found=f"{pins[name]}, {package['version']}",
                hint="uv export --format requirements-txt > requirements.lock",
            )
    if not pins:
        raise UsageError("no locked packages", where=place, expected="uv.lock or pylock.toml")
    return pins


def _toml(text: str, place: str) -> dict[str, Any]:
    try:
        return tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        raise UsageError("this is no TOML", where=place, found=str(error)) from error


def _packages(document: Mapping[str, Any]) -> list[dict[str, Any]]:
    found = document.get("packages", document.get("package", []))
    return [entry for entry in found if isinstance(entry, dict)] if isinstance(found, list) else []


def _joined(lines: Iterable[str]) -> Iterable[tuple[int, str]]:
    """Lines that end in a backslash go on in the next one."""
    begun, start = "", 0
    for number, line in enumerate(lines, start=1):
        start = start if begun else number
        begun += line
        if begun.endswith("\\"):
            begun = begun[:-1]
            continue
        yield start, begun
        begun = ""
    if begun:
        yield start, begun


def _version(text: str | None) -> Version | str | None:
    if text is None:
        return None
    try:
        return Version(text)
    except InvalidVersion:
        return text
