"""From collected items to golden items: devices, names, marks, and what nobody uses."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from goldtrace.errors import GoldtraceError
from goldtrace.session.identity import (
    FIXTURE,
    GOLDEN,
    devices_of,
    first_clash,
    golden_test,
    uses_golden_run,
)
from goldtrace.session.settings import settings_of

if TYPE_CHECKING:
    from goldtrace.session.settings import Settings


def parametrize_devices(metafunc: pytest.Metafunc) -> None:
    """Make one test for each device, where the session and the test have several in common."""
    settings = settings_of(metafunc.config)
    try:
        devices = devices_of(metafunc.definition, settings)
    except GoldtraceError as error:
        # A collection error of the module, which travels to xdist's controller as well.
        pytest.fail(str(error), pytrace=False)
    if len(devices) > 1:
        metafunc.parametrize(FIXTURE, devices, ids=devices, indirect=True)


def prepare(items: list[pytest.Item], settings: Settings) -> list[pytest.Item]:
    """Find the golden items of a collection, and describe each in its stash.

    Raises:
        pytest.UsageError: two tests would share a golden, or a marker makes no sense.
    """
    for item in items:
        if uses_golden_run(item):
            _describe(item, settings)
    golden_items = [item for item in items if GOLDEN in item.stash]
    clash = first_clash(golden_items)
    if clash is not None:
        one, other = clash
        raise pytest.UsageError(
            f"two golden tests share the golden {one.stash[GOLDEN].spec.name!r}\n"
            f"  one:      {one.nodeid}\n"
            f"  other:    {other.nodeid}\n"
            "  next:     rename one of them"
        )
    return golden_items


def _describe(item: pytest.Item, settings: Settings) -> None:
    try:
        golden = golden_test(item, settings)
    except GoldtraceError as error:
        raise pytest.UsageError(str(error)) from error
    item.stash[GOLDEN] = golden
    # So that -m golden selects every golden test, marked by its author or not.
    if item.get_closest_marker("golden") is None:
        item.add_marker("golden")
    if golden.device is None:
        devices = ",".join(golden.spec.devices)
        item.add_marker(pytest.mark.skip(reason=f"needs --golden-device {devices}"))
