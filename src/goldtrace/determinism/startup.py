"""The variables that stood when this interpreter started, as against those set later on."""

from __future__ import annotations

import os
import shlex
import sys
from pathlib import Path
from typing import TYPE_CHECKING

from goldtrace.determinism.profiles import PinKind
from goldtrace.errors import PinError

if TYPE_CHECKING:
    from collections.abc import Mapping

    from goldtrace.determinism.profiles import Pin, Profile

_ENVIRON = Path("/proc/self/environ")


def initial_environment() -> Mapping[str, str] | None:
    """The environment that this process was started with; ``None`` where the system keeps none.

    ``os.environ`` shows what is set now. Libraries read most variables once, Python reads
    ``PYTHONHASHSEED`` before the first line runs, so that a later change has no effect.
    """
    # setproctitle writes the title of the process over this memory; xdist loads it where it can.
    if "setproctitle" in sys.modules:
        return None
    try:
        raw = _ENVIRON.read_bytes()
    except OSError:
        return None
    entries = [entry for entry in raw.split(b"\0") if entry]
    if not all(b"=" in entry for entry in entries):
        return None
    pairs = (os.fsdecode(entry).partition("=") for entry in entries)
    return {name: value for name, _, value in pairs}


def verify_environment(profile: Profile) -> None:
    """Check that every environment pin of the profile stands, and stood from the start.

    Raises:
        PinError: a variable is missing, has another value or was set too late.
    """
    started_with = initial_environment()
    for pin in profile.pins:
        if pin.kind is not PinKind.ENV:
            continue
        now = os.environ.get(pin.name)
        if now != pin.value:
            raise not_in_force(pin, profile, "not set" if now is None else now)
        if started_with is None:
            continue
        then = started_with.get(pin.name)
        if then != pin.value:
            found = (
                f"{now}, set too late: {'nothing' if then is None else then} when Python started"
            )
            raise not_in_force(pin, profile, found)
    if hashes_are_randomised():
        hash_seed = next(pin for pin in profile.pins if pin.name == "PYTHONHASHSEED")
        raise not_in_force(hash_seed, profile, "hashes of strings are randomised")


def hashes_are_randomised() -> bool:
    """Whether this interpreter began with a random hash seed."""
    return bool(sys.flags.hash_randomization)


def not_in_force(pin: Pin, profile: Profile, found: str, *, hint: str | None = None) -> PinError:
    """The error for a pin that does not hold, with what a person can do about it."""
    return PinError(
        f"{pin.name} is not in force, and the profile {profile.name} needs it: {pin.reason}",
        where=f"pin {pin.name}",
        expected=pin.value,
        found=found,
        hint=hint if hint is not None else _start_again(profile),
    )


def _start_again(profile: Profile) -> str:
    variables = " ".join(
        f"{name}={shlex.quote(value)}" for name, value in profile.environment().items()
    )
    return (
        "let goldtrace start the process (pytest or goldtrace check do), or start Python with "
        f"the pins in place: env {variables} python …"
    )
