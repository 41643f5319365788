"""Which operators give other bits on another CPU, although every pin of ``cpu-portable`` holds.

``python tests/portability/survey.py [CPU…]`` computes every float32 case of the operator atlas
under the pins, forward and backward, here and under each emulated CPU, and lists what differs:
in how many elements, by how much relative to the largest one, and how far either is from the same
case in float64. What is far from float64 under emulation and not here is the emulator's fault.
What differs by rounding belongs in ``goldtrace.determinism.unportable``.
"""

from __future__ import annotations

import subprocess
import sys
import tempfile
from pathlib import Path

import numpy as np

SEED = 20
CPUS = ("Haswell", "EPYC")


def main(cpus: list[str]) -> None:
    """Compute here and elsewhere, and print what differs."""
    with tempfile.TemporaryDirectory() as scratch:
        here = computed([], Path(scratch) / "here.npz")
        for cpu in cpus:
            there = computed(["qemu-x86_64", "-cpu", cpu], Path(scratch) / f"{cpu}.npz")
            print(f"{cpu}: {sum(name in there for name in here)} of {len(here)} results compared")
            for line in differences(here, there):
                print(f"  {line}", flush=True)


def computed(emulator: list[str], out: Path) -> dict[str, np.ndarray]:
    """The results of all cases in a process of its own, by name."""
    from cells import Cell, Machine
    from verify import environment

    machine = Machine.MAX if emulator else Machine.HOST
    cell = Cell(folder=Path("golden"), run="operators", steps=1, machine=machine)
    command = [*emulator, sys.executable, "-W", "ignore", __file__, "--compute", str(out)]
    subprocess.run(command, env=environment(cell), check=True)
    with np.load(out) as results:
        return dict(results)


def compute(out: Path) -> None:
    """Compute all cases under the profile, and in float64, and write them."""
    import torch

    from goldtrace.determinism import deterministic
    from goldtrace.reference.atlas import cases
    from goldtrace.reference.operators import _results

    found: dict[str, np.ndarray] = {}
    with deterministic():
        for case in cases():
            for dtype in (torch.float32, torch.float64):
                if dtype not in case.dtypes:
                    continue
                try:
                    for name, result in _results(case, dtype, SEED):
                        found[name] = (
                            torch.view_as_real(result).numpy()
                            if result.is_complex()
                            else result.numpy()
                        )
                except Exception as error:  # noqa: BLE001 - what can't be computed isn't compared
                    print(f"{case.name}: {error}", file=sys.stderr)
    np.savez(out, **found)


def differences(here: dict[str, np.ndarray], there: dict[str, np.ndarray]):
    """A line for every float32 result that differs."""
    for name in sorted(here):
        if ".float32" not in name or name not in there:
            continue
        one, other = here[name], there[name]
        if one.tobytes() == other.tobytes():
            continue
        exact = here.get(name.replace(".float32", ".float64"))
        with np.errstate(all="ignore"):
            scale = float(np.nanmax(np.abs(one.astype("f8")))) or 1.0
            apart = np.abs(one.astype("f8") - other.astype("f8")) / scale
            off = (
                ""
                if exact is None
                else ", ".join(
                    f"{float(np.nanmax(np.abs(x - exact))) / scale:.1e}" for x in (one, other)
                )
            )
        count = int((one != other).sum())
        yield f"{name}: {count} of {one.size}, at most {np.nanmax(apart):.1e}; off float64: {off}"


if __name__ == "__main__":
    if sys.argv[1:2] == ["--compute"]:
        compute(Path(sys.argv[2]))
    else:
        main(sys.argv[1:] or list(CPUS))
