"""Digests by the kernel for GPUs beside those of xxHash; run as a child under TRITON_INTERPRET=1.

Prints a JSON object: the name of each case, and the two digests.
"""

from __future__ import annotations

import json
import sys
from typing import Any

import torch

from goldtrace.recording import on_device
from goldtrace.recording.digest import digest_tensor, start_digests

SIZES = [
    *(0, 1, 3, 4, 8, 9, 16, 17, 127, 128, 129, 239, 240, 241, 248, 255, 256, 257, 1023, 1024),
    *(1025, 1088, 1089, 2047, 2048, 5003, 16383, 16384, 16385, 16624, 16625, 32768, 40001),
]
DTYPES = [
    *(torch.float64, torch.float32, torch.float16, torch.bfloat16, torch.complex64),
    *(torch.complex128, torch.int64, torch.int32, torch.int16, torch.int8, torch.uint8, torch.bool),
]
SPECIAL = [float("nan"), float("-nan"), float("inf"), float("-inf"), -0.0, 0.0, 1e-40, 5e-324]


def cases(device: str = "cpu") -> dict[str, torch.Tensor]:
    """Tensors of every size, dtype and stride; views are made on the device, as they are there."""
    torch.manual_seed(0)
    noise = torch.randint(0, 256, (max(SIZES) + 8,), dtype=torch.uint8).to(device)
    found = {f"{size} bytes": noise[:size].clone() for size in SIZES}
    # Views that begin between two words.
    found |= {f"300 bytes from byte {start}": noise[start : start + 300] for start in range(9)}
    found |= {f"20,001 bytes from byte {s}": noise[s : s + 20_001] for s in (1, 4)}
    for dtype in DTYPES:
        name = str(dtype).removeprefix("torch.")
        whole = (torch.arange(7 * 53) % 2 if dtype is torch.bool else torch.arange(7 * 53)).to(
            device, dtype
        )
        matrix = whole.reshape(7, 53)
        found |= {
            f"{name} 7 by 53": matrix,
            f"{name} transposed": matrix.t(),
            f"{name} every other column": matrix[:, ::2],
            f"{name} expanded": matrix[:1].expand(5, 53),
            f"{name} a scalar": whole[3],
            f"{name} empty": matrix[:0],
        }
    images = torch.rand(2, 3, 5, 7).to(device)
    numbers = torch.complex(torch.rand(41), torch.rand(41)).to(device)
    return found | {
        "channels last": images.to(memory_format=torch.channels_last),
        "pending conjugation": numbers.conj(),
        "pending negation": numbers.conj().imag,
        "special float64": torch.tensor(SPECIAL * 6, dtype=torch.float64).to(device),
        "special float32": torch.tensor(SPECIAL * 11).to(device),
        "special bfloat16": torch.tensor(SPECIAL * 23).bfloat16().to(device),
        "sparse": torch.eye(40).to_sparse().to(device),
    }


def let_old_interpreters_count() -> None:
    """Triton 3.6, for one, takes ``int`` of a one-dimensional array, which numpy 2.5 refuses."""
    from triton.runtime import interpreter

    patch = interpreter._patch_lang_tensor

    def patched(*tensor_and_scope: Any) -> None:
        patch(*tensor_and_scope)
        tensor_and_scope[0].__index__ = lambda self: self.handle.data.item()

    interpreter._patch_lang_tensor = patched


def main() -> None:
    let_old_interpreters_count()
    tensors = cases()
    on_device.can_hash = lambda _device: True
    found = start_digests({"one": tensors, "other": {"text": "1", "weight": torch.eye(9)}})()
    alone = start_digests({"one": {"w": torch.eye(9)}})()["one"]["w"]
    pairs = {name: (found["one"][name], digest_tensor(name, t)) for name, t in tensors.items()}
    pairs["of another group"] = (found["other"]["weight"], digest_tensor("weight", torch.eye(9)))
    pairs["alone"] = (alone, digest_tensor("w", torch.eye(9)))
    sys.stdout.write(json.dumps(pairs))


if __name__ == "__main__":
    main()
