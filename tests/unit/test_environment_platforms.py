from __future__ import annotations

import subprocess
import sys

import pytest

from goldtrace.environment import accelerator, platform_key, platform_problem, platforms
from goldtrace.environment.ci import in_ci
from goldtrace.errors import DeviceUnavailableError
from goldtrace.model.machine import Processor

AVX2 = frozenset({"avx2", "fma", "f16c"})
AVX512 = AVX2 | {"avx512f", "avx512cd", "avx512bw", "avx512dq", "avx512vl"}
HASWELL = Processor(architecture="x86_64", vendor="GenuineIntel", flags=AVX2)
SAPPHIRE = Processor(architecture="x86_64", vendor="GenuineIntel", flags=AVX512 | {"amx_tile"})
EPYC = Processor(architecture="x86_64", vendor="AuthenticAMD", flags=AVX2)
NEHALEM = Processor(architecture="x86_64", vendor="GenuineIntel", flags=frozenset({"sse4_2"}))
GRACE = Processor(architecture="aarch64", flags=frozenset({"asimd", "sve"}))
UNKNOWN = Processor(architecture="AMD64")


@pytest.mark.parametrize("cpu", [HASWELL, SAPPHIRE, EPYC, UNKNOWN])
def test_one_portable_golden_serves_every_x86_cpu_with_avx2(cpu: Processor) -> None:
    assert platform_key("cpu-portable", "cpu", cpu=cpu) == "cpu-portable"
    assert platform_problem("cpu-portable", "cpu", cpu=cpu) is None


@pytest.mark.parametrize(("cpu", "reason"), [(NEHALEM, "no AVX2"), (GRACE, "aarch64")])
def test_a_machine_that_the_portable_profile_does_not_cover_has_a_key_without_goldens(
    cpu: Processor, reason: str
) -> None:
    assert platform_key("cpu-portable", "cpu", cpu=cpu) == platforms.UNSUPPORTED
    assert reason in str(platform_problem("cpu-portable", "cpu", cpu=cpu))
    assert platform_problem("cpu-native", "cpu", cpu=cpu) is None


@pytest.mark.parametrize(
    ("cpu", "blas", "key"),
    [
        (SAPPHIRE, "mkl", "cpu-native-avx512.amx-mkl-t3"),
        (HASWELL, "openblas", "cpu-native-avx2-openblas-t3"),
        (EPYC, "mkl", "cpu-native-amd.avx2-mkl-t3"),
        (NEHALEM, "mkl", "cpu-native-sse-mkl-t3"),
        (GRACE, "openblas", "cpu-native-sve-openblas-t3"),
    ],
)
def test_a_native_key_carries_instruction_set_library_and_threads(
    monkeypatch: pytest.MonkeyPatch, cpu: Processor, blas: str, key: str
) -> None:
    monkeypatch.setenv("OMP_NUM_THREADS", "3")
    monkeypatch.setattr(platforms, "_blas", lambda _cpu: blas)

    assert platform_key("cpu-native", "cpu", cpu=cpu) == key


def test_a_key_of_cuda_carries_the_architecture_and_a_host_that_is_no_x86(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(platforms, "compute_capability", lambda: "90")

    assert platform_key("cpu-portable", "cuda", cpu=HASWELL) == "cuda-sm90"
    assert platform_key("cuda", "cuda", cpu=GRACE) == "cuda-sm90-aarch64"


def test_cuda_without_a_visible_gpu_is_unavailable(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "")
    monkeypatch.setattr(accelerator, "sys", type("Sys", (), {"modules": {}}))

    with pytest.raises(DeviceUnavailableError, match="no NVIDIA GPU"):
        platform_key("cuda", "cuda", cpu=HASWELL)


def test_finding_the_key_imports_neither_torch_nor_numpy() -> None:
    code = (
        "import sys\n"
        "from pathlib import Path\n"
        "from goldtrace.environment import *\n"
        "from goldtrace.determinism import *\n"
        "platform_key('cpu-native', 'cpu'), profile_for('cuda', 'cuda').environment()\n"
        "probe_environment('cpu', root=Path()), revision(Path())\n"
        "print(sorted({'torch', 'numpy'} & set(sys.modules)))\n"
    )

    answer = subprocess.run(
        [sys.executable, "-W", "error", "-c", code], capture_output=True, text=True, check=False
    )

    assert (answer.stdout.strip(), answer.stderr) == ("[]", "")


@pytest.mark.parametrize(
    ("word", "expected"),
    [("true", True), ("1", True), ("woodpecker", True), ("", False), ("0", False)]
    + [(word, False) for word in ("no", "No", "off", "false", "FALSE")],
)
def test_ci_is_set_unless_it_is_set_to_a_word_for_no(
    monkeypatch: pytest.MonkeyPatch, word: str, *, expected: bool
) -> None:
    monkeypatch.setenv("CI", word)
    assert in_ci() is expected
    monkeypatch.delenv("CI")
    assert not in_ci()
