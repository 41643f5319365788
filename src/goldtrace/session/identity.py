"""Which tests are golden runs, of what name, on which device."""

from __future__ import annotations

import hashlib
import os
import re
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import pytest

from goldtrace.determinism import profile_for
from goldtrace.errors import SpecError
from goldtrace.store.declared import spec_of_test

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from goldtrace.model.spec import RunSpec
    from goldtrace.session.settings import Settings

FIXTURE = "golden_run"
_LONGEST_NAME = 150
# Ids that differ have names that differ: no dots in folders, no dashes in names.
_PLAIN = re.compile(
    r"(?P<path>\w+(-\w+)*(/\w+(-\w+)*)*)\.py::(?P<names>\w+(::\w+)*)"
    r"(?P<parameters>\[[A-Za-z0-9_.,=+@-]*\])?",
    re.ASCII,
)


@dataclass(frozen=True, slots=True, kw_only=True)
class GoldenTest:
    """A test that uses ``golden_run``; ``device`` is ``None`` if the session chose none of its."""

    spec: RunSpec
    device: str | None

    def environment(self) -> dict[str, str]:
        """The variables that must stand before the interpreter that runs the test starts."""
        return profile_for(self.spec.profile, self.device or "cpu").environment()


GOLDEN = pytest.StashKey[GoldenTest]()
"""In the stash of every test that uses ``golden_run``."""


def uses_golden_run(item: pytest.Item) -> bool:
    """Whether the item asks for ``golden_run``, by argument or through another fixture."""
    return FIXTURE in getattr(item, "fixturenames", ())


def devices_of(definition: pytest.Item, settings: Settings) -> list[str]:
    """The devices that a test runs on in this session, in the session's order.

    Raises:
        GoldtraceError: its marker says something that it shouldn't.
    """
    return [d for d in settings.devices if d in _spec(definition, definition.nodeid).devices]


def golden_test(item: pytest.Item, settings: Settings) -> GoldenTest:
    """What the marker and the parameters of a test make of it.

    Raises:
        GoldtraceError: the marker says something that it shouldn't, or names an unknown profile.
    """
    parameters: dict[str, Any] = getattr(getattr(item, "callspec", None), "params", {})
    device = parameters.get(FIXTURE)
    origin = item.nodeid if device is None else _without(item.nodeid, device)
    spec = _spec(item, origin)
    if device is None:
        device = next(iter(d for d in settings.devices if d in spec.devices), None)
    golden = GoldenTest(spec=spec, device=device)
    golden.environment()
    return golden


def golden_name(origin: str) -> str:
    """The name of the golden of the test with this node id.

    Readable, and different for different ids: where an id has characters that a name must not
    have, or is long, a digest of it is appended.
    """
    plain = _PLAIN.fullmatch(origin)
    if plain is not None and len(origin) <= _LONGEST_NAME:
        path, names, parameters = plain.group("path", "names", "parameters")
        return f"{path.replace('/', '.')}--{names.replace('::', '--')}{parameters or ''}"
    digest = hashlib.sha256(origin.encode("utf-8", "surrogatepass")).hexdigest()[:8]
    readable = origin.replace(".py::", "--").replace("::", "--").replace("/", ".")
    readable = re.sub(r"[^A-Za-z0-9_.,=+@\[\]-]", "_", readable).lstrip(".,=+@-")
    return f"{readable[:_LONGEST_NAME]}-{digest}"


def clashes(items: Iterable[pytest.Item]) -> Iterator[tuple[pytest.Item, pytest.Item]]:
    """Pairs of different tests that would keep their traces in one golden."""
    seen: dict[tuple[str, str | None], pytest.Item] = {}
    for item in items:
        golden = item.stash[GOLDEN]
        other = seen.setdefault((golden.spec.name, golden.device), item)
        if getattr(other, "function", other) is not getattr(item, "function", item):
            yield other, item


def _spec(item: pytest.Item, origin: str) -> RunSpec:
    arguments: dict[str, Any] = {}
    for mark in reversed(list(item.iter_markers("golden"))):
        if mark.args:
            raise SpecError(
                "the golden marker takes arguments by name only",
                where=item.nodeid,
                expected="golden(seed=…, devices=…, profile=…, exact=…, tolerance={…})",
                found=", ".join(map(repr, mark.args)),
            )
        arguments |= mark.kwargs
    spec = spec_of_test(golden_name(origin), origin, arguments, where=item.nodeid)
    return replace(spec, place=_typed(origin, item.config))


def _typed(origin: str, config: pytest.Config) -> str:
    """A node id, which counts from pytest's root, as it is typed where pytest was called."""
    file, *names = origin.split("::")
    path = os.path.relpath(config.rootpath / file, config.invocation_params.dir)
    return "::".join((path, *names))


def _without(nodeid: str, device: str) -> str:
    """The node id less the parameter that this plugin appended."""
    return nodeid.removesuffix(f"[{device}]").removesuffix(f"-{device}]") + (
        "]" if nodeid.endswith(f"-{device}]") else ""
    )
