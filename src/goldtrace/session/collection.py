"""From collected items to golden items: devices, names and marks."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import pytest

from goldtrace.errors import GoldtraceError
from goldtrace.session.identity import (
    FIXTURE,
    GOLDEN,
    clashes,
    devices_of,
    golden_test,
    uses_golden_run,
)
from goldtrace.session.settings import settings_of

if TYPE_CHECKING:
    from goldtrace.session.settings import Settings


@dataclass(frozen=True, slots=True, kw_only=True)
class Prepared:
    """The golden items of a collection, and what is wrong with others."""

    golden: list[pytest.Item]
    errors: list[pytest.CollectReport]


def parametrize_devices(metafunc: pytest.Metafunc) -> None:
    """Make one test for each device, where the session and the test have several in common."""
    settings = settings_of(metafunc.config)
    try:
        devices = devices_of(metafunc.definition, settings)
    except GoldtraceError:
        return  # told about once the test is collected
    if len(devices) > 1:
        metafunc.parametrize(FIXTURE, devices, ids=devices, indirect=True)


def prepare(items: list[pytest.Item], settings: Settings) -> Prepared:
    """Find the golden items of a collection and describe each in its stash.

    Those that can't be run are taken out of ``items`` and come back as errors of the collection.
    """
    errors: dict[pytest.Item, str] = {}
    for item in items:
        if uses_golden_run(item):
            try:
                _describe(item, settings)
            except GoldtraceError as error:
                errors[item] = str(error)
    golden = [item for item in items if GOLDEN in item.stash]
    for one, other in clashes(golden):
        errors[one] = errors[other] = (
            f"two golden tests share the golden {one.stash[GOLDEN].spec.name!r}\n"
            f"  one:      {_place(one)}\n"
            f"  other:    {_place(other)}\n"
            "  next:     rename one of them"
        )
    items[:] = [item for item in items if item not in errors]
    return Prepared(
        golden=[item for item in golden if item not in errors],
        errors=[
            pytest.CollectReport(item.nodeid, "failed", message, None)
            for item, message in errors.items()
        ],
    )


def _describe(item: pytest.Item, settings: Settings) -> None:
    golden = golden_test(item, settings)
    item.stash[GOLDEN] = golden
    # So that -m golden selects every golden test, marked by its author or not.
    if item.get_closest_marker("golden") is None:
        item.add_marker("golden")
    if golden.device is None:
        devices = ",".join(golden.spec.devices)
        item.add_marker(pytest.mark.skip(reason=f"needs --golden-device {devices}"))


def _place(item: pytest.Item) -> str:
    """Node id, file and line of a test."""
    path, line, _ = item.reportinfo()
    return f"{item.nodeid} ({path}:{(line or 0) + 1})"
