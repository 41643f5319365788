"""One call of an operator with its actual tensors, as files that need nothing but torch to read."""

from __future__ import annotations

import json
import struct
from typing import TYPE_CHECKING, Any

import torch

from goldtrace.recording.contents import positions
from goldtrace.recording.digest import raw_bytes
from goldtrace.recording.operators import operator_of, tensors_in

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from pathlib import Path

    from goldtrace.recording.tape import Observer

CALL = "call.json"
INPUTS = "inputs.safetensors"
OUTPUTS = "outputs.safetensors"

_NAMES = {
    torch.float64: "F64",
    torch.float32: "F32",
    torch.float16: "F16",
    torch.bfloat16: "BF16",
    torch.int64: "I64",
    torch.int32: "I32",
    torch.int16: "I16",
    torch.int8: "I8",
    torch.uint8: "U8",
    torch.bool: "BOOL",
    torch.complex64: "C64",
    torch.complex128: "C128",
}
"""Dtypes by the names of the safetensors format."""


def capturing(place: int, folder: Path) -> Observer:
    """Write the call at ``place`` of the taped step into ``folder``.

    ``call.json`` names the operator and its arguments; the tensors among these are in
    ``inputs.safetensors``, and what the call gave and wrote to is in ``outputs.safetensors``.
    """

    def observe(
        found: int, function: Any, args: tuple[Any, ...], kwargs: Mapping[str, Any]
    ) -> Callable[[Any], None] | None:
        if found != place:
            return None
        call = _Call(function, args, kwargs)

        def finish(result: Any) -> None:
            call.write(result, folder)

        return finish

    return observe


class _Call:
    """A call while it runs; its inputs are copied before it may write to them."""

    def __init__(self, function: Any, args: tuple[Any, ...], kwargs: Mapping[str, Any]) -> None:
        self._operator = operator_of(function)
        self._function = function
        self._tensors: dict[str, torch.Tensor] = {}
        self._originals: dict[str, torch.Tensor] = {}
        self._strides: dict[str, list[int]] = {}
        self._devices: dict[str, str] = {}
        self._args = [self._describe(value) for value in args]
        self._kwargs = {name: self._describe(value) for name, value in kwargs.items()}
        given = dict(zip(self._operator.arguments, self._args, strict=False)) | self._kwargs
        self._written = [
            name for key in given if key in self._operator.written for name in _named(given[key])
        ]
        self._generator = None
        if self._operator.random:
            self._generator, state = self._drawn_from((*args, *kwargs.values()))
            self._tensors["generator"] = state.clone()

    def _drawn_from(self, values: tuple[Any, ...]) -> tuple[str, torch.Tensor]:
        """The kind of device whose generator is drawn from, and the state of that generator."""
        for value in values:
            if isinstance(value, torch.Generator):
                return value.device.type, value.get_state()
        kinds = [value.type for value in values if isinstance(value, torch.device)]
        if "cuda" in (kinds or self._devices.values()):
            return "cuda", torch.cuda.get_rng_state()
        return "cpu", torch.get_rng_state()

    def write(self, result: Any, folder: Path) -> None:
        """Write the files; ``result`` is what the call returned."""
        written = [self._originals[name] for name in self._written]
        given = [t for t in tensors_in(result) if not any(t is other for other in written)]
        outputs = {
            f"output{place}": value.detach() for place, value in enumerate((*given, *written))
        }
        for size in {_numbers(value) for value in outputs.values()}:
            self._tensors[f"positions.{size}"] = torch.from_numpy(positions(size))
        schema = self._function._schema  # noqa: SLF001 - torch has no public name for it
        document = {
            "namespace": schema.name.partition("::")[0],
            "operator": schema.name.partition("::")[2],
            "overload": schema.overload_name or "default",
            "args": self._args,
            "kwargs": self._kwargs,
            "written": self._written,
            "strides": self._strides,
            "devices": self._devices,
            "generator": self._generator,
        }
        folder.mkdir(parents=True, exist_ok=True)
        (folder / CALL).write_text(json.dumps(document, indent=1) + "\n", encoding="utf-8")
        (folder / INPUTS).write_bytes(to_safetensors(self._tensors))
        (folder / OUTPUTS).write_bytes(to_safetensors(outputs))

    def _describe(self, value: Any) -> Any:
        if isinstance(value, torch.Tensor):
            name = f"input{len(self._strides)}"
            self._originals[name] = value
            self._tensors[name] = value.detach().clone().cpu()
            self._strides[name] = list(value.stride())
            self._devices[name] = value.device.type
            return {"tensor": name}
        if isinstance(value, (list, tuple)):
            return [self._describe(item) for item in value]
        if value is None or isinstance(value, (bool, int, float, str)):
            return value
        if isinstance(value, (torch.dtype, torch.layout, torch.memory_format)):
            return {"torch": str(value).removeprefix("torch.")}
        if isinstance(value, torch.Generator):
            return {"generator": True}
        return {"device": str(value)} if isinstance(value, torch.device) else str(value)


def to_safetensors(tensors: Mapping[str, torch.Tensor]) -> bytes:
    """The tensors in the safetensors format (https://github.com/huggingface/safetensors)."""
    header: dict[str, Any] = {}
    data = b""
    for name, tensor in tensors.items():
        content = bytes(raw_bytes(tensor))
        header[name] = {
            "dtype": _NAMES[tensor.dtype],
            "shape": list(tensor.shape),
            "data_offsets": [len(data), len(data) + len(content)],
        }
        data += content
    text = json.dumps(header, separators=(",", ":")).encode()
    text += b" " * (-len(text) % 8)
    return struct.pack("<Q", len(text)) + text + data


def _numbers(tensor: torch.Tensor) -> int:
    """How many numbers there are to sample, two in each complex one."""
    return tensor.numel() * (2 if tensor.is_complex() else 1)


def _named(description: Any) -> list[str]:
    if isinstance(description, dict) and "tensor" in description:
        return [description["tensor"]]
    if isinstance(description, list):
        return [name for item in description for name in _named(item)]
    return []
