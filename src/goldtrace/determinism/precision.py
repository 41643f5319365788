"""Float32 precision of matrix products, convolutions and RNNs, in the old and the new API of torch.

torch 2.9 brought ``torch.backends.*.fp32_precision`` beside ``allow_tf32`` and
``set_float32_matmul_precision``. After one API was used to set what the other one cannot express,
reading through the other raises: ``torch.backends.cudnn.flags()``, for one, is then broken. The
older API keeps both views readable, so it comes first; the newer one only covers what the older
one left undone.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable
from typing import Any

_EXACT = ("ieee", "none")

Restore = Callable[[], None]


def matmul_precision(torch: Any) -> str:
    """``highest`` if float32 products are computed in float32, else the precision in force."""
    modern = [_read(torch.backends.cuda.matmul), _read(_child(torch.backends, "mkldnn", "matmul"))]
    lower = [precision for precision in modern if precision not in (None, *_EXACT)]
    return lower[0] if lower and lower[0] is not None else _legacy_matmul_precision(torch)


def pin_matmul_precision(torch: Any) -> Restore:
    """Compute float32 products in float32, on the CPU and on the GPU."""
    legacy = _legacy_matmul_precision(torch)
    nodes = [torch.backends.cuda.matmul, _child(torch.backends, "mkldnn", "matmul")]
    before = [_read(node) for node in nodes]

    def restore() -> None:
        _quietly(lambda: torch.set_float32_matmul_precision(legacy))
        for node, precision in zip(nodes, before, strict=True):
            _write(node, precision)

    _quietly(lambda: torch.set_float32_matmul_precision("highest"))
    for node in nodes:
        _exact(node)
    return restore


def cudnn_precision(torch: Any) -> str:
    """``ieee`` if cuDNN computes float32 convolutions and RNNs in float32, else ``tf32``."""
    cudnn = torch.backends.cudnn
    if hasattr(cudnn, "conv"):
        modern = (_read(cudnn.conv), _read(cudnn.rnn))
        return next((str(p) for p in modern if p not in (None, *_EXACT)), "ieee")
    return "tf32" if cudnn.allow_tf32 else "ieee"


def pin_cudnn_precision(torch: Any) -> Restore:
    """Make cuDNN compute float32 convolutions and RNNs in float32."""
    cudnn = torch.backends.cudnn
    nodes = [cudnn.conv, cudnn.rnn] if hasattr(cudnn, "conv") else []
    before = [_read(node) for node in nodes]
    try:
        legacy = bool(cudnn.allow_tf32)
    except RuntimeError:
        legacy = None  # the newer API alone is in use: leave the older one alone

    def restore() -> None:
        if legacy is not None:
            _quietly(lambda: setattr(cudnn, "allow_tf32", legacy))
        for node, precision in zip(nodes, before, strict=True):
            _write(node, precision)

    if legacy is not None:
        _quietly(lambda: setattr(cudnn, "allow_tf32", False))
    for node in nodes:
        _exact(node)
    return restore


def onednn_precision(torch: Any) -> str:
    """``ieee`` if oneDNN computes float32 convolutions and RNNs in float32 on the CPU."""
    nodes = (_child(torch.backends, "mkldnn", "conv"), _child(torch.backends, "mkldnn", "rnn"))
    return next((str(p) for p in map(_read, nodes) if p not in (None, *_EXACT)), "ieee")


def pin_onednn_precision(torch: Any) -> Restore:
    """Make oneDNN compute float32 convolutions and RNNs in float32; a no-op before torch 2.9."""
    nodes = (_child(torch.backends, "mkldnn", "conv"), _child(torch.backends, "mkldnn", "rnn"))
    before = [_read(node) for node in nodes]

    def restore() -> None:
        for node, precision in zip(nodes, before, strict=True):
            _write(node, precision)

    for node in nodes:
        _exact(node)
    return restore


def _legacy_matmul_precision(torch: Any) -> str:
    """What ``set_float32_matmul_precision`` was last called with."""
    try:
        return str(torch.get_float32_matmul_precision())
    except RuntimeError:
        return "highest"  # unreadable after use of the newer API, which then decides


def _child(parent: Any, *names: str) -> Any:
    for name in names:
        parent = getattr(parent, name, None)
    return parent


def _read(node: Any) -> str | None:
    """What a node of the newer API says, or ``None`` where torch has no such node."""
    try:
        return str(node.fp32_precision)
    except AttributeError:
        return None


def _write(node: Any, precision: str | None) -> None:
    if precision is None or _read(node) == precision:
        return
    # A node tells what it inherits as if it were its own: so let it inherit again, if it did.
    node.fp32_precision = "none"
    if _read(node) != precision:
        node.fp32_precision = precision


def _exact(node: Any) -> None:
    if _read(node) not in (None, *_EXACT):
        node.fp32_precision = "ieee"


def _quietly(action: Callable[[], None]) -> None:
    # Some releases announce the end of the older API here; see the module's docstring.
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        action()
