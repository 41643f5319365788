from __future__ import annotations

import importlib.metadata
import platform
import subprocess
import sys
from pathlib import Path

import pytest

from goldtrace.determinism import PROFILES, PinKind, profile_for
from goldtrace.determinism.numpy_groups import numpy_avx512_groups
from goldtrace.determinism.switches import EFFECTS, SWITCHES
from goldtrace.errors import SpecError
from goldtrace.model.machine import Processor, cpuid_words, parse_cpuinfo, processor, without_absent

AVX2 = frozenset({"avx2", "fma", "f16c"})
HASWELL = Processor(architecture="x86_64", vendor="GenuineIntel", flags=AVX2)
SKYLAKE_SERVER = Processor(
    architecture="x86_64",
    vendor="GenuineIntel",
    flags=AVX2 | {"avx512f", "avx512cd", "avx512bw", "avx512dq", "avx512vl"},
)
GRACE = Processor(architecture="aarch64", flags=frozenset({"asimd", "sve"}))


@pytest.mark.parametrize("device", ["cpu", "cuda"])
@pytest.mark.parametrize("name", PROFILES)
def test_every_pin_has_a_reason_a_reader_and_a_way_to_be_checked(name: str, device: str) -> None:
    profile = profile_for(name, device)

    for pin in profile.pins:
        assert pin.reason
        assert pin.read_by
        if pin.kind in (PinKind.TORCH, PinKind.THREADS):
            assert pin.name in SWITCHES
        if pin.kind is PinKind.EFFECT:
            assert pin.name in EFFECTS
    assert len({pin.name for pin in profile.pins}) == len(profile.pins)


def test_the_portable_profile_pins_every_dispatch_and_one_thread() -> None:
    environment = profile_for("cpu-portable", "cpu", cpu=HASWELL).environment()

    assert environment["PYTHONHASHSEED"] == "0"
    assert environment["MKL_CBWR"] == "COMPATIBLE"
    assert environment["ATEN_CPU_CAPABILITY"] == "avx2"
    assert environment["ONEDNN_MAX_CPU_ISA"] == "AVX2"
    assert environment["OPENBLAS_CORETYPE"] == "Haswell"
    threads = {name: value for name, value in environment.items() if name.endswith("_THREADS")}
    assert threads
    assert set(threads.values()) == {"1"}


@pytest.mark.parametrize("name", PROFILES)
def test_a_run_on_cuda_always_takes_the_profile_cuda(name: str) -> None:
    profile = profile_for(name, "cuda")

    assert profile.name == "cuda"
    assert profile.environment()["CUBLAS_WORKSPACE_CONFIG"] == ":4096:8"


def test_the_profile_cuda_pins_the_host_as_the_portable_profile_does() -> None:
    host = profile_for("cpu-portable", "cpu", cpu=HASWELL).environment()

    assert host.items() <= profile_for("cuda", "cuda", cpu=HASWELL).environment().items()


def test_a_gpu_behind_an_arm_host_gets_no_pins_of_x86() -> None:
    environment = profile_for("cuda", "cuda", cpu=GRACE).environment()

    assert "MKL_CBWR" not in environment
    assert "ATEN_CPU_CAPABILITY" not in environment
    assert "CUBLAS_WORKSPACE_CONFIG" in environment


def test_the_native_profile_fixes_the_number_of_threads_and_no_instruction_set(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("OMP_NUM_THREADS", "3")

    environment = profile_for("cpu-native", "cpu").environment()

    assert environment["OMP_NUM_THREADS"] == environment["MKL_NUM_THREADS"] == "3"
    assert "MKL_CBWR" not in environment
    assert "ATEN_CPU_CAPABILITY" not in environment


def test_an_unknown_profile_is_an_error_that_lists_the_known_ones() -> None:
    with pytest.raises(SpecError, match="unknown profile") as caught:
        profile_for("cpu-protable", "cpu")

    assert caught.value.found == "cpu-protable"
    assert "cpu-portable" in str(caught.value.expected)


@pytest.mark.parametrize(
    ("version", "groups"),
    [
        ("1.26.4", ("AVX512F", "AVX512CD", "AVX512_SKX")),
        ("2.3.5", ("AVX512F", "AVX512CD", "AVX512_SKX")),
        ("2.4.0rc1", ("X86_V4",)),
        ("3.0.0", ("X86_V4",)),
    ],
)
def test_numpy_is_told_to_disable_what_it_knows_and_the_cpu_has(
    version: str, groups: tuple[str, ...]
) -> None:
    assert numpy_avx512_groups(version, SKYLAKE_SERVER) == groups
    assert numpy_avx512_groups(version, HASWELL) == ()


def test_numpy_accepts_the_variable_on_this_machine_without_a_warning() -> None:
    version = importlib.metadata.version("numpy")
    profile = profile_for("cpu-portable", "cpu", numpy_version=version)
    names = [pin.value for pin in profile.pins if pin.name == "NPY_DISABLE_CPU_FEATURES"]
    code = (
        "import numpy._core._multiarray_umath as u\n"
        "print([n for n in u.__cpu_dispatch__ if n.startswith(('AVX512', 'X86_V4'))"
        " and u.__cpu_features__[n]])"
    )

    answer = subprocess.run(
        [sys.executable, "-W", "error", "-c", code],
        env={"NPY_DISABLE_CPU_FEATURES": " ".join(names)},
        capture_output=True,
        text=True,
        check=False,
    )

    assert answer.stderr == ""
    assert answer.stdout.strip() == "[]"


def test_a_value_that_follows_the_machine_is_not_recorded() -> None:
    names = {p.name for p in profile_for("cpu-portable", "cpu", cpu=SKYLAKE_SERVER).pins}
    recorded = {
        p.name: p.value
        for p in profile_for("cpu-portable", "cpu", cpu=SKYLAKE_SERVER).pins
        if p.recorded
    }

    assert "NPY_DISABLE_CPU_FEATURES" in names
    assert recorded == {
        p.name: p.value for p in profile_for("cpu-portable", "cpu", cpu=HASWELL).pins if p.recorded
    }


def test_the_processor_is_read_from_cpuinfo_of_x86_and_of_arm() -> None:
    x86 = "processor\t: 0\nvendor_id\t: AuthenticAMD\nmodel name\t: AMD EPYC\nflags\t\t: fpu avx2\n"
    arm = "processor\t: 0\nFeatures\t: fp asimd sve\nCPU implementer\t: 0x41\nCPU part\t: 0xd4f\n"

    amd = parse_cpuinfo(x86 + "\n" + x86.replace("AMD EPYC", "other"), "x86_64")
    assert (amd.vendor, amd.model, amd.flags) == (
        "AuthenticAMD",
        "AMD EPYC",
        frozenset({"fpu", "avx2"}),
    )
    assert parse_cpuinfo(arm, "aarch64").isa == "sve"
    assert parse_cpuinfo("", "riscv64").isa == "default"


def test_what_the_cpu_itself_denies_does_not_count() -> None:
    # CPUID leaves 1 and 7 of an emulated Nehalem on a machine whose cpuinfo lists AVX-512.
    nehalem = {0: (0x106A3, 0x800, 0x80982201, 0x78BFBFD), 1: (0, 0, 0, 0)}

    assert without_absent(SKYLAKE_SERVER, nehalem).isa == "sse"
    assert without_absent(SKYLAKE_SERVER, None) is SKYLAKE_SERVER
    assert without_absent(GRACE, nehalem) is GRACE


@pytest.mark.skipif(
    platform.machine() != "x86_64" or not Path("/proc/cpuinfo").exists(), reason="Linux on x86-64"
)
def test_on_a_real_machine_cpuid_takes_nothing_away() -> None:
    cpuinfo = parse_cpuinfo(Path("/proc/cpuinfo").read_text(encoding="utf-8"), "x86_64")

    assert without_absent(cpuinfo, cpuid_words()) == cpuinfo
    assert processor().flags == cpuinfo.flags


def test_the_universal_profile_pins_neither_threads_nor_instruction_sets() -> None:
    environment = profile_for("universal", "cpu").environment()

    assert not any(name.endswith("_THREADS") for name in environment)
    assert "MKL_CBWR" not in environment
    assert profile_for("universal", "cpu", cpu=GRACE).pins == profile_for("universal", "cpu").pins
