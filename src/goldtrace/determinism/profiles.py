"""Every pin that makes a run deterministic, as data: its value, its reason and who reads it."""

from __future__ import annotations

import dataclasses
import enum
import importlib.metadata
from dataclasses import dataclass
from typing import TYPE_CHECKING

from goldtrace.determinism.numpy_groups import numpy_avx512_groups
from goldtrace.errors import SpecError
from goldtrace.model.machine import processor, thread_count

if TYPE_CHECKING:
    from goldtrace.model.machine import Processor


class PinKind(str, enum.Enum):
    """How a pin is put in force."""

    ENV = "environment"
    """A variable that must stand before the interpreter starts."""
    TORCH = "torch"
    """A switch of torch, set inside the process and restored afterwards."""
    THREADS = "threads"
    """A number of threads, set inside the process and restored afterwards."""
    EFFECT = "effect"
    """What the other pins bring about inside a library; only read, never set."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Pin:
    """One setting that decides bits.

    ``name`` is the environment variable, or the switch as a reader of torch knows it. ``read_by``
    lists the libraries that heed it. A pin whose value follows the machine is not ``recorded``:
    a pin of kind ``EFFECT`` then says what it brings about.
    """

    name: str
    kind: PinKind
    value: str
    reason: str
    read_by: tuple[str, ...]
    recorded: bool = True


@dataclass(frozen=True, slots=True, kw_only=True)
class Profile:
    """A named set of pins for one kind of device (``cpu`` or ``cuda``).

    ``canaries`` tells whether the bits that the CPU computes under these pins are known.
    """

    name: str
    device: str
    pins: tuple[Pin, ...]
    canaries: bool = False

    def environment(self) -> dict[str, str]:
        """The variables that must stand before the interpreter starts."""
        return {pin.name: pin.value for pin in self.pins if pin.kind is PinKind.ENV}


def _env(name: str, value: str, reason: str, *read_by: str) -> Pin:
    return Pin(name=name, kind=PinKind.ENV, value=value, reason=reason, read_by=read_by)


def _torch(name: str, value: str, reason: str, *read_by: str) -> Pin:
    return Pin(name=name, kind=PinKind.TORCH, value=value, reason=reason, read_by=read_by)


_PYTHON = (
    _env("PYTHONHASHSEED", "0", "the order of sets of strings follows the hash seed", "python"),
)

_ALGORITHMS = "torch.use_deterministic_algorithms"

_TORCH = (
    _torch(
        _ALGORITHMS,
        "error",
        "operators without a deterministic kernel raise (or warn, under warn_only)",
        "torch",
    ),
    _env(
        "TORCHINDUCTOR_DETERMINISTIC",
        "1",
        "torch.compile picks kernels by timing them",
        "torch",
    ),
    _torch(
        "torch.float32_matmul_precision",
        "highest",
        "lower precisions let cuBLAS and oneDNN round factors to TF32 or bfloat16",
        "cublas",
        "onednn",
    ),
    _torch(
        "torch.backends.mkldnn.fp32_precision",
        "ieee",
        "lower precisions let oneDNN round convolutions and RNNs to TF32 or bfloat16",
        "onednn",
    ),
)

_FILL_REASON = (
    "filled, memory that is read before it is written holds NaN; filling costs a CPU a twentieth "
    "of a step, and happens there only for operators that need it (linalg_lstsq before torch 2.12)"
)

_FILLED = _torch(
    "torch.utils.deterministic.fill_uninitialized_memory",
    "True",
    _FILL_REASON,
    "torch",
)

_NOT_FILLED = _torch(
    "torch.utils.deterministic.fill_uninitialized_memory",
    "False",
    _FILL_REASON,
    "torch",
)

_SQUARE_ROOT = Pin(
    name="torch.sqrt",
    kind=PinKind.TORCH,
    value="correctly rounded",
    reason="MKL's vector sqrt differs by CPU even under MKL_CBWR=COMPATIBLE",
    read_by=("torch",),
)

_PRODUCTS = Pin(
    name="torch.mm",
    kind=PinKind.TORCH,
    value="numpy",
    reason="float32 products under MKL_CBWR=COMPATIBLE take four times as long as OpenBLAS' AVX2",
    read_by=("torch",),
)

_UNIVERSAL = Pin(
    name="goldtrace.universal",
    kind=PinKind.TORCH,
    value="float64",
    reason="float64 between the float32 values that are kept hides the last bits of every kernel",
    read_by=("torch",),
)

# The instruction sets that every x86-64 CPU with AVX2 has, so that all take the same kernels.
_PORTABLE_X86 = (
    _env(
        "MKL_CBWR",
        "COMPATIBLE",
        "MKL's GEMM and vector math take the only code path that Intel and AMD share",
        "mkl",
    ),
    _env(
        "ATEN_CPU_CAPABILITY",
        "avx2",
        "softmax, attention, normal draws, optimizers and norms are dispatched by ISA",
        "torch",
    ),
    _env("ONEDNN_MAX_CPU_ISA", "AVX2", "convolution, gelu, LSTM are dispatched by ISA", "onednn"),
    _env(
        "ONEDNN_DEFAULT_FPMATH_MODE",
        "STRICT",
        "other modes let float32 be computed in lower precision where the CPU can",
        "onednn",
    ),
    _env("OPENBLAS_CORETYPE", "Haswell", "matrix products of numpy are dispatched by CPU", "numpy"),
    _SQUARE_ROOT,
    _PRODUCTS,
    Pin(
        name="torch.backends.cpu.get_cpu_capability()",
        kind=PinKind.EFFECT,
        value="AVX2",
        reason="ATEN_CPU_CAPABILITY is ignored where the CPU has no AVX2",
        read_by=("torch",),
    ),
    Pin(
        name="mkl.cbwr",
        kind=PinKind.EFFECT,
        value="COMPATIBLE",
        reason="MKL reads MKL_CBWR once and keeps silent when it comes too late",
        read_by=("mkl",),
    ),
    Pin(
        name="numpy.avx512",
        kind=PinKind.EFFECT,
        value="off",
        reason="exp, pow and others of numpy differ between AVX2 and AVX-512",
        read_by=("numpy",),
    ),
)


def _threads(count: int) -> tuple[Pin, ...]:
    number = str(count)
    reason = "sums are split by the number of threads"
    return (
        _env("OMP_NUM_THREADS", number, reason, "torch", "onednn", "openblas"),
        _env("MKL_NUM_THREADS", number, reason, "mkl"),
        _env("OPENBLAS_NUM_THREADS", number, reason, "numpy"),
        _env("NUMEXPR_NUM_THREADS", number, reason, "numexpr"),
        _env("VECLIB_MAXIMUM_THREADS", number, reason, "accelerate"),
        _env("OMP_DYNAMIC", "FALSE", "OpenMP may take fewer threads under load", "openmp"),
        _env("MKL_DYNAMIC", "FALSE", "MKL may take fewer threads under load", "mkl"),
        Pin(
            name="torch.num_threads",
            kind=PinKind.THREADS,
            value=number,
            reason=reason,
            read_by=("torch",),
        ),
        Pin(
            name="threadpools",
            kind=PinKind.EFFECT,
            value=number,
            reason="the thread pools of every loaded BLAS and OpenMP, as threadpoolctl sees them",
            read_by=("openblas", "openmp"),
        ),
    )


_CUDA = (
    _env(
        "CUBLAS_WORKSPACE_CONFIG",
        ":4096:8",
        "cuBLAS picks among workspaces by timing unless they are fixed",
        "cublas",
    ),
    _env(
        "CUDA_DEVICE_ORDER",
        "PCI_BUS_ID",
        "device 0 is the same card for CUDA and for the driver that describes it",
        "cuda",
    ),
    _env(
        "TRITON_DEFAULT_FP_FUSION",
        "1",
        "Triton 3.10 changes the default: fused multiply-add rounds once, two operators twice",
        "triton",
    ),
    _env(
        "NCCL_ALGO",
        "Ring",
        "NCCL picks ring, tree or NVLS by size and topology, each with its own order of sums",
        "nccl",
    ),
    _env(
        "NCCL_PROTO",
        "Simple",
        "LL, LL128 and Simple cut a message differently, and so the ring begins elsewhere",
        "nccl",
    ),
    _torch("torch.backends.cudnn.deterministic", "True", "some algorithms add atomically", "cudnn"),
    _torch("torch.backends.cudnn.benchmark", "False", "algorithms are chosen by timing", "cudnn"),
    _torch(
        "torch.backends.cudnn.fp32_precision",
        "ieee",
        "convolutions and RNNs round to TF32 by default",
        "cudnn",
    ),
    _torch(
        "torch.backends.cuda.matmul.allow_fp16_reduced_precision_reduction",
        "False",
        "partial sums in float16 depend on how the product is split",
        "cublas",
    ),
    _torch(
        "torch.backends.cuda.matmul.allow_bf16_reduced_precision_reduction",
        "False",
        "partial sums in bfloat16 depend on how the product is split",
        "cublas",
    ),
    _torch(
        "torch.backends.cuda.matmul.allow_fp16_accumulation",
        "False",
        "sums in float16 instead of float32",
        "cublas",
    ),
    _torch(
        "torch.backends.cuda.cudnn_sdp_enabled",
        "False",
        "cuDNN's attention has no backward pass that torch takes for deterministic",
        "cudnn",
    ),
)

# torch lets these add atomically where it may only warn (at::_flash_attention_backward and
# _efficient_attention_backward); otherwise they add in a fixed order.
_CUDA_WARNING_ONLY = tuple(
    _torch(
        f"torch.backends.cuda.{backend}_sdp_enabled",
        "False",
        "under warn_only its backward pass adds atomically: attention takes plain products instead",
        "torch",
    )
    for backend in ("flash", "mem_efficient")
)


def _numpy(version: str | None, cpu: Processor) -> tuple[Pin, ...]:
    if version is None:
        try:
            version = importlib.metadata.version("numpy")
        except importlib.metadata.PackageNotFoundError:
            return ()
    groups = numpy_avx512_groups(version, cpu)
    if not groups:
        return ()
    return (
        Pin(
            name="NPY_DISABLE_CPU_FEATURES",
            kind=PinKind.ENV,
            value=" ".join(groups),
            reason="exp, pow and others of numpy differ between AVX2 and AVX-512",
            read_by=("numpy",),
            recorded=False,
        ),
    )


PROFILES = ("cpu-portable", "cpu-native", "universal", "cuda")
"""The names that ``profile_for`` knows."""


def profile_for(
    name: str,
    device: str,
    *,
    numpy_version: str | None = None,
    cpu: Processor | None = None,
) -> Profile:
    """The profile of a run on a device; on ``cuda`` always the profile ``cuda``.

    The profile ``cuda`` pins the CPU as ``cpu-portable`` does, because weights are drawn and data
    is prepared there. ``numpy_version`` is the numpy of the interpreter to be started, this
    one's unless told otherwise; ``cpu`` the processor, this machine's unless told otherwise.

    Raises:
        SpecError: no profile has this name.
    """
    cpu = processor() if cpu is None else cpu
    if name not in PROFILES:
        raise SpecError("unknown profile", expected=" or ".join(PROFILES), found=name)
    if name == "cpu-native" and device != "cuda":
        pins = (*_PYTHON, *_TORCH, _FILLED, *_threads(thread_count()))
        return Profile(name=name, device=device, pins=pins)
    if name == "universal" and device != "cuda":
        pins = (*_PYTHON, *_TORCH, _NOT_FILLED, _UNIVERSAL)
        return Profile(name=name, device=device, pins=pins)
    filled = _FILLED if device == "cuda" or name == "cuda" else _NOT_FILLED
    pins = (*_PYTHON, *_TORCH, filled, *_threads(1))
    # On another architecture none of these variables means anything. The profile cpu-portable keeps
    # them, so that it fails there; a GPU behind an Arm host has a platform key of its own.
    portable = (device != "cuda" and name == "cpu-portable") or cpu.is_x86
    if portable:
        pins = (*pins, *_PORTABLE_X86, *_numpy(numpy_version, cpu))
    if device == "cuda" or name == "cuda":
        return Profile(name="cuda", device="cuda", pins=(*pins, *_CUDA), canaries=portable)
    return Profile(name=name, device=device, pins=pins, canaries=portable)


def warning_only(profile: Profile) -> Profile:
    """The profile of a run that lets operators without a deterministic implementation warn."""
    pins = [
        dataclasses.replace(pin, value="warn") if pin.name == _ALGORITHMS else pin
        for pin in profile.pins
    ]
    more = _CUDA_WARNING_ONLY if profile.device == "cuda" else ()
    return dataclasses.replace(profile, pins=(*pins, *more))
