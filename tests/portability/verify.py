"""Hold the first steps of runs against their goldens on this machine and on emulated CPUs.

``python tests/portability/verify.py [WORD…]`` computes the cells of ``cells.py`` whose names hold
every WORD, one after the other, and writes ``docs/portability.md`` after each.
What other cells said before is kept beside it, in ``docs/portability.json``, with the digest of
the golden that they were held against: a cell of another golden is left out of the page.
Needs ``qemu-user``; for ``aarch64`` also what docs/portability.md says. Fails if a cell is not as
it has to be, and says which cells could not be computed.
"""

from __future__ import annotations

import fcntl
import hashlib
import importlib.metadata
import json
import os
import re
import shutil
import subprocess
import sys
import tempfile
import time
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from cells import CELLS, PORTABLE, Machine

from goldtrace.compare import compare_traces
from goldtrace.determinism import profile_for
from goldtrace.diagnose import diagnose
from goldtrace.launch import child_environment
from goldtrace.model.codec import decode_trace, read_files
from goldtrace.model.machine import Processor, processor
from goldtrace.store.golden import GoldenStore

if TYPE_CHECKING:
    from cells import Cell

    from goldtrace.model.trace import Trace
    from goldtrace.model.verdict import Comparison
    from goldtrace.store.golden import Golden

HERE = Path(__file__).parent
PAGE = Path("docs") / "portability.md"
KEPT = PAGE.with_suffix(".json")
EMULATED = Processor(
    architecture="x86_64", vendor="GenuineIntel", flags=frozenset({"avx2", "fma", "f16c"})
)
ARM_ROOT = os.environ.get("GOLDTRACE_ARM_ROOT", "")
ARM_SITE = os.environ.get("GOLDTRACE_ARM_SITE", "")


def main(words: list[str]) -> int:
    """Compute, write, and answer 1 if a cell failed, 2 if one could not be computed."""
    status = 0
    for cell in CELLS:
        if not all(word in cell.name for word in words):
            continue
        absent = lacking(cell)
        if absent:
            print(f"{cell.name}: not computed, {absent}", flush=True)
            status = status or 2
            continue
        began = time.monotonic()
        answer, good = incomparable(cell) if cell.incomparable else compared(cell)
        seconds = round(time.monotonic() - began)
        print(f"{cell.name}: {answer} ({seconds} s)", flush=True)
        result = {"answer": answer, "seconds": seconds, "golden": digest_of(cell), "on": this_cpu()}
        keep(cell, result)
        status = status if good else 1
    return status


def keep(cell: Cell, result: dict[str, Any]) -> None:
    """Enter a result and write the page; other processes may do the same for other cells."""
    KEPT.touch()
    with KEPT.open("r+", encoding="utf-8") as stream:
        fcntl.flock(stream, fcntl.LOCK_EX)
        results = json.loads(stream.read() or "{}") | {cell.name: result}
        known = {each.name: results[each.name] for each in CELLS if each.name in results}
        stream.seek(0)
        stream.truncate()
        stream.write(json.dumps(known, indent=2) + "\n")
        PAGE.write_text(page(known), encoding="utf-8")


def this_cpu() -> str:
    """The CPU that computed a cell, or that emulated the one that did."""
    cpu = processor()
    return f"{cpu.model}, {cpu.isa}"


def lacking(cell: Cell) -> str | None:
    """What this machine lacks for a cell."""
    if cell.machine is Machine.ARM:
        if not (ARM_ROOT and ARM_SITE and shutil.which("qemu-aarch64-static")):
            return "needs qemu-user-static, GOLDTRACE_ARM_ROOT and GOLDTRACE_ARM_SITE"
    elif cell.machine is not Machine.HOST and not shutil.which("qemu-x86_64"):
        return "needs qemu-x86_64: apt-get install qemu-user"
    return None


def command(cell: Cell) -> list[str]:
    """The interpreter of a cell, with whatever stands before it."""
    if cell.machine is Machine.HOST:
        return [*(["taskset", "-c", "0"] if cell.core else []), sys.executable]
    if cell.machine is Machine.ARM:
        path = f"PYTHONPATH={ARM_SITE}:{Path('src').absolute()}"
        python = f"{ARM_ROOT}/usr/bin/python3.11"
        return ["qemu-aarch64-static", "-L", ARM_ROOT, "-E", path, python]
    return ["qemu-x86_64", "-cpu", cell.machine.value, sys.executable]


def environment(cell: Cell) -> dict[str, str]:
    """The variables of a cell's process: the pins of its profile stand over what is asked for."""
    name = "cpu-portable" if cell.folder == PORTABLE else "universal"
    cpu = processor() if cell.machine is Machine.HOST else EMULATED
    pins = profile_for(name, "cpu", cpu=cpu).environment()
    asked = {} if cell.threads is None else {"OMP_NUM_THREADS": str(cell.threads)}
    return child_environment(pins, asked)


def golden_of(cell: Cell) -> Golden | None:
    """The golden that a cell is held against."""
    platform = "cpu-portable" if cell.folder == PORTABLE else "universal"
    return GoldenStore(cell.folder).load(cell.run, platform)


def digest_of(cell: Cell) -> str:
    """Which golden a cell is held against, as far as its steps go, in whatever format."""
    golden = None if cell.incomparable else golden_of(cell)
    if golden is None:
        return "none"
    steps = [
        (
            {rung.value: digest for rung, digest in step.ladder.items()},
            {name: scalar.exact for name, scalar in step.scalars.items()},
        )
        for step in golden.trace.steps[: cell.steps + 1]
    ]
    return hashlib.sha256(json.dumps(steps, sort_keys=True).encode()).hexdigest()[:16]


def compared(cell: Cell) -> tuple[str, bool]:
    """Train the first steps and hold them against those of the golden."""
    golden = golden_of(cell)
    if golden is None:
        return "no golden", False
    with tempfile.TemporaryDirectory() as scratch:
        arguments = [str(cell.folder), cell.run, str(cell.steps), scratch]
        ended = subprocess.run(
            [*command(cell), "-W", "ignore", str(HERE / "first_steps.py"), *arguments],
            env=environment(cell),
            capture_output=True,
            text=True,
            check=False,
        )
        if ended.returncode:
            return f"failed: {(ended.stderr.strip().splitlines() or ['?'])[-1]}", False
        found = decode_trace(read_files(Path(scratch)))
    beginning, found = cut(golden.trace, found, cell.steps)
    comparison = compare_traces(beginning, found, tolerance={})
    return describe(beginning, found, comparison), comparison.verdict.value == "identical"


def cut(golden: Trace, found: Trace, steps: int) -> tuple[Trace, Trace]:
    """The golden's first steps, without what only a whole run has: the end, last tensors."""
    last = found.steps[-1]
    if last.number > 0:
        found = replace(found, steps=(*found.steps[:-1], replace(last, tensors={})))
    tape = tuple(step for step in golden.tape if step.number < steps)
    beginning = replace(golden, steps=golden.steps[: steps + 1], end=found.end, tape=tape)
    last = beginning.steps[-1]
    if last.number > 0:
        beginning = replace(beginning, steps=(*beginning.steps[:-1], replace(last, tensors={})))
    return beginning, found


def describe(golden: Trace, found: Trace, comparison: Comparison) -> str:
    """The verdict; where bits differ, the first place, the operator and by how much."""
    if comparison.verdict.value == "identical":
        return "identical"
    first = comparison.first
    told = f"{comparison.verdict.value}"
    if first is not None:
        told += f": step {first.step}, {first.rung.value} {first.name}"
    diagnosis = diagnose(golden, found, comparison)
    if diagnosis is not None and diagnosis.culprits:
        told += f"; first operator {diagnosis.culprits[0].op}"
    losses = [
        (one.scalars["loss"].value, two.scalars["loss"].value)
        for one, two in zip(golden.steps, found.steps, strict=True)
        if "loss" in one.scalars
    ]
    most = max(abs(a - b) / abs(a) for a, b in losses)
    return f"{told}; largest relative change of a loss {most:.1e}"


def incomparable(cell: Cell) -> tuple[str, bool]:
    """Let the whole command refuse the machine."""
    with tempfile.TemporaryDirectory() as scratch:
        report = Path(scratch) / "report.json"
        asked = ["-m", "goldtrace.cli", "check", cell.run]
        ended = subprocess.run(
            [*command(cell), "-W", "ignore", *asked, "--json", str(report)],
            env={**os.environ},
            capture_output=True,
            text=True,
            check=False,
        )
        if not report.exists():
            return f"failed: {(ended.stderr.strip().splitlines() or ['?'])[-1]}", False
        run = json.loads(report.read_text())["runs"][0]
    message = re.search(r"cpu-portable goldens .*? no AVX2", " ".join(ended.stdout.split()))
    said = message.group() if message else ""
    return f"{run['verdict']}: {said}", run["verdict"] == "incomparable" and bool(said)


def page(results: dict[str, dict[str, Any]]) -> str:
    """The page of the documentation."""
    head = (HERE / "page.md").read_text(encoding="utf-8")
    versions = ", ".join(
        f"{name} {importlib.metadata.version(name)}" for name in ("torch", "numpy")
    )
    lines = [
        head.rstrip(),
        "",
        "## Results",
        "",
        f"Computed with {versions}.",
    ]
    for title, folder in (("cpu-portable", True), ("universal", False)):
        lines += [
            "",
            f"### {title}",
            "",
            "| run, machine | against the golden | seconds | computed on |",
        ]
        lines += ["| --- | --- | --- | --- |"]
        for cell in CELLS:
            if (cell.folder == PORTABLE) is not folder:
                continue
            result = results.get(cell.name)
            if result is None or result["golden"] != digest_of(cell):
                lines.append(f"| {cell.name} | not computed for this golden | | |")
            else:
                told = (result["answer"], str(result["seconds"]), result["on"])
                lines.append(f"| {cell.name} | {' | '.join(told)} |")
    return "\n".join(lines) + "\n"


if __name__ == "__main__":
    raise SystemExit(main(sys.argv[1:]))
