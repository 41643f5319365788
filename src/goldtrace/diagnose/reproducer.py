"""A script that runs one operator on its actual inputs and needs torch alone."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

from goldtrace.diagnose.words import place_of

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from goldtrace.model.diagnosis import Culprit
    from goldtrace.model.tape import Value

SCRIPT = "reproduce.py"
EXPECTED = "expected.json"

_TEMPLATE = '''"""%(title)s

%(story)s
Run it under both releases: python reproduce.py
"""

import hashlib, json, os, struct
from pathlib import Path

os.environ.update(%(pins)s)
import torch

here = Path(__file__).parent
call = json.loads((here / "call.json").read_text())
data = (here / "inputs.safetensors").read_bytes()
(length,) = struct.unpack("<Q", data[:8])
index = json.loads(data[8 : 8 + length])
F = dict(F64="float64", F32="float32", F16="float16", BF16="bfloat16", I64="int64", I32="int32",
         I16="int16", I8="int8", U8="uint8", BOOL="bool", C64="complex64")

def load(name):
    start, end = (8 + length + offset for offset in index[name]["data_offsets"])
    raw = bytearray(data[start:end]) or bytearray(8)
    flat = torch.frombuffer(raw, dtype=getattr(torch, F[index[name]["dtype"]]))
    flat = flat[: (end - start) // flat.itemsize].reshape(index[name]["shape"])
    strides = call["strides"].get(name, flat.stride())
    return torch.empty_strided(flat.shape, strides, dtype=flat.dtype).copy_(flat).to(call["device"])

def build(value):
    if isinstance(value, list):
        return [build(item) for item in value]
    if not isinstance(value, dict):
        return value
    ((kind, what),) = value.items()
    return {"tensor": lambda: tensors[what], "torch": lambda: getattr(torch, what),
            "device": lambda: torch.device(what), "generator": lambda: generator}[kind]()

torch.set_num_threads(%(threads)s)
generator = torch.Generator()
if "generator" in index:
    generator.set_state(load("generator").cpu())
    torch.set_rng_state(load("generator").cpu())
tensors = {name: load(name) for name in call["strides"]}
operator = getattr(getattr(torch.ops, call["namespace"]), call["operator"])
operator = getattr(operator, call["overload"])
result = operator(*build(call["args"]), **{name: build(v) for name, v in call["kwargs"].items()})
written = [tensors[name] for name in call["written"]]
given = result if isinstance(result, (list, tuple)) else [result]
given = [t for t in given if isinstance(t, torch.Tensor) and not any(t is w for w in written)]
print("torch", torch.__version__, operator)
expected = json.loads((here / "expected.json").read_text())
for number, (output, golden) in enumerate(zip(given + written, expected)):
    flat = output.detach().cpu().contiguous().reshape(-1)
    sizes = {1: torch.uint8, 2: torch.int16, 4: torch.int32, 8: torch.int64}
    words = flat.view(sizes[flat.itemsize])
    sample = words[load(f"positions.{flat.numel()}").cpu()]
    found = hashlib.blake2b(bytes(sample.view(torch.uint8).tolist()), digest_size=8).hexdigest()
    word = {"golden": "as the golden", "now": "as the run that failed"}
    whose = [word[name] for name in word if golden[name] == found] or ["as neither"]
    print(f"output {number} {list(output.shape)}: {found} ({' and '.join(whose)})")
    print(f"  golden {golden['golden']}, failed {golden['now']} (of {len(sample)} elements)")
    print("  sha256 of all", hashlib.sha256(bytes(words.view(torch.uint8).tolist())).hexdigest())
'''


def script(
    culprit: Culprit, *, run: str, step: int, pins: Mapping[str, str], golden: str, now: str
) -> str:
    """The reproducer; ``golden`` and ``now`` say what the two traces were recorded with.

    ``pins`` are environment variables, set before torch is imported.
    """
    story = (
        f"Step {step} of the golden run {run!r}, {place_of(culprit)}:\n"
        f"{culprit.what}.\n"
        f"Golden: {golden}. Failed: {now}.\n"
        "The inputs are the actual ones, in inputs.safetensors.\n"
    )
    return _TEMPLATE % {
        "title": f"{culprit.op}, as a training called it.",
        "story": story.replace("\\", "\\\\").replace('"""', "'''"),
        "pins": json.dumps(dict(pins)),
        "threads": pins.get("OMP_NUM_THREADS", "1"),
    }


def expected(golden: Sequence[Value], now: Sequence[Value]) -> str:
    """The digests of the samples that the script holds its own against, as JSON."""
    both: list[dict[str, Any]] = [
        {"golden": left.sample, "now": right.sample, "shape": list(left.shape)}
        for left, right in zip(golden, now, strict=False)
    ]
    return json.dumps(both, indent=1) + "\n"
