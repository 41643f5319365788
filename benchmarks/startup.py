"""What goldtrace's plugin adds to the start of pytest: at most 10 ms.

Bare pytest and pytest with the plugin alternate, in an empty directory and with every other plugin
left out, so that nothing else has imported what the plugin needs. The smallest processor time of
each side decides: a neighbour's load only ever adds.
"""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile

ROUNDS = 30
BUDGET_MS = 10.0
NO_TESTS = 5  # how pytest ends when it collects nothing
PYTEST = [sys.executable, "-m", "pytest", "-q", "--collect-only", "-p", "no:cacheprovider"]
WITH_PLUGIN = ["-p", "goldtrace.pytest_plugin"]


def processor_ms(arguments: list[str], directory: str) -> float:
    """Processor time of one start of pytest, user and system, in milliseconds."""
    environment = {**os.environ, "PYTEST_DISABLE_PLUGIN_AUTOLOAD": "1"}
    with subprocess.Popen(
        [*PYTEST, *arguments],
        cwd=directory,
        env=environment,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    ) as process:
        _, status, usage = os.wait4(process.pid, 0)
        process.returncode = os.waitstatus_to_exitcode(status)
    if process.returncode != NO_TESTS:
        sys.exit(f"pytest {' '.join(arguments)} ended with {process.returncode}")
    return 1e3 * (usage.ru_utime + usage.ru_stime)


def main() -> int:
    """Print the figures and say whether the plugin keeps its budget."""
    bare: list[float] = []
    plugin: list[float] = []
    with tempfile.TemporaryDirectory() as directory:
        for arguments in ([], WITH_PLUGIN):  # fill the caches of byte code and of the disk
            processor_ms(arguments, directory)
        for _ in range(ROUNDS):
            bare.append(processor_ms([], directory))
            plugin.append(processor_ms(WITH_PLUGIN, directory))
    cost = min(plugin) - min(bare)
    print(
        f"start-up of the plugin: {cost:.1f} ms over a bare pytest's {min(bare):.1f} ms "
        f"(least of {ROUNDS} each; budget {BUDGET_MS:.0f} ms)"
    )
    return 0 if cost <= BUDGET_MS else 1


if __name__ == "__main__":
    sys.exit(main())
