"""Compile the kernel for GPUs that need not be here: ``python compiled_digests.py 80 90``."""

from __future__ import annotations

import sys

import triton
from triton.backends.compiler import GPUTarget
from triton.compiler import ASTSource

from goldtrace.recording.on_device.kernel import hash_chunks
from goldtrace.recording.on_device.launch import OPTIONS

for capability in map(int, sys.argv[1:]):
    compiled = triton.compile(
        ASTSource(
            fn=hash_chunks,
            signature={"table": "*i64", "constants": "*u64", "out": "*u64"},
            constexprs={},
        ),
        target=GPUTarget("cuda", capability, 32),
        options=OPTIONS,
    )
    sys.stdout.write(f"{capability} {len(compiled.asm['cubin'])} bytes\n")
