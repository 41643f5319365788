"""Another platform's golden in the place of one that isn't there."""

from __future__ import annotations

from typing import TYPE_CHECKING

from goldtrace.environment import changes

if TYPE_CHECKING:
    from goldtrace.model.trace import Header
    from goldtrace.store.golden import Golden, GoldenStore


def nearest_golden(store: GoldenStore, now: Header) -> tuple[Golden, str] | None:
    """The calibrated golden of the same kind of device that differs least from ``now``, and why.

    Between a CPU and a GPU random numbers differ: nothing could be told from such a comparison.
    The fewest differences in packages, settings, pins and machine count, then the name.

    Raises:
        GoldenError: one of the goldens is damaged.
    """
    goldens = (store.load(now.run, platform) for platform in store.platforms(now.run))
    found = [
        (len(changes(golden.trace.header, now)), golden.trace.header.platform, golden)
        for golden in goldens
        if golden is not None and golden.calibration and golden.trace.header.device == now.device
    ]
    if not found:
        return None
    apart, platform, golden = min(found, key=lambda each: each[:2])
    which = (
        f"the only calibrated one for {now.device}"
        if len(found) == 1
        else f"of {len(found)} calibrated ones for {now.device} the least different"
    )
    differences = f"{apart} difference{'' if apart == 1 else 's'} of packages, settings and machine"
    why = f"there is no golden for {now.platform}: held against {platform}, {which} ({differences})"
    return golden, why
