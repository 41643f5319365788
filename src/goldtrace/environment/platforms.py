"""Which golden applies on this machine."""

from __future__ import annotations

import functools
import importlib.util
import platform
from pathlib import Path
from typing import TYPE_CHECKING

from goldtrace.environment.accelerator import compute_capability
from goldtrace.errors import PlatformUnsupportedError
from goldtrace.model.machine import processor, thread_count

if TYPE_CHECKING:
    from goldtrace.model.machine import Processor

UNSUPPORTED = "cpu-portable-unsupported"
"""The key of ``cpu-portable`` on a machine that the profile does not cover: no golden has it."""


def platform_key(profile: str, device: str, *, cpu: Processor | None = None) -> str:
    """The name of the platform whose golden a run under this profile is held against.

    ``cpu-portable``; ``cpu-native-<isa>-<blas>-t<threads>`` with an ISA such as ``avx512`` or
    ``amd.avx2`` (libraries choose by vendor, too); ``cuda-sm90``, with ``-aarch64`` where the
    host is no x86-64, because weights are drawn on the host. Found without importing torch.

    Raises:
        DeviceUnavailableError: ``cuda`` where no GPU can be used.
    """
    cpu = processor() if cpu is None else cpu
    if device == "cuda":
        host = "" if cpu.is_x86 else f"-{cpu.architecture}"
        return f"cuda-sm{compute_capability()}{host}"
    if profile == "cpu-portable":
        return profile if cpu.has_avx2 else UNSUPPORTED
    if profile == "cpu-native":
        vendor = "amd." if cpu.vendor == "AuthenticAMD" else ""
        return f"cpu-native-{vendor}{cpu.isa}-{_blas(cpu)}-t{thread_count()}"
    return profile


def platform_problem(profile: str, device: str, *, cpu: Processor | None = None) -> str | None:
    """Why no golden can apply on this machine, in a sentence; ``None`` where one can."""
    cpu = processor() if cpu is None else cpu
    if device == "cuda" or profile != "cpu-portable" or cpu.has_avx2:
        return None
    lacks = "its CPU has no AVX2" if cpu.is_x86 else f"its architecture is {cpu.architecture}"
    return f"cpu-portable goldens hold on x86-64 CPUs with AVX2 only, and of this machine: {lacks}"


def require_platform(profile: str, device: str) -> None:
    """Refuse a machine that the profile does not cover, before anything is started there.

    Raises:
        PlatformUnsupportedError: no golden can apply; ``platform_problem`` says why.
    """
    problem = platform_problem(profile, device)
    if problem is not None:
        raise PlatformUnsupportedError(
            problem,
            where=f"profile {profile}",
            hint='profile = "universal" holds everywhere; "cpu-native" has goldens of its own',
        )


@functools.cache
def _blas(cpu: Processor) -> str:
    """The BLAS that the installed torch computes with, told from its files."""
    spec = importlib.util.find_spec("torch")
    if spec is not None and spec.origin is not None:
        package = Path(spec.origin).parent
        folders = (package / "lib", package.with_name("torch.libs"))
        if any(True for folder in folders for _ in folder.glob("libopenblas*")):
            return "openblas"
    if platform.system() == "Darwin":
        return "accelerate"
    return "mkl" if cpu.is_x86 else "openblas"
