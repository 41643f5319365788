"""What goldtrace's plugin adds to the start of pytest: at most 10 ms.

A process that has started pytest once forks others that start it again, with the plugin and with
an empty one in alternation, in an empty directory and with every other plugin left out, so that
nothing else has imported what the plugin needs. The empty one is there because ``-p`` has pytest
look through all installed distributions. What the interpreter and pytest import themselves is there
already: it takes 300 ms of processor time, on a shared machine give or take 50, and would hide what
is looked for.
"""

from __future__ import annotations

import os
import statistics
import sys
import tempfile
from pathlib import Path

import pytest

ROUNDS = 50
BUDGET_MS = 10.0
PYTEST = ["-q", "--collect-only", "-p", "no:cacheprovider"]
EMPTY = "empty_plugin"
PLUGIN = "goldtrace.pytest_plugin"


def processor_ms(plugin: str) -> float:
    """Processor time of one start of pytest in a fork of this process, in milliseconds."""
    child = os.fork()
    if child == 0:
        os._exit(pytest.main([*PYTEST, "-p", plugin]))
    _, status, usage = os.wait4(child, 0)
    code = os.waitstatus_to_exitcode(status)
    if code != pytest.ExitCode.NO_TESTS_COLLECTED:
        sys.exit(f"pytest -p {plugin} ended with {code}")
    return 1e3 * (usage.ru_utime + usage.ru_stime)


def measure() -> list[tuple[float, float]]:
    """Milliseconds of each start with the empty plugin, and of the one with ours beside it."""
    with tempfile.TemporaryDirectory() as directory:
        os.chdir(directory)
        Path(f"{EMPTY}.py").touch()
        sys.path.insert(0, directory)
        pytest.main(PYTEST)
        for plugin in (EMPTY, PLUGIN):  # byte code is written once
            processor_ms(plugin)
        pairs = [(processor_ms(EMPTY), processor_ms(PLUGIN)) for _ in range(ROUNDS)]
        os.chdir("/")
    if "goldtrace" in sys.modules:
        sys.exit("goldtrace was imported before the forks")
    return pairs


def main() -> int:
    """Print the figures and say whether the plugin keeps its budget."""
    os.environ["PYTEST_DISABLE_PLUGIN_AUTOLOAD"] = "1"
    shown = os.dup(1)
    with Path(os.devnull).open("wb") as nowhere:
        os.dup2(nowhere.fileno(), 1)
        pairs = measure()
    os.dup2(shown, 1)
    bare = statistics.median(start for start, _ in pairs)
    costs = sorted(with_plugin - start for start, with_plugin in pairs)
    cost = statistics.median(costs)
    print(
        f"start-up of the plugin: {cost:.1f} ms beside {bare:.0f} ms of pytest's own (median of "
        f"{ROUNDS} pairs, half of them within {costs[ROUNDS // 4]:.1f} and "
        f"{costs[3 * ROUNDS // 4]:.1f}; budget {BUDGET_MS:.0f} ms)"
    )
    return 0 if cost <= BUDGET_MS else 1


if __name__ == "__main__":
    sys.exit(main())
