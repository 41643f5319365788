"""Pins and seeds: what makes two executions of one run give the same bits."""

from __future__ import annotations

from goldtrace.determinism.context import InForce, deterministic, pinned
from goldtrace.determinism.importing import imports_draw_nothing
from goldtrace.determinism.profiles import PROFILES, Pin, PinKind, Profile, profile_for
from goldtrace.determinism.refusal import explained_refusal
from goldtrace.determinism.seeding import (
    generator,
    register_generator,
    rng_states,
    seed_everything,
    seed_worker,
    stream_name,
)

__all__ = [
    "PROFILES",
    "InForce",
    "Pin",
    "PinKind",
    "Profile",
    "deterministic",
    "explained_refusal",
    "generator",
    "imports_draw_nothing",
    "pinned",
    "profile_for",
    "register_generator",
    "rng_states",
    "seed_everything",
    "seed_worker",
    "stream_name",
]
