"""What changes on a GPU while it runs: temperature, clocks, power, and what slowed it down."""

from __future__ import annotations

import contextlib
from typing import TYPE_CHECKING, Any

from goldtrace.environment.accelerator import first_visible, nvml_ready

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

# nvml.h, nvmlClocksEventReasons: those that mean that the GPU could not run as fast as it was told.
_SLOWED = {
    0x04: "power cap",
    0x08: "hardware slowdown",
    0x20: "too hot (driver)",
    0x40: "too hot (hardware)",
    0x80: "power brake",
}
# nvml.h, nvmlPerfPolicyType_t: the counters of time spent below the clocks that were asked for.
_COUNTERS = {"power": 0, "thermal": 1}
_COUNTER = "slowed by {} limit"
_SLOW = "slowed now"
_MICROSECOND = 1000  # nanoseconds


def accelerator_conditions() -> dict[str, str]:
    """Temperature, clocks, power and what slows the first visible GPU now, sorted by name.

    Empty without NVML; what a card or this release of NVML does not support is left out.
    """
    with nvml_ready() as nvml:
        device = None if nvml is None else first_visible(nvml)
        if nvml is None or device is None:
            return {}
        questions: dict[str, Callable[[], object]] = {
            "temperature": lambda: f"{nvml.nvmlDeviceGetTemperature(device, 0)} C",
            "sm_clock": lambda: f"{nvml.nvmlDeviceGetClockInfo(device, nvml.NVML_CLOCK_SM)} MHz",
            "memory_clock": lambda: (
                f"{nvml.nvmlDeviceGetClockInfo(device, nvml.NVML_CLOCK_MEM)} MHz"
            ),
            "power": lambda: f"{nvml.nvmlDeviceGetPowerUsage(device) // 1000} W",
            "performance_state": lambda: f"P{nvml.nvmlDeviceGetPerformanceState(device)}",
            _SLOW: lambda: _reasons(nvml, device),
        }
        for name, policy in _COUNTERS.items():
            questions[_COUNTER.format(name)] = lambda policy=policy: (  # type: ignore[misc]
                f"{nvml.nvmlDeviceGetViolationStatus(device, policy).violationTime // _MICROSECOND}"
                " us"
            )
        facts = {}
        for name, ask in questions.items():
            with contextlib.suppress(nvml.NVMLError, AttributeError):
                facts[name] = str(ask())
        return dict(sorted(facts.items()))


def throttling(start: Mapping[str, str], end: Mapping[str, str]) -> str | None:
    """What slowed the GPU down between two descriptions of it, in words; ``None`` if nothing did.

    The counters see what happened between the two; the reasons only what holds at either.
    """
    found = [
        f"{conditions[_SLOW]} at the {when}"
        for when, conditions in (("start", start), ("end", end))
        if conditions.get(_SLOW, "no") != "no"
    ]
    for name in _COUNTERS:
        key = _COUNTER.format(name)
        if key in start and key in end:
            spent = int(end[key].split()[0]) - int(start[key].split()[0])
            if spent > 0:
                found.append(f"{spent / 1000:.3g} ms below its clocks by the {name} limit")
    return "; ".join(found) or None


def _reasons(nvml: Any, device: Any) -> str:
    try:
        reasons = nvml.nvmlDeviceGetCurrentClocksEventReasons(device)
    except (AttributeError, nvml.NVMLError):  # nvidia-ml-py, or the driver, before 12.535
        reasons = nvml.nvmlDeviceGetCurrentClocksThrottleReasons(device)
    return ", ".join(name for bit, name in _SLOWED.items() if reasons & bit) or "no"
