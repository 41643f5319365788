"""Enter the canaries of other environments into ``canaries.json``.

``python tests/portability/learn_canaries.py INTERPRETER…`` starts each interpreter under the pins
of ``cpu-portable`` and adds its builds and digests. Look at the difference before you commit it: a
digest that is new has a release behind it that changed a kernel, or a pin that is not in force.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

from goldtrace.determinism import profile_for

FILE = Path(__file__).parents[2] / "src" / "goldtrace" / "determinism" / "canaries.json"
SOURCE = FILE.parents[2]

ASK = """
import json, numpy, torch
from goldtrace.determinism import canary, deterministic
canary.verify_canaries = lambda found: None
with deterministic() as pins:
    found = canary.canary_digests()
print(json.dumps({
    library: {
        "build": canary.build(library),
        "digests": {c.name: found[c.name] for c in canary.CANARIES if c.decided_by == library},
    }
    for library in ("torch", "numpy")
}))
"""


def ask(interpreter: str) -> dict[str, dict[str, object]]:
    """The builds and the digests of an interpreter."""
    version = subprocess.run(
        [interpreter, "-c", "import importlib.metadata as m; print(m.version('numpy'))"],
        capture_output=True,
        text=True,
        check=True,
    ).stdout.strip()
    pins = profile_for("cpu-portable", "cpu", numpy_version=version).environment()
    answer = subprocess.run(
        [interpreter, "-c", ASK],
        env={**os.environ, **pins, "PYTHONPATH": str(SOURCE)},
        capture_output=True,
        text=True,
        check=True,
    )
    return json.loads(answer.stdout)  # type: ignore[no-any-return]


def main(interpreters: list[str]) -> None:
    """Ask and write."""
    table = json.loads(FILE.read_text(encoding="utf-8")) if FILE.exists() else {}
    for interpreter in interpreters:
        for library, found in ask(interpreter).items():
            entry = table.setdefault(library, {"builds": [], "digests": {}})
            entry["builds"] = sorted({*entry["builds"], found["build"]})
            for name, digest in found["digests"].items():  # type: ignore[attr-defined]
                entry["digests"][name] = sorted({*entry["digests"].get(name, []), digest})
    FILE.write_text(json.dumps(table, indent=2, sort_keys=True) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main(sys.argv[1:])
