"""Pins put in force, verified, and taken back."""

from __future__ import annotations

import contextlib
from dataclasses import dataclass
from types import MappingProxyType
from typing import TYPE_CHECKING, Any

from goldtrace.determinism import canary
from goldtrace.determinism.profiles import PinKind, profile_for, warning_only
from goldtrace.determinism.startup import not_in_force, verify_environment
from goldtrace.determinism.switches import EFFECTS, SWITCHES

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from goldtrace.determinism.profiles import Pin, Profile


@dataclass(frozen=True, slots=True, kw_only=True)
class InForce:
    """What holds while a profile is in force: pins by name, and the digests of the canaries."""

    pins: Mapping[str, str]
    canaries: Mapping[str, str]


@contextlib.contextmanager
def deterministic(
    profile: str = "cpu-portable", *, device: str = "cpu", warn_only: bool = False
) -> Iterator[Mapping[str, str]]:
    """Run the body under a profile and yield the pins that were verified to be in force.

    Environment pins are only verified, because they have to stand before Python starts; torch's
    switches and thread counts are set, read back, and restored on the way out, whatever happened
    in the body. The number of inter-op threads is left alone: torch lets it be set once in a
    process and never again, and it decides which operators run side by side, not what they
    compute. ``warn_only`` makes operators without a deterministic kernel warn instead of raise.

    A pin that the body changed is an error too, so that no trace claims a pin that did not hold.

    Raises:
        PinError: a pin is not in force, on the way in or at the end of the body, or a canary tells
            that this process computes otherwise than the profile does.
        SpecError: no profile has this name.
    """
    with pinned(profile, device=device, warn_only=warn_only) as in_force:
        yield in_force.pins


@contextlib.contextmanager
def pinned(
    profile: str = "cpu-portable", *, device: str = "cpu", warn_only: bool = False
) -> Iterator[InForce]:
    """``deterministic`` for who wants to know the canaries as well."""
    chosen = profile_for(profile, device)
    if warn_only:
        chosen = warning_only(chosen)
    verify_environment(chosen)
    with contextlib.ExitStack() as undo:
        _apply(chosen, undo)
        pins = MappingProxyType(verify(chosen))
        # Under the profile universal kernels may differ: that is the point of it.
        canaries = canary.canary_digests() if chosen.name != "universal" else {}
        if chosen.canaries:
            canary.verify_canaries(canaries)
        yield InForce(pins=pins, canaries=MappingProxyType(canaries))
        verify(chosen, hint="the code of the run changed it: leave it as it is within a golden run")


def verify(profile: Profile, *, hint: str | None = None) -> dict[str, str]:
    """The recorded pins of a profile with their values, read back from where they take effect.

    Raises:
        PinError: the first pin that does not hold.
    """
    import torch

    verify_environment(profile)
    values: dict[str, str] = {}
    for pin in profile.pins:
        found = _found(pin, torch)
        if found is not None and found != pin.value:
            raise not_in_force(pin, profile, found, hint=hint)
        if pin.recorded:
            values[pin.name] = pin.value
    return values


def _found(pin: Pin, torch: Any) -> str | None:
    if pin.kind is PinKind.ENV:
        return pin.value  # verify_environment has seen it
    if pin.kind is PinKind.EFFECT:
        return EFFECTS[pin.name](torch)
    return SWITCHES[pin.name].read(torch)


def _apply(profile: Profile, undo: contextlib.ExitStack) -> None:
    import torch

    for pin in profile.pins:
        if pin.kind in (PinKind.TORCH, PinKind.THREADS):
            undo.callback(SWITCHES[pin.name].put(torch, pin.value))
