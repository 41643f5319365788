"""Which operators give other bits on another CPU, although every pin of ``cpu-portable`` holds.

``python tests/portability/survey.py [CPU…]`` computes every float32 case of the operator atlas
under the pins, forward and backward, here and under each emulated CPU, and lists what differs:
in how many elements, by how much relative to the largest one, and how far either is from the same
case in float64. What is far from float64 under emulation and not here is the emulator's fault.
What differs by rounding belongs in ``goldtrace.determinism.unportable``. A case of which the
emulator dies is named and passed over.
"""

from __future__ import annotations

import subprocess
import sys
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Iterator

    import torch

    from goldtrace.reference.atlas.case import Case

SEED = 20
CPUS = ("Haswell", "EPYC")


def main(cpus: list[str]) -> None:
    """Compute here and elsewhere, and print what differs."""
    with tempfile.TemporaryDirectory() as scratch:
        here, _ = computed([], Path(scratch) / "here")
        for cpu in cpus:
            there, lost = computed(["qemu-x86_64", "-cpu", cpu], Path(scratch) / cpu)
            print(f"{cpu}: {sum(name in there for name in here)} of {len(here)} results compared")
            if lost:
                print(f"  the emulator died of: {', '.join(lost)}")
            for line in differences(here, there):
                print(f"  {line}", flush=True)


def computed(emulator: list[str], out: Path) -> tuple[dict[str, np.ndarray], list[str]]:
    """The results of all cases by name, and the cases that ended their process."""
    from cells import Cell, Machine
    from verify import environment

    out.mkdir()
    machine = Machine.MAX if emulator else Machine.HOST
    cell = Cell(folder=Path("golden"), run="operators", steps=1, machine=machine)
    command = [*emulator, sys.executable, "-W", "ignore", __file__, "--compute", str(out)]
    # A process that dies is started again, and goes on behind the case that it died of.
    while subprocess.run(command, env=environment(cell), check=False).returncode < 0:
        pass
    found: dict[str, np.ndarray] = {}
    for file in out.glob("*.npz"):
        with np.load(file) as results:
            found |= dict(results)
    return found, sorted(file.stem for file in out.glob("*.begun"))


def compute(out: Path) -> None:
    """Compute each case that was not begun yet, under the profile and in float64, and write it."""
    import torch

    from goldtrace.determinism import deterministic
    from goldtrace.reference.atlas import cases

    with deterministic():
        for case in cases():
            begun = out / f"{case.name}.begun"
            if begun.exists() or (out / f"{case.name}.npz").exists():
                continue
            begun.touch()
            found = {
                name: torch.view_as_real(result).numpy() if result.is_complex() else result.numpy()
                for name, result in both_formats(case)
            }
            np.savez(out / f"{case.name}.npz", **found)
            begun.unlink()


def both_formats(case: Case) -> Iterator[tuple[str, torch.Tensor]]:
    """The results of a case in both formats."""
    import torch

    from goldtrace.reference.operators import results_of

    for dtype in (torch.float32, torch.float64):
        if dtype in case.dtypes:
            try:
                yield from results_of(case, dtype, SEED)
            except Exception as error:  # noqa: BLE001 - what can't be computed isn't compared
                print(f"{case.name}: {error}", file=sys.stderr)


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
