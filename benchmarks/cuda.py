"""Every figure that needs a GPU, in one go of about ten minutes.

``python benchmarks/cuda.py [--json FILE] [--page docs/performance.md]`` measures on the GPU

* whether digests computed there are the CPU's, and how fast they are against reading memory;
* what the full ladder costs at every step, as paired steps in one process;
* what determinism costs, as processes with and without the pins in alternation;
* whether fresh processes of every declared run agree, and that eager and compiled agree but for
  rounding.

A part that fails is written down as such, and the others go on. ``--device cpu --quick`` is a
rehearsal where there is no GPU: its figures mean nothing, and it writes no page.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import subprocess
import sys
import time
import traceback
from pathlib import Path
from typing import TYPE_CHECKING, Any

from goldtrace.determinism import profile_for

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

ROOT = Path(__file__).parents[1]
BEGIN, END = "<!-- measured on a GPU: begin -->", "<!-- measured on a GPU: end -->"
MIB = 1 << 20
PARTS: dict[str, Callable[[argparse.Namespace], Any]] = {}


def part(function: Callable[[argparse.Namespace], Any]) -> Callable[[argparse.Namespace], Any]:
    """A part of the answer, under the name of its function."""
    PARTS[function.__name__] = function
    return function


def main() -> int:
    """Measure, print, write; 1 when a part failed."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--device", choices=("cuda", "cpu"), default="cuda")
    parser.add_argument("--quick", action="store_true", help="small sizes, few repeats")
    parser.add_argument("--parts", default="", help="some of: " + ", ".join(PARTS))
    parser.add_argument("--json", type=Path, default=ROOT / "docs/reference/cuda.json")
    parser.add_argument("--page", type=Path)
    parser.add_argument("--step", help=argparse.SUPPRESS)  # a child: time one model's steps
    arguments = parser.parse_args()
    if arguments.step:
        print(json.dumps(steps_alone(arguments)))
        return 0
    _with_pins(arguments.device)
    import torch

    if arguments.device == "cuda" and not torch.cuda.is_available():
        print("no CUDA device is available: nothing is measured", file=sys.stderr)
        return 2
    document: dict[str, Any] = {"schema": 1, "device": arguments.device, "failed": []}
    for name in arguments.parts.split(",") if arguments.parts else PARTS:
        began = time.monotonic()
        try:
            document[name] = PARTS[name](arguments)
        except Exception:  # noqa: BLE001 - one part's failure is not the others'
            document["failed"].append(name)
            document[name] = traceback.format_exc().splitlines()[-12:]
        print(
            f"{name} ({time.monotonic() - began:.0f} s): {json.dumps(document[name])}", flush=True
        )
        write(arguments, document)  # what is measured stays, whatever ends the rest
    return int(bool(document["failed"]))


def write(arguments: argparse.Namespace, document: dict[str, Any]) -> None:
    """The parts that there are so far, as JSON and in the page."""
    arguments.json.parent.mkdir(parents=True, exist_ok=True)
    arguments.json.write_text(json.dumps(document, indent=1) + "\n", encoding="utf-8")
    if arguments.page is not None and arguments.device == "cuda":
        write_page(arguments.page, document)


@part
def hardware(arguments: argparse.Namespace) -> dict[str, Any]:
    """The card, and how it is before the others begin."""
    import torch

    from goldtrace.environment import accelerator_conditions, platform_key, probe_environment

    return {
        "platform": platform_key("cuda", arguments.device),
        "torch": str(torch.__version__),
        **dict(probe_environment(arguments.device, root=ROOT).accelerator),
        "conditions": accelerator_conditions(),
    }


@part
def digests(arguments: argparse.Namespace) -> dict[str, Any]:
    """Equal to the CPU's, and the bandwidth for several sizes and numbers of warps."""
    import torch

    from goldtrace.recording import on_device
    from goldtrace.recording.digest import digest_tensor, start_digests
    from goldtrace.recording.on_device import launch

    device = torch.device(arguments.device, 0 if arguments.device == "cuda" else None)
    sizes = (1,) if arguments.quick else (16, 64, 256, 1024)
    answer: dict[str, Any] = {"on the device": on_device.can_hash(device), "GB/s": {}}
    options = dict(launch.OPTIONS)
    for size in sizes:
        data = torch.randint(0, 256, (size * MIB,), dtype=torch.uint8, device=device)
        numbers = data.view(torch.int64)
        alone = _fastest(arguments.device, lambda numbers=numbers: numbers.sum())
        found = {"reading it (a sum)": data.nbytes / alone / 1e9}
        if answer["on the device"]:
            for warps in (1, 2, 4, 8):
                launch.OPTIONS["num_warps"] = warps
                spent = _fastest(arguments.device, lambda d=data: launch.start_hashing([d]))
                found[f"digests, {warps} warps"] = data.nbytes / spent / 1e9
            launch.OPTIONS.update(options)
        digest = start_digests({"": {"x": data}})()[""]["x"]
        found["equal"] = digest == digest_tensor("x", data.cpu())
        answer["GB/s"][f"{size} MiB"] = found
        if not found["equal"]:
            msg = f"the digest of {size} MiB differs from the CPU's"
            raise AssertionError(msg)
    return answer


@part
def recording(arguments: argparse.Namespace) -> dict[str, Any]:
    """The full ladder at every step against the bare step, in one process, and its parts."""
    answer = {}
    for model, batch in _workloads(arguments):
        bare, recorded = _paired_steps(arguments, model, batch)
        ratios = [b / a - 1 for a, b in zip(bare, recorded, strict=True)]
        answer[f"{model}, batch {batch}"] = {
            "overhead": statistics.median(ratios),
            "from": min(ratios),
            "to": max(ratios),
            "bare step, ms": 1e3 * statistics.median(bare),
            "pairs": len(ratios),
        }
    return answer


@part
def determinism(arguments: argparse.Namespace) -> dict[str, Any]:
    """Steps under the pins against steps without any, in processes that alternate."""
    answer = {}
    pins = profile_for("cuda", arguments.device).environment()
    free = {name: value for name, value in os.environ.items() if name not in pins}
    for model, batch in _workloads(arguments):
        ratios = []
        for _ in range(1 if arguments.quick else 3):
            spent = {
                pinned: _child(arguments, f"{model},{batch},{pinned}", environment)
                for pinned, environment in (("free", free), ("pinned", {**os.environ, **pins}))
            }
            ratios.append(spent["pinned"] / spent["free"] - 1)
        answer[f"{model}, batch {batch}"] = {
            "overhead": statistics.median(ratios),
            "from": min(ratios),
            "to": max(ratios),
        }
    return answer


@part
def processes(arguments: argparse.Namespace) -> dict[str, Any]:
    """Do fresh processes of each declared run agree bit for bit?"""
    from goldtrace.compare import compare_traces
    from goldtrace.errors import DataUnavailableError
    from goldtrace.launch import launch
    from goldtrace.store.declared import discover, load_run

    answer: dict[str, Any] = {}
    for spec in map(load_run, discover(ROOT / "golden")):
        if arguments.device not in spec.devices:
            continue
        count = 2 if arguments.quick else (10 if spec.name == "transformer" else 3)
        try:
            traces = [launch(spec, arguments.device, root=ROOT) for _ in range(count)]
        except DataUnavailableError as error:
            answer[spec.name] = f"skipped: {error.what}"
            continue
        verdicts = {compare_traces(traces[0], t, tolerance={}).verdict.value for t in traces[1:]}
        answer[spec.name] = f"{' and '.join(sorted(verdicts))} in {count} fresh processes"
        if verdicts != {"identical"}:
            msg = f"{spec.name}: {answer[spec.name]}"
            raise AssertionError(msg)
        if arguments.quick:
            break
    return answer


@part
def compiled(arguments: argparse.Namespace) -> dict[str, Any]:
    """The transformer, eager against compiled."""
    from goldtrace.store.declared import load_run
    from goldtrace.workflow.pairing import compare_compiled

    spec = load_run(ROOT / "golden/transformer/run.toml")
    result = compare_compiled(spec, arguments.device, root=ROOT, calibrated=not arguments.quick)
    comparison = result.comparison
    return {
        "verdict": None if result.verdict is None else result.verdict.value,
        "equivalent ulp": None if comparison is None else comparison.equivalent_ulp,
    }


@part
def conditions_afterwards(_: argparse.Namespace) -> dict[str, str]:
    """How the card is now: temperature, clocks, and what slowed it down."""
    from goldtrace.environment import accelerator_conditions

    return accelerator_conditions()


def _workloads(arguments: argparse.Namespace) -> list[tuple[str, int]]:
    if arguments.quick:
        return [("transformer", 3)]
    return [("resnet18", 15), ("resnet18", 128), ("transformer", 21), ("transformer", 512)]


def _loop(device: str, model: str, batch: int) -> Iterator[Any]:
    """First the model and its optimizer, then a loss and a batch for each step."""
    import torch
    from torch.nn.functional import cross_entropy

    from goldtrace.reference import resnet18, synthetic, transformer

    torch.manual_seed(0)
    if model == "resnet18":
        network = resnet18.build_model(zero_init_residual=False).to(device)
        inputs = torch.rand(batch, 3, 26, 26, device=device)
        labels = torch.arange(batch, device=device) % 10
    else:
        config = transformer.read_config(transformer.Config, _transformer_config(), run="benchmark")
        network = transformer.Decoder(config).to(device)
        inputs = torch.randint(0, synthetic.VOCABULARY, (batch, synthetic.LENGTH - 1)).to(device)
        labels = inputs.flatten()
    optimizer = torch.optim.SGD(network.parameters(), lr=0.01, momentum=0.9, weight_decay=5e-4)
    on_the_host = inputs.cpu(), labels.cpu()  # where a loader would have it
    yield network, optimizer
    while True:
        logits = network(inputs)
        loss = cross_entropy(logits if model == "resnet18" else logits.flatten(0, 1), labels)
        loss.backward()
        optimizer.step()
        optimizer.zero_grad()
        yield loss, on_the_host


def _transformer_config() -> dict[str, Any]:
    from goldtrace.store.declared import load_run

    return dict(load_run(ROOT / "golden/transformer/run.toml").config)


def _paired_steps(
    arguments: argparse.Namespace, model: str, batch: int
) -> tuple[list[float], list[float]]:
    import torch

    from goldtrace.model.spec import RunSpec
    from goldtrace.recording import recording

    wait = torch.cuda.synchronize if arguments.device == "cuda" else (lambda: None)
    spec = RunSpec(name="benchmark", entry="benchmark", tape=())
    bare, recorded = _loop(arguments.device, model, batch), _loop(arguments.device, model, batch)
    times: tuple[list[float], list[float]] = ([], [])
    with recording(spec, arguments.device, root=ROOT) as run:
        next(bare)
        network, optimizer = next(recorded)
        run.watch(model=network, optimizer=optimizer)
        for number in range(6 if arguments.quick else 70):
            wait()
            began = time.perf_counter()
            next(bare)
            wait()
            between = time.perf_counter()
            loss, data = next(recorded)
            run.step(loss=loss, batch=data)
            wait()
            ended = time.perf_counter()
            if number >= (2 if arguments.quick else 10):
                times[0].append(between - began)
                times[1].append(ended - between)
    return times


def _child(arguments: argparse.Namespace, step: str, environment: dict[str, str]) -> float:
    command = [sys.executable, __file__, "--device", arguments.device, "--step", step]
    command += ["--quick"] if arguments.quick else []
    answer = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
    if answer.returncode:
        raise RuntimeError(answer.stderr[-2000:])
    return float(json.loads(answer.stdout.splitlines()[-1]))


def steps_alone(arguments: argparse.Namespace) -> float:
    """The median seconds of a step: under the pins, or as torch comes."""
    from contextlib import nullcontext

    import torch

    from goldtrace.determinism import deterministic

    model, batch, pinned = arguments.step.split(",")
    wait = torch.cuda.synchronize if arguments.device == "cuda" else (lambda: None)
    pins = deterministic(device=arguments.device) if pinned == "pinned" else nullcontext()
    times = []
    with pins:
        loop = _loop(arguments.device, model, int(batch))
        next(loop)
        for number in range(6 if arguments.quick else 120):
            wait()
            began = time.perf_counter()
            next(loop)
            wait()
            if number >= (2 if arguments.quick else 20):
                times.append(time.perf_counter() - began)
    return statistics.median(times)


def _fastest(device: str, action: Callable[[], object], repeats: int = 7) -> float:
    """Seconds of the fastest of several calls, on the GPU's own clock."""
    import torch

    spent = []
    for _ in range(repeats):
        if device == "cuda":
            began, ended = (torch.cuda.Event(enable_timing=True) for _ in range(2))
            # What follows is queued before the GPU is free for it.
            torch.cuda._sleep(20_000_000)  # noqa: SLF001 - torch has no public name for it
            began.record()
            action()
            ended.record()
            ended.synchronize()
            spent.append(began.elapsed_time(ended) / 1e3)
        else:
            start = time.perf_counter()
            action()
            spent.append(time.perf_counter() - start)
    return min(spent)


def _with_pins(device: str) -> None:
    """Start again with the pins in place, which count only before Python starts."""
    pins = profile_for("cuda", device).environment()
    if any(os.environ.get(name) != value for name, value in pins.items()):
        environment = {**os.environ, **pins}
        environment.pop("NPY_ENABLE_CPU_FEATURES", None)
        os.execve(sys.executable, [sys.executable, *sys.argv], environment)  # noqa: S606


def write_page(page: Path, document: dict[str, Any]) -> None:
    """Put the figures where the page says that there are none yet, or where the last ones were."""
    text = page.read_text(encoding="utf-8")
    head, _, rest = text.partition(BEGIN)
    _, _, tail = rest.partition(END)
    page.write_text(f"{head}{BEGIN}\n\n{render(document)}\n{END}{tail}", encoding="utf-8")


def render(document: dict[str, Any]) -> str:
    """The figures as Markdown."""
    card = document.get("hardware", {})
    name = card.get("model", "an unknown card") if isinstance(card, dict) else "an unknown card"
    lines = [
        f"Measured on {name} by `make bench-cuda`; all figures in [cuda.json](reference/cuda.json)."
    ]
    lines += ["", "| what | measured |", "| --- | --- |"]
    for title in ("recording", "determinism"):
        for case, found in _entries(document, title):
            spread = f"{found['overhead']:.1%} ({found['from']:.1%} to {found['to']:.1%})"
            lines.append(f"| overhead of {title}, {case} | {spread} |")
    for size, found in _entries(document.get("digests", {}), "GB/s"):
        best = max((v for k, v in found.items() if k.startswith("digests")), default=0.0)
        reading = found["reading it (a sum)"]
        lines.append(
            f"| digests of {size} | {best:.0f} GB/s, {best / reading:.0%} of reading it "
            f"({reading:.0f} GB/s); equal to the CPU's |"
        )
    for run, found in _entries(document, "processes"):
        lines.append(f"| {run} | {found} |")
    if isinstance(document.get("compiled"), dict):
        found = document["compiled"]
        lines.append(
            f"| transformer, eager against compiled | {found['verdict']}, "
            f"{found['equivalent ulp']} ulp |"
        )
    lines += [f"| {name} | failed: see the JSON |" for name in document["failed"]]
    return "\n".join(lines) + "\n"


def _entries(document: Any, name: str) -> list[tuple[str, Any]]:
    found = document.get(name) if isinstance(document, dict) else None
    return list(found.items()) if isinstance(found, dict) else []


if __name__ == "__main__":
    raise SystemExit(main())
