"""What the benchmark of false alarms trains, process by process."""

from __future__ import annotations

EACH = 20
"""Trainings in one process."""

THREADS = (1, 2, 4)
PROFILES = ("cpu-portable", "cpu-native")
BUSY = (0, 1, 2, 4)
"""Processes that keep the cores busy meanwhile."""


def circumstances(process: int) -> tuple[str, int]:
    """The profile of a process, and how many others keep the cores busy."""
    return PROFILES[process % len(PROFILES)], BUSY[process // len(PROFILES) % len(BUSY)]


def trainings(process: int, runs: list[str]) -> list[tuple[str, int]]:
    """The run and the number of threads of each training of a process."""
    numbers = range(process * EACH, (process + 1) * EACH)
    return [(runs[n % len(runs)], THREADS[n // len(runs) % len(THREADS)]) for n in numbers]
