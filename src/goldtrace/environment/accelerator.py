"""The GPU of a run, as its driver describes it."""

from __future__ import annotations

import contextlib
import os
import shutil
import subprocess
import sys
from typing import TYPE_CHECKING, Any

from goldtrace.errors import DeviceUnavailableError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

_QUERY_SECONDS = 20
_MIB = 1024**2


def describe_accelerator() -> dict[str, str]:
    """Model, driver, versions, memory, bus, ECC, clocks and power limit of the first visible GPU.

    What changes while it runs (temperature, current clocks) is left to ``conditions``. Without
    NVML only what torch tells is there; without a GPU the answer is empty.
    """
    facts = _from_torch()
    with nvml_ready() as nvml:
        if nvml is not None:
            facts.update(_from_nvml(nvml))
    return dict(sorted(facts.items()))


def compute_capability() -> str:
    """The architecture of the first visible NVIDIA GPU, such as ``90`` for 9.0.

    Raises:
        DeviceUnavailableError: no GPU is there, or the driver cannot be asked.
    """
    torch = sys.modules.get("torch")
    if torch is not None and torch.cuda.is_initialized():
        return "".join(map(str, torch.cuda.get_device_capability()))
    with nvml_ready() as nvml:
        if nvml is not None:
            handle = first_visible(nvml)
            with contextlib.suppress(nvml.NVMLError):  # a slice of a card has none of its own
                if handle is not None:
                    return "".join(map(str, nvml.nvmlDeviceGetCudaComputeCapability(handle)))
    answer = _nvidia_smi("compute_cap")
    if answer is None and torch is not None and torch.cuda.is_available():
        return "".join(map(str, torch.cuda.get_device_capability()))
    if answer is None:
        raise DeviceUnavailableError(
            "no NVIDIA GPU can be used on this machine",
            expected="a GPU that the driver shows",
            found=f"CUDA_VISIBLE_DEVICES={os.environ.get('CUDA_VISIBLE_DEVICES', '(not set)')}",
            hint="run on a machine with a GPU, or leave cuda out of the devices",
        )
    return answer.replace(".", "")


@contextlib.contextmanager
def nvml_ready() -> Iterator[Any]:
    """The NVML module, ready for use, or ``None`` where it or the driver is missing."""
    try:
        import pynvml
    except ImportError:
        yield None
        return
    try:
        pynvml.nvmlInit()
    except pynvml.NVMLError:
        yield None
        return
    try:
        yield pynvml
    finally:
        pynvml.nvmlShutdown()


def first_visible(nvml: Any) -> Any:
    """The handle of the GPU that CUDA calls device 0; ``None`` if all are hidden."""
    visible = os.environ.get("CUDA_VISIBLE_DEVICES")
    first = "0" if visible is None else visible.split(",")[0].strip()
    try:
        if first.isdecimal():
            return nvml.nvmlDeviceGetHandleByIndex(int(first))
        if first.startswith(("GPU-", "MIG-")):
            return nvml.nvmlDeviceGetHandleByUUID(first)
    except nvml.NVMLError:
        return None
    return None


def _from_nvml(nvml: Any) -> dict[str, str]:
    device = first_visible(nvml)
    if device is None:
        return {}
    questions: dict[str, Callable[[], object]] = {
        "model": lambda: _text(nvml.nvmlDeviceGetName(device)),
        "driver": lambda: _text(nvml.nvmlSystemGetDriverVersion()),
        "driver_cuda": lambda: _cuda_version(nvml.nvmlSystemGetCudaDriverVersion()),
        "vbios": lambda: _text(nvml.nvmlDeviceGetVbiosVersion(device)),
        "memory": lambda: f"{nvml.nvmlDeviceGetMemoryInfo(device).total // _MIB} MiB",
        "memory_bus": lambda: f"{nvml.nvmlDeviceGetMemoryBusWidth(device)} bit",
        "ecc": lambda: "on" if nvml.nvmlDeviceGetEccMode(device)[0] else "off",
        "mig": lambda: "on" if nvml.nvmlDeviceGetMigMode(device)[0] else "off",
        "sm_clock_max": lambda: _clock(nvml, device, nvml.NVML_CLOCK_SM),
        "memory_clock_max": lambda: _clock(nvml, device, nvml.NVML_CLOCK_MEM),
        "power_limit": lambda: f"{nvml.nvmlDeviceGetEnforcedPowerLimit(device) // 1000} W",
        "capability": lambda: ".".join(map(str, nvml.nvmlDeviceGetCudaComputeCapability(device))),
    }
    facts = {}
    for name, ask in questions.items():
        # Consumer cards have no ECC, virtual ones no clocks, older releases of NVML not every
        # question: what is not supported is left out.
        with contextlib.suppress(nvml.NVMLError, AttributeError):
            facts[name] = str(ask())
    return facts


def _from_torch() -> dict[str, str]:
    torch = sys.modules.get("torch")
    if torch is None or not torch.cuda.is_available():
        return {}
    properties = torch.cuda.get_device_properties(torch.cuda.current_device())
    facts = {
        "model": str(properties.name),
        "capability": f"{properties.major}.{properties.minor}",
        "memory": f"{properties.total_memory // _MIB} MiB",
        "multiprocessors": str(properties.multi_processor_count),
    }
    if torch.version.cuda:
        facts["cuda"] = str(torch.version.cuda)
    cudnn = torch.backends.cudnn.version()
    if cudnn:
        facts["cudnn"] = str(cudnn)
    return facts


def _nvidia_smi(field: str) -> str | None:
    """One field of the first GPU from the driver's own command; ``None`` without an answer."""
    command = shutil.which("nvidia-smi")
    visible = os.environ.get("CUDA_VISIBLE_DEVICES", "0").split(",")[0].strip()
    if command is None or visible in {"", "-1"}:
        return None
    try:
        answer = subprocess.run(  # noqa: S603 - the driver's command, with our arguments
            [command, f"--query-gpu={field}", "--format=csv,noheader", f"--id={visible}"],
            capture_output=True,
            text=True,
            check=False,
            timeout=_QUERY_SECONDS,
        )
    except (OSError, subprocess.TimeoutExpired):
        return None
    line = answer.stdout.strip().splitlines()
    return line[0].strip() if answer.returncode == 0 and line else None


def _clock(nvml: Any, device: Any, kind: int) -> str:
    return f"{nvml.nvmlDeviceGetMaxClockInfo(device, kind)} MHz"


def _cuda_version(number: int) -> str:
    return f"{number // 1000}.{number % 1000 // 10}"


def _text(value: str | bytes) -> str:
    return value.decode() if isinstance(value, bytes) else value
