"""What this machine's processor is, as far as it decides the bits of a computation."""

from __future__ import annotations

import ctypes
import dataclasses
import functools
import os
import platform
import subprocess
from dataclasses import dataclass
from pathlib import Path

_CPUINFO = Path("/proc/cpuinfo")

_X86_AVX2 = frozenset({"avx2", "fma", "f16c"})
_X86_AVX512 = frozenset({"avx512f", "avx512cd", "avx512bw", "avx512dq", "avx512vl"})

ISA_FLAGS = (
    *("sse4_2", "avx", "f16c", "fma", "avx2", "avx_vnni"),
    *("avx512f", "avx512cd", "avx512bw", "avx512dq", "avx512vl", "avx512ifma", "avx512vbmi"),
    *("avx512_vbmi2", "avx512_vnni", "avx512_bitalg", "avx512_vpopcntdq", "avx512_bf16"),
    *("avx512_fp16", "amx_tile", "amx_int8", "amx_bf16", "amx_fp16"),
    *("asimd", "asimdhp", "asimddp", "asimdfhm", "bf16", "i8mm", "sve", "sve2", "svebf16"),
)
"""The instruction sets by which numerical libraries choose their kernels, as Linux names them."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Processor:
    """A processor as the operating system describes it.

    ``architecture`` is ``platform.machine()``; ``flags`` are named as Linux names them, and are
    ``None`` where the operating system does not tell them.
    """

    architecture: str
    vendor: str = ""
    model: str = ""
    flags: frozenset[str] | None = None

    @property
    def is_x86(self) -> bool:
        """Whether this is a 64-bit x86 processor."""
        return self.architecture.lower() in {"x86_64", "amd64"}

    @property
    def has_avx2(self) -> bool:
        """Whether AVX2, FMA and F16C are there; unknown counts as there, to be verified later."""
        return self.is_x86 and (self.flags is None or self.flags >= _X86_AVX2)

    @property
    def isa(self) -> str:
        """The widest instruction set that numerical libraries tell apart, as in a platform key."""
        flags = self.flags or frozenset()
        if self.is_x86:
            if flags >= _X86_AVX512:
                return "avx512.amx" if "amx_tile" in flags else "avx512"
            return "avx2" if flags >= _X86_AVX2 else "sse"
        if "sve" in flags:
            return "sve"
        return "neon" if self.architecture.lower() in {"aarch64", "arm64"} else "default"


@functools.cache
def processor() -> Processor:
    """The processor that this process runs on."""
    architecture = platform.machine()
    if _CPUINFO.exists():
        cpu = parse_cpuinfo(_CPUINFO.read_text(encoding="utf-8", errors="replace"), architecture)
        return without_absent(cpu, cpuid_words())
    if platform.system() == "Darwin":
        return Processor(
            architecture=architecture,
            vendor=_sysctl("machdep.cpu.vendor"),
            model=_sysctl("machdep.cpu.brand_string"),
        )
    return Processor(architecture=architecture, model=platform.processor())


def parse_cpuinfo(text: str, architecture: str) -> Processor:
    """The first processor of a ``/proc/cpuinfo``; x86 and Arm name their fields differently."""
    first: dict[str, str] = {}
    for line in text.splitlines():
        name, colon, value = line.partition(":")
        if colon:
            first.setdefault(name.strip(), value.strip())
    flags = first.get("flags", first.get("Features"))
    return Processor(
        architecture=architecture,
        vendor=first.get("vendor_id", first.get("CPU implementer", "")),
        model=first.get("model name", first.get("CPU part", "")),
        flags=None if flags is None else frozenset(flags.split()),
    )


# Where CPUID tells a flag: the index of glibc's table of leaves, the word (eax to edx), the bit.
_CPUID = {
    "sse4_2": (0, 2, 20),
    "avx": (0, 2, 28),
    "f16c": (0, 2, 29),
    "fma": (0, 2, 12),
    "avx2": (1, 1, 5),
    "avx512f": (1, 1, 16),
    "avx512cd": (1, 1, 28),
    "avx512bw": (1, 1, 30),
    "avx512dq": (1, 1, 17),
    "avx512vl": (1, 1, 31),
    "avx512ifma": (1, 1, 21),
    "avx512vbmi": (1, 2, 1),
    "avx512_vbmi2": (1, 2, 6),
    "avx512_vnni": (1, 2, 11),
    "avx512_bitalg": (1, 2, 12),
    "avx512_vpopcntdq": (1, 2, 14),
    "avx512_fp16": (1, 3, 23),
    "amx_tile": (1, 3, 24),
    "amx_int8": (1, 3, 25),
    "amx_bf16": (1, 3, 22),
}


class _Leaf(ctypes.Structure):
    _fields_ = (("cpuid", ctypes.c_uint32 * 4), ("active", ctypes.c_uint32 * 4))


def cpuid_words() -> dict[int, tuple[int, ...]] | None:
    """The words of the CPUID leaves 1 and 7 by glibc's index; ``None`` without glibc 2.33."""
    try:
        ask = ctypes.CDLL(None)["__x86_get_cpuid_feature_leaf"]
    except (AttributeError, OSError, TypeError):
        return None
    ask.restype = ctypes.POINTER(_Leaf)
    ask.argtypes = [ctypes.c_uint]
    return {index: tuple(ask(index).contents.cpuid) for index in (0, 1)}


def without_absent(cpu: Processor, words: dict[int, tuple[int, ...]] | None) -> Processor:
    """``cpu`` less the flags that the CPU denies when it is asked itself.

    Under an emulator ``/proc/cpuinfo`` describes the machine around it. The kernel's list counts
    as well, because it leaves out what the kernel does not support.
    """
    if not cpu.is_x86 or cpu.flags is None or words is None:
        return cpu
    absent = {
        name for name, (leaf, word, bit) in _CPUID.items() if not words[leaf][word] >> bit & 1
    }
    return dataclasses.replace(cpu, flags=cpu.flags - absent)


def thread_count() -> int:
    """How many threads a run at full speed takes: ``OMP_NUM_THREADS`` if set, else the usable CPUs.

    A child that is started with ``OMP_NUM_THREADS`` at this number finds the same number.
    """
    declared = os.environ.get("OMP_NUM_THREADS", "").split(",")[0].strip()
    if declared.isdecimal() and int(declared) > 0:
        return int(declared)
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def _sysctl(name: str) -> str:
    try:
        answer = subprocess.run(  # noqa: S603 - a fixed command of the operating system
            ["/usr/sbin/sysctl", "-n", name], capture_output=True, text=True, check=False, timeout=5
        )
    except (OSError, subprocess.TimeoutExpired):
        return ""
    return answer.stdout.strip()
