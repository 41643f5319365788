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
REPORT = "report.json"

_TEMPLATE = '''"""%(title)s

%(story)s
Run it under both releases: python reproduce.py
"""

import hashlib, json, os, sys
from pathlib import Path

os.environ.update(%(pins)s)
import torch

torch.set_num_threads(%(threads)s)
torch.set_deterministic_debug_mode(%(algorithms)r)
torch.backends.cudnn.deterministic, torch.backends.cudnn.benchmark = True, False
torch.backends.cudnn.allow_tf32 = False
torch.backends.cuda.matmul.allow_fp16_reduced_precision_reduction = False
torch.backends.cuda.matmul.allow_bf16_reduced_precision_reduction = False
here = Path(__file__).parent
call, expected = (json.loads((here / f"{n}.json").read_text()) for n in ("call", "expected"))
TYPES = dict(F64="float64", F32="float32", F16="float16", BF16="bfloat16", I64="int64", I32="int32",
             I16="int16", I8="int8", U8="uint8", BOOL="bool", C64="complex64",
             C128="complex128")

def read(name):
    data, found = (here / f"{name}.safetensors").read_bytes(), {}
    start = 8 + int.from_bytes(data[:8], "little")
    for key, entry in json.loads(data[8:start]).items():
        begin, end = (start + offset for offset in entry["data_offsets"])
        dtype = getattr(torch, TYPES[entry["dtype"]])
        flat = torch.frombuffer(bytearray(data[begin:end] or 8), dtype=dtype)
        found[key] = flat[: (end - begin) // flat.element_size()].reshape(entry["shape"])
    return found

def lay_out(value, strides, device):  # an expanded tensor has strides of 0
    real = value[tuple(slice(0, None if stride else 1) for stride in strides)]
    real = torch.empty_strided(real.shape, strides, dtype=real.dtype, device=device).copy_(real)
    return real.expand(value.shape)

def build(value):
    if isinstance(value, list):
        return [build(item) for item in value]
    if not isinstance(value, dict):
        return value
    ((kind, what),) = value.items()
    return {"tensor": lambda: tensors[what], "torch": lambda: getattr(torch, what),
            "device": lambda: torch.device(what), "generator": lambda: generator}[kind]()

inputs, failed = read("inputs"), read("outputs")
tensors = {name: lay_out(inputs[name], strides, call["devices"][name])
           for name, strides in call["strides"].items()}
if call["generator"] is not None:
    generator = torch.Generator(call["generator"])
    generator.set_state(inputs["generator"])
    (torch.cuda if call["generator"] == "cuda" else torch).set_rng_state(inputs["generator"])
operator = getattr(getattr(torch.ops, call["namespace"]), call["operator"])
operator = getattr(operator, call["overload"])
result = operator(*build(call["args"]), **{name: build(v) for name, v in call["kwargs"].items()})
written = [tensors[name] for name in call["written"]]
given = result if isinstance(result, (list, tuple)) else [result]
given = [t for t in given if isinstance(t, torch.Tensor) and not any(t is w for w in written)]
print("torch", torch.__version__, operator)
report = []
for number, (output, golden) in enumerate(zip(given + written, expected)):
    both = [t.detach().cpu().resolve_conj() for t in (output, failed[f"output{number}"])]
    both = [(torch.view_as_real(t) if t.is_complex() else t).contiguous().reshape(-1) for t in both]
    sizes = {1: torch.uint8, 2: torch.int16, 4: torch.int32, 8: torch.int64}
    words, others = (t.view(sizes[t.element_size()]) for t in both)
    sample = words[inputs[f"positions.{len(words)}"]]
    digest = hashlib.blake2b(bytes(sample.view(torch.uint8).tolist()), digest_size=8).hexdigest()
    whose = {"golden": digest == golden["golden"], "now": torch.equal(words, others)}
    told = {"golden": "as the golden", "now": "as the run that failed"}
    print(f"output {number} {list(output.shape)}: {digest} "
          f"({' and '.join(told[name] for name in told if whose[name]) or 'as neither'})")
    print(f"  golden {golden['golden']}, failed {golden['now']} (of {len(sample)} elements)")
    ulps = []  # how many floating-point numbers lie between the two, element by element
    if both[0].is_floating_point() and all(bool(torch.isfinite(t).all()) for t in both):
        lowest = torch.iinfo(words.dtype).min
        pairs = zip(*(torch.where(w < 0, lowest - w, w).tolist() for w in (words, others)))
        ulps = sorted(abs(a - b) for a, b in pairs if a != b)
    most, median = (ulps[-1], ulps[len(ulps) // 2]) if ulps else (None, None)
    if ulps:
        print(f"  {len(ulps)} of {len(words)} elements differ from the failed run's, "
              f"by at most {most} ulp, median {median}")
    report.append(dict(whose, most=most, median=median, differing=len(ulps), elements=len(words)))
if sys.argv[1:]:
    Path(sys.argv[1]).write_text(json.dumps({"torch": torch.__version__, "outputs": report}))
'''


def script(
    culprit: Culprit,
    *,
    run: str,
    step: int,
    pins: Mapping[str, str],
    warn_only: bool,
    golden: str,
    now: str,
) -> str:
    """The reproducer; ``golden`` and ``now`` say what the two traces were recorded with.

    ``pins`` are environment variables, set before torch is imported. ``warn_only`` lets operators
    run that have no deterministic implementation, as the training did.
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
        "algorithms": "warn" if warn_only else "error",
    }


def expected(golden: Sequence[Value], now: Sequence[Value]) -> str:
    """The digests of the samples that the script holds its own against, as JSON."""
    both: list[dict[str, Any]] = [
        {"golden": left.sample, "now": right.sample, "shape": list(left.shape)}
        for left, right in zip(golden, now, strict=False)
    ]
    return json.dumps(both, indent=1) + "\n"
