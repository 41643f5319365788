"""The environment at hand as a wish: what was asked for in it, and the releases that it has."""

from __future__ import annotations

import contextlib
import importlib.metadata
import json
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import unquote, urlsplit

from packaging.requirements import InvalidRequirement, Requirement
from packaging.utils import canonicalize_name

from goldtrace.packages.own_wheel import own_requirements

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping

_LEFT_OUT = frozenset({"goldtrace", "pip"})


@dataclass(frozen=True, slots=True, kw_only=True)
class Today:
    """``requirements`` that no other package brings along, all ``pins``, ``editable`` projects.

    goldtrace itself is left out; what it needs is among the requirements.
    """

    requirements: tuple[str, ...]
    pins: tuple[str, ...]
    editable: tuple[Path, ...]


def todays_environment() -> Today:
    """The environment of this interpreter, read from the metadata of what is installed."""
    found = {
        canonicalize_name(d.metadata["Name"]): d
        for d in importlib.metadata.distributions()
        if "Name" in d.metadata  # a half-removed distribution leaves a folder without metadata
    }
    projects = {name: place for name, d in found.items() if (place := _editable(d)) is not None}
    others = {n: d for n, d in found.items() if n not in {*_LEFT_OUT, *projects}}
    needs = who_needs_what({name: d.requires or [] for name, d in found.items()})
    roots = roots_of(others, needs)
    asked = [_as_asked(name, d) for name, d in others.items() if name in roots]
    for name in projects:
        if name not in _LEFT_OUT:
            asked += [line for line in found[name].requires or [] if "extra ==" not in line]
    pins = (f"{n}=={d.version}" for n, d in others.items() if "://" not in _as_asked(n, d))
    return Today(
        requirements=(*sorted(asked), *own_requirements()),
        pins=tuple(sorted(pins)),
        editable=tuple(place for name, place in projects.items() if name not in _LEFT_OUT),
    )


def who_needs_what(requires: Mapping[str, Iterable[str]]) -> dict[str, set[str]]:
    """Which installed package needs which, extras counted where somebody asks for them."""
    parsed = {name: list(_readable(lines)) for name, lines in requires.items()}
    extras: dict[str, set[str]] = {name: {""} for name in parsed}
    needs: dict[str, set[str]] = {name: set() for name in parsed}
    grew = True
    while grew:
        grew = False
        for name, requirements in parsed.items():
            for wanted in requirements:
                marker = wanted.marker
                if marker and not any(marker.evaluate({"extra": e}) for e in extras[name]):
                    continue
                target = canonicalize_name(wanted.name)
                if target in needs:
                    needs[name].add(target)
                    grew |= not wanted.extras <= extras[target]
                    extras[target] |= wanted.extras
    return needs


def _readable(lines: Iterable[str]) -> Iterator[Requirement]:
    """Old packages ask in ways that nothing understands any more, such as ``pytz (>dev)``."""
    for line in lines:
        with contextlib.suppress(InvalidRequirement):
            yield Requirement(line)


def roots_of(others: Iterable[str], needs: Mapping[str, set[str]]) -> list[str]:
    """Packages that nobody needs, and one of each ring that only needs itself."""
    names = sorted(others)
    # What only goldtrace or a project needs comes in through their own requirements.
    needed = {target for name, targets in needs.items() for target in targets if target != name}
    roots = [name for name in names if name not in needed]
    covered = _reach([*roots, *(name for name in needs if name not in names)], needs)
    for name in names:
        if name not in covered:
            roots.append(name)
            covered |= _reach([name], needs)
    return roots


def _reach(start: Iterable[str], needs: Mapping[str, set[str]]) -> set[str]:
    seen: set[str] = set()
    waiting = list(start)
    while waiting:
        name = waiting.pop()
        if name not in seen:
            seen.add(name)
            waiting += needs.get(name, set())
    return seen


def _direct(distribution: importlib.metadata.Distribution) -> dict[str, object] | None:
    text = distribution.read_text("direct_url.json")
    if not text:
        return None
    fields: dict[str, object] = json.loads(text)
    return fields


def _editable(distribution: importlib.metadata.Distribution) -> Path | None:
    """The folder of a project that is installed from its sources."""
    direct = _direct(distribution)
    if direct is None or "dir_info" not in direct:
        return None
    return Path(unquote(urlsplit(str(direct["url"])).path))


def _as_asked(name: str, distribution: importlib.metadata.Distribution) -> str:
    """``name``, or where it came from if that was no index."""
    direct = _direct(distribution)
    if direct is None:
        return name
    vcs = direct.get("vcs_info")
    if isinstance(vcs, dict):
        return f"{name} @ {vcs['vcs']}+{direct['url']}@{vcs['commit_id']}"
    return f"{name} @ {direct['url']}"
