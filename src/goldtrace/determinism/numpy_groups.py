"""The AVX-512 groups that numpy dispatches to, as data."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from goldtrace.model.machine import Processor

# What numpy calls the AVX-512 groups that it dispatches to, by the first release that does, and the
# CPU flags behind each. numpy warns on a name that it does not know, and older ones on a name that
# the CPU lacks.
_AVX512 = ("avx512f", "avx512cd")
_SKX = (*_AVX512, "avx512bw", "avx512dq", "avx512vl")
_CNL = (*_SKX, "avx512ifma", "avx512vbmi")
_ICL = (*_CNL, "avx512_vnni", "avx512_vbmi2", "avx512_bitalg", "avx512_vpopcntdq")
_SPR = (*_ICL, "avx512_fp16")
_NUMPY_GROUPS: tuple[tuple[tuple[int, int], dict[str, tuple[str, ...]]], ...] = (
    ((2, 4), {"X86_V4": _SKX, "AVX512_ICL": _ICL, "AVX512_SPR": (*_SPR, "avx512_bf16")}),
    (
        (2, 3),
        {
            "AVX512F": _AVX512[:1],
            "AVX512CD": _AVX512,
            "AVX512_SKX": _SKX,
            "AVX512_CLX": (*_SKX, "avx512_vnni"),
            "AVX512_CNL": _CNL,
            "AVX512_ICL": _ICL,
            "AVX512_SPR": _SPR,
        },
    ),
    (
        (1, 20),
        {
            "AVX512F": _AVX512[:1],
            "AVX512CD": _AVX512,
            "AVX512_SKX": _SKX,
            "AVX512_CLX": (*_SKX, "avx512_vnni"),
            "AVX512_CNL": _CNL,
            "AVX512_ICL": _ICL,
        },
    ),
)


def numpy_avx512_groups(version: str, cpu: Processor) -> tuple[str, ...]:
    """The names by which numpy of this version disables what this CPU has of AVX-512."""
    release = tuple(int(part) for part in version.split(".")[:2])
    for first, groups in _NUMPY_GROUPS:
        if release >= first:
            have = cpu.flags or frozenset()
            return tuple(name for name, flags in groups.items() if have.issuperset(flags))
    return ()
