"""Kernels of torch's CPU operators replaced for the whole process, and given back."""

from __future__ import annotations

import sys
import threading
import warnings
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping


class Override:
    """A set of kernels, registered by ``torch.library`` while it has a user. Uses nest.

    ``kernels`` maps overloads of ``aten`` to functions. They stand below autograd, so that forward
    and backward both meet them, and get tensors that need no gradient to be kept.
    """

    def __init__(self, kernels: Mapping[str, Callable[..., Any]]) -> None:
        self._kernels = kernels
        self._lock = threading.Lock()
        self._users = 0
        self._library: Any = None

    @property
    def in_force(self) -> bool:
        """Whether the kernels are in place of torch's own."""
        return self._library is not None

    def begin(self) -> None:
        """Put the kernels in place, if nobody has yet."""
        with self._lock:
            self._users += 1
            if self._library is None:
                self._library = self._register()

    def end(self) -> None:
        """Take back one ``begin``; with the last one torch's own kernels return."""
        with self._lock:
            self._users -= 1
            if self._users == 0 and self._library is not None:
                self._library._destroy()  # noqa: SLF001 - the public way to end one came later
                self._library = None

    def _register(self) -> Any:
        import torch

        library: Any = torch.library.Library("aten", "IMPL")  # type: ignore[no-untyped-call]
        with warnings.catch_warnings():
            # Overriding is the point; some releases warn of it.
            warnings.simplefilter("ignore")
            for name, kernel in self._kernels.items():
                library.impl(name, kernel, "CPU")
        return library


class _Memory:
    """Memory that numpy reads and writes where it lies, and keeps."""

    def __init__(self, tensor: Any) -> None:
        self._tensor = tensor
        size = tensor.element_size()
        kind = "c" if tensor.is_complex() else "f" if tensor.is_floating_point() else "u"
        self.__array_interface__ = {
            "version": 3,
            "typestr": f"{'<' if sys.byteorder == 'little' else '>'}{kind}{size}",
            "shape": tuple(tensor.shape),
            "strides": tuple(stride * size for stride in tensor.stride()),
            "data": (tensor.data_ptr(), False),
        }


def array_of(tensor: Any) -> Any:
    """The memory of a CPU tensor of floating-point or complex numbers, or of bytes, as an array.

    ``Tensor.numpy`` would forbid the storage to be resized from then on, as observers of
    quantisation and FSDP do, and the tensor is the user's. (What numpy before 2.1 gets by DLPack
    it can't write to.)
    """
    import numpy as np

    memory = _Memory(tensor)
    if tensor.numel() == 0:
        # Older numpy takes no address of nothing.
        return np.empty(tensor.shape, memory.__array_interface__["typestr"])
    return np.asarray(memory)
