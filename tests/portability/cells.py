"""Which runs are held against their goldens on which CPUs, as data."""

from __future__ import annotations

import enum
from dataclasses import dataclass
from pathlib import Path

PORTABLE = Path("golden")
UNIVERSAL = Path("tests") / "portability" / "golden"


class Machine(str, enum.Enum):
    """Where a process runs: on this machine, or under an emulated CPU of ``qemu-user``."""

    HOST = "this machine"
    HASWELL = "Haswell"
    SKYLAKE = "Skylake-Client"
    EPYC = "EPYC"
    ROME = "EPYC-Rome"
    MAX = "max"
    NEHALEM = "Nehalem"
    ARM = "aarch64"


AVX2 = (Machine.HASWELL, Machine.SKYLAKE, Machine.EPYC, Machine.ROME, Machine.MAX)
"""The emulated CPUs that the profile ``cpu-portable`` covers."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Cell:
    """The first ``steps`` of a run on a machine, with ``threads`` asked for by the environment.

    ``core`` binds the process to one core. ``incomparable`` says that the machine is one that the
    profile does not cover, so that the whole command has to refuse it.
    """

    folder: Path
    run: str
    steps: int
    machine: Machine
    threads: int | None = None
    core: bool = False
    incomparable: bool = False

    @property
    def name(self) -> str:
        """How the cell is called in the table, unique."""
        threads = f", OMP_NUM_THREADS={self.threads}" if self.threads else ""
        core = ", bound to one core" if self.core else ""
        steps = "" if self.incomparable else f", {self.steps} step{'s' * (self.steps > 1)}"
        return f"{self.run}{steps}, {self.machine.value}{threads}{core}"


def _portable(run: str, steps: int, machine: Machine, **circumstances: object) -> Cell:
    return Cell(folder=PORTABLE, run=run, steps=steps, machine=machine, **circumstances)  # type: ignore[arg-type]


def _universal(run: str, machine: Machine, **circumstances: object) -> Cell:
    steps = 3 if run == "transformer-universal" else 2 if machine is Machine.HOST else 1
    return Cell(folder=UNIVERSAL, run=run, steps=steps, machine=machine, **circumstances)  # type: ignore[arg-type]


_ON_HOST = [{"threads": 1}, {"threads": 2}, {"threads": 4}, {"core": True}]
_UNIVERSAL = ("transformer-universal", "resnet18-universal")

CELLS = (
    *(_portable("transformer", 3, Machine.HOST, **how) for how in _ON_HOST),
    *(_portable("resnet18-synthetic", 1, Machine.HOST, **how) for how in _ON_HOST),
    *(_portable("resnet18-cifar10", 1, Machine.HOST, **how) for how in _ON_HOST),
    *(_portable("transformer", 3, machine) for machine in AVX2),
    _portable("transformer", 3, Machine.NEHALEM, incomparable=True),
    *(_universal(run, Machine.HOST, **how) for run in _UNIVERSAL for how in [{}, *_ON_HOST]),
    *(
        _universal(run, machine)
        for run in _UNIVERSAL
        for machine in (*AVX2, Machine.NEHALEM, Machine.ARM)
    ),
    *(_portable(run, 1, m) for m in AVX2 for run in ("resnet18-synthetic", "resnet18-cifar10")),
)
"""The cheap ones first: a ResNet-18 step takes minutes under emulation."""
