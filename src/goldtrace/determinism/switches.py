"""The switches of torch that a pin can turn: how each is read, set and put back."""

from __future__ import annotations

import ctypes
import functools
import sys
from collections.abc import Callable
from dataclasses import dataclass
from operator import attrgetter
from pathlib import Path
from typing import TYPE_CHECKING, Any

from goldtrace.determinism import precision
from goldtrace.determinism.matrix_product import PRODUCTS
from goldtrace.determinism.scratch_memory import FILLED
from goldtrace.determinism.square_root import SQUARE_ROOT

if TYPE_CHECKING:
    from goldtrace.override import Override

Restore = Callable[[], None]


@dataclass(frozen=True, slots=True)
class Switch:
    """``read`` tells the value in force as text; ``put`` sets one and returns the way back."""

    read: Callable[[Any], str]
    put: Callable[[Any, str], Restore]


def _attribute(path: str) -> Switch:
    """A boolean attribute of torch; one that this torch lacks counts as off and stays so."""
    owner, _, name = path.rpartition(".")

    def read(torch: Any) -> str:
        return str(getattr(attrgetter(owner)(torch), name, False))

    def put(torch: Any, value: str) -> Restore:
        holder = attrgetter(owner)(torch)
        if not hasattr(holder, name):
            return _nothing
        before = getattr(holder, name)
        setattr(holder, name, value == "True")
        return lambda: setattr(holder, name, before)

    return Switch(read, put)


def _reduction(dtype: str) -> Switch:
    """Reduced precision of partial sums; newer releases keep a second flag in the same setting."""
    name = f"allow_{dtype}_reduced_precision_reduction"
    plain = _attribute(f"backends.cuda.matmul.{name}")

    def put(torch: Any, value: str) -> Restore:
        matmul = torch.backends.cuda.matmul
        split_k = getattr(matmul, f"{name}_split_k", None)
        if split_k is None:
            return plain.put(torch, value)
        before = (getattr(matmul, name), split_k)
        setattr(matmul, name, value == "True")
        return lambda: setattr(matmul, name, before)

    return Switch(plain.read, put)


def _read_algorithms(torch: Any) -> str:
    if not torch.are_deterministic_algorithms_enabled():
        return "off"
    return "warn" if torch.is_deterministic_algorithms_warn_only_enabled() else "error"


def _put_algorithms(torch: Any, value: str) -> Restore:
    # The same setting as use_deterministic_algorithms, which in newer releases also imports the
    # whole of torch._inductor (seconds) to tell it; a variable does that here.
    before = torch.get_deterministic_debug_mode()
    torch.set_deterministic_debug_mode(value)
    return lambda: torch.set_deterministic_debug_mode(before)


def _attention(backend: str) -> Switch:
    """One implementation of attention on the GPU; one that this torch lacks counts as off."""

    def read(torch: Any) -> str:
        enabled = getattr(torch.backends.cuda, f"{backend}_sdp_enabled", None)
        return "False" if enabled is None else str(enabled())

    def put(torch: Any, value: str) -> Restore:
        enable = getattr(torch.backends.cuda, f"enable_{backend}_sdp", None)
        if enable is None:
            return _nothing
        before = read(torch) == "True"
        enable(value == "True")
        return lambda: enable(before)

    return Switch(read, put)


def _override(override: Override, ours: str, theirs: str) -> Switch:
    def read(_torch: Any) -> str:
        return ours if override.in_force else theirs

    def put(_torch: Any, _value: str) -> Restore:
        override.begin()
        return override.end

    return Switch(read, put)


_FILL = _attribute("utils.deterministic.fill_uninitialized_memory")


def _put_fill(torch: Any, value: str) -> Restore:
    restore = _FILL.put(torch, value)
    if value == "True":
        return restore
    FILLED.begin()

    def undo() -> None:
        FILLED.end()
        restore()

    return undo


def _read_universal(_torch: Any) -> str:
    mode = sys.modules.get("goldtrace.universal")
    return "float64" if mode is not None and mode.in_force() else "off"


def _put_universal(_torch: Any, _value: str) -> Restore:
    from goldtrace import universal

    universal.begin()
    return universal.end


def _put_threads(torch: Any, value: str) -> Restore:
    before = torch.get_num_threads()
    torch.set_num_threads(int(value))
    return lambda: torch.set_num_threads(before)


def _nothing() -> None:
    pass


SWITCHES = {
    "torch.use_deterministic_algorithms": Switch(_read_algorithms, _put_algorithms),
    "torch.utils.deterministic.fill_uninitialized_memory": Switch(_FILL.read, _put_fill),
    "torch.float32_matmul_precision": Switch(
        precision.matmul_precision, lambda torch, _: precision.pin_matmul_precision(torch)
    ),
    "torch.backends.mkldnn.fp32_precision": Switch(
        precision.onednn_precision, lambda torch, _: precision.pin_onednn_precision(torch)
    ),
    "torch.backends.cudnn.fp32_precision": Switch(
        precision.cudnn_precision, lambda torch, _: precision.pin_cudnn_precision(torch)
    ),
    "torch.backends.cudnn.deterministic": _attribute("backends.cudnn.deterministic"),
    "torch.backends.cudnn.benchmark": _attribute("backends.cudnn.benchmark"),
    "torch.backends.cuda.matmul.allow_fp16_reduced_precision_reduction": _reduction("fp16"),
    "torch.backends.cuda.matmul.allow_bf16_reduced_precision_reduction": _reduction("bf16"),
    "torch.backends.cuda.matmul.allow_fp16_accumulation": _attribute(
        "backends.cuda.matmul.allow_fp16_accumulation"
    ),
    "torch.backends.cuda.cudnn_sdp_enabled": _attention("cudnn"),
    "torch.backends.cuda.flash_sdp_enabled": _attention("flash"),
    "torch.backends.cuda.mem_efficient_sdp_enabled": _attention("mem_efficient"),
    "torch.sqrt": _override(SQUARE_ROOT, "correctly rounded", "the vector library's"),
    "torch.mm": _override(PRODUCTS, "numpy", "torch's own"),
    "goldtrace.universal": Switch(_read_universal, _put_universal),
    "torch.num_threads": Switch(lambda torch: str(torch.get_num_threads()), _put_threads),
}
"""The switch behind each pin of the kinds ``TORCH`` and ``THREADS``."""


def _capability(torch: Any) -> str:
    return str(torch.backends.cpu.get_cpu_capability())


# mkl_types.h: the branches of conditional numerical reproducibility, and the query for all bits.
_CBWR_ALL = -1
_CBWR_BRANCHES = {1: "off", 2: "AUTO", 3: "COMPATIBLE", 4: "SSE2", 10: "AVX2", 12: "AVX512"}


@functools.cache
def _mkl_query(library: str) -> Callable[[int], int] | None:
    try:
        loaded = ctypes.CDLL(library)
    except OSError:
        return None
    for symbol in ("mkl_serv_cbwr_get", "MKL_CBWR_Get"):
        query = getattr(loaded, symbol, None)
        if query is not None:
            return query  # type: ignore[no-any-return]
    return None


def _mkl_branch(torch: Any) -> str | None:
    """The code path that MKL has committed itself to; ``None`` where MKL cannot be asked."""
    if not torch.backends.mkl.is_available():
        return None
    for library in Path(torch.__file__).with_name("lib").glob("libtorch_cpu*"):
        query = _mkl_query(str(library))
        if query is not None:
            branch = query(_CBWR_ALL)
            return _CBWR_BRANCHES.get(branch, f"branch {branch}")
    return None


def _numpy_avx512(_torch: Any) -> str | None:
    """Whether numpy dispatches to AVX-512; ``None`` before numpy is loaded."""
    umath = sys.modules.get("numpy._core._multiarray_umath") or sys.modules.get(
        "numpy.core._multiarray_umath"
    )
    if umath is None:
        return None
    wide = [name for name in umath.__cpu_dispatch__ if name.startswith(("AVX512", "X86_V4"))]
    on = [name for name in wide if umath.__cpu_features__.get(name)]
    return " ".join(on) or "off"


def _threadpools(_torch: Any) -> str | None:
    """The largest number of threads of any loaded BLAS or OpenMP; ``None`` when none is loaded."""
    import threadpoolctl

    counts = [int(pool["num_threads"]) for pool in threadpoolctl.threadpool_info()]
    return str(max(counts)) if counts else None


EFFECTS: dict[str, Callable[[Any], str | None]] = {
    "torch.backends.cpu.get_cpu_capability()": _capability,
    "mkl.cbwr": _mkl_branch,
    "numpy.avx512": _numpy_avx512,
    "threadpools": _threadpools,
}
"""How each pin of the kind ``EFFECT`` is read; ``None`` means that there is nothing to read."""
