"""The kernel that hashes on a GPU, as far as a CPU can run it: interpreted, and compiled."""

from __future__ import annotations

import importlib.metadata
import importlib.util
import json
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
import xxhash
from hypothesis import given
from hypothesis import strategies as st
from packaging.version import Version

from goldtrace.recording.digest import CHUNK
from goldtrace.recording.on_device import can_hash, to_host
from goldtrace.recording.on_device.layout import SHORT, lay_out

HERE = Path(__file__).parent
OLD_INTERPRETER = "ignore:Conversion of an array with ndim:DeprecationWarning"  # of Triton 3.0
needs_triton = pytest.mark.skipif(
    importlib.util.find_spec("triton") is None, reason="this build of torch brings no Triton"
)


def python(script: str, *arguments: str, **environment: str) -> str:
    child = subprocess.run(
        [sys.executable, "-W", "error", "-W", OLD_INTERPRETER, HERE / script, *arguments],
        env={**os.environ, **environment},
        capture_output=True,
        text=True,
        check=False,
    )
    assert child.returncode == 0, child.stderr[-4000:]
    return child.stdout


@needs_triton
def test_the_kernel_computes_the_digests_of_xxhash_for_every_size_dtype_and_stride():
    pairs = json.loads(python("interpreted_digests.py", TRITON_INTERPRET="1"))
    assert len(pairs) > 110
    assert {name: pair for name, pair in pairs.items() if pair[0] != pair[1]} == {}
    assert len({pair[0] for pair in pairs.values()}) == len(pairs)


@needs_triton
def test_the_kernel_compiles_for_real_gpus(tmp_path):
    if Version(importlib.metadata.version("triton")) < Version("3.3"):
        pytest.skip("older releases of Triton are asked in another way to compile for no GPU")
    said = python("compiled_digests.py", "80", "90", "100", TRITON_CACHE_DIR=str(tmp_path))
    assert [line.split()[0] for line in said.splitlines()] == ["80", "90", "100"]


@given(st.lists(st.integers(0, 3 * CHUNK + 500), min_size=1, max_size=7))
def test_an_answer_is_taken_apart_as_it_was_laid_out(sizes):
    memory = np.arange(sum(sizes) + 8 * len(sizes), dtype=np.uint64).astype(np.uint8).tobytes()
    starts = np.cumsum([0, *(size + -size % 8 for size in sizes)]).tolist()[:-1]
    layout = lay_out(starts, sizes)
    answer = np.zeros(layout.words, dtype=np.int64)
    written = answer.view(np.uint8).data
    for address, length, place in layout.rows.tolist():
        chunk = memory[address : address + length]
        if length > SHORT:
            upper, lower = divmod(xxhash.xxh3_128_intdigest(chunk), 1 << 64)
            chunk = upper.to_bytes(8, sys.byteorder) + lower.to_bytes(8, sys.byteorder)
        written[8 * place : 8 * place + len(chunk)] = chunk
    expected = [
        b"".join(
            xxhash.xxh3_128_digest(memory[place : min(place + CHUNK, start + size)])
            for place in range(start, start + size, CHUNK)
        )
        for start, size in zip(starts, sizes, strict=True)
    ]
    assert layout.digests(answer) == expected


def test_what_is_on_the_host_is_hashed_there():
    assert not can_hash(torch.device("cpu"))
    assert not can_hash(torch.device("meta"))


def test_a_copy_to_the_host_holds_what_the_tensor_was_when_it_was_asked_for():
    tensor = torch.arange(6.0).reshape(2, 3).t()
    copied = to_host(tensor)
    tensor.zero_()
    assert torch.equal(copied(), torch.arange(6.0).reshape(2, 3).t())


def test_recording_on_the_cpu_imports_no_library_for_gpus():
    script = (
        "import sys, torch\n"
        "before = set(sys.modules)\n"
        "from goldtrace.recording.digest import start_digests\n"
        "from goldtrace.environment import probe_environment\n"
        "from pathlib import Path\n"
        "model = torch.nn.Linear(3, 2)\n"
        "start_digests({'w': dict(model.named_parameters())})()\n"
        "probe_environment('cpu', root=Path())\n"
        "new = {name.partition('.')[0] for name in set(sys.modules) - before}\n"
        "assert not new & {'triton', 'pynvml', 'cuda', 'cupy'}, new\n"
        "assert not torch.cuda.is_initialized()\n"
    )
    subprocess.run([sys.executable, "-c", script], check=True)
