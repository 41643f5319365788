"""Points about how numbers are computed: they rest on the pins that were verified in the run."""

from __future__ import annotations

from typing import TYPE_CHECKING

from goldtrace.model.checklist import no, not_applicable, yes

if TYPE_CHECKING:
    from collections.abc import Mapping

    from goldtrace.model.checklist import Point
    from goldtrace.model.trace import Header

_RUN_PINNED = "let goldtrace start the run, or wrap the script: goldtrace.deterministic(…)"

_CUDNN = {
    "torch.backends.cudnn.deterministic": "True",
    "torch.backends.cudnn.benchmark": "False",
}
_CUBLAS = {
    "CUBLAS_WORKSPACE_CONFIG": ":4096:8",
    "torch.backends.cuda.matmul.allow_fp16_reduced_precision_reduction": "False",
    "torch.backends.cuda.matmul.allow_bf16_reduced_precision_reduction": "False",
}
_FLOAT32 = {
    "torch.float32_matmul_precision": "highest",
    "torch.backends.mkldnn.fp32_precision": "ieee",
}
_FLOAT32_CUDA = {"torch.backends.cudnn.fp32_precision": "ieee"}


def hash_seed(header: Header) -> Point:
    """``PYTHONHASHSEED``, which decides the order of sets of strings."""
    found = header.pins.get("PYTHONHASHSEED")
    if found is not None and found.isdecimal():
        return yes("hash_seed", "hash seed", f"PYTHONHASHSEED={found}")
    return no(
        "hash_seed",
        "hash seed",
        f"PYTHONHASHSEED is {found or 'not set'}",
        "start the process with PYTHONHASHSEED=0",
    )


def deterministic_algorithms(header: Header) -> Point:
    """``torch.use_deterministic_algorithms``, so that operators without such a kernel raise."""
    key, title = "deterministic_algorithms", "deterministic algorithms"
    found = header.pins.get("torch.use_deterministic_algorithms")
    if found == "error":
        return yes(key, title, "torch.use_deterministic_algorithms(True)")
    if found == "warn":
        return no(
            key,
            title,
            "operators without a deterministic kernel only warn",
            "remove warn_only from the run, and replace the operators that then raise",
        )
    return no(key, title, "not in force", _RUN_PINNED)


def cudnn(header: Header) -> Point:
    """CuDNN takes deterministic algorithms, chosen without timing them."""
    return _on_cuda("cudnn", "cuDNN settings", header, _CUDNN)


def cublas(header: Header) -> Point:
    """CuBLAS has a fixed workspace and sums in full precision."""
    return _on_cuda("cublas", "cuBLAS settings", header, _CUBLAS)


def tf32(header: Header) -> Point:
    """Float32 is computed in float32, not in TF32 or bfloat16."""
    wanted = {**_FLOAT32, **(_FLOAT32_CUDA if header.device == "cuda" else {})}
    return _pinned("tf32", "TF32 off", header.pins, wanted)


def _on_cuda(key: str, title: str, header: Header, wanted: Mapping[str, str]) -> Point:
    if header.device != "cuda":
        return not_applicable(key, title, f"the run computes on {header.device}")
    return _pinned(key, title, header.pins, wanted)


def _pinned(key: str, title: str, pins: Mapping[str, str], wanted: Mapping[str, str]) -> Point:
    wrong = {name: pins.get(name) for name, value in wanted.items() if pins.get(name) != value}
    if not wrong:
        return yes(key, title, ", ".join(f"{name} {value}" for name, value in wanted.items()))
    found = ", ".join(f"{name} {value or 'not in force'}" for name, value in wrong.items())
    return no(key, title, found, _RUN_PINNED)
