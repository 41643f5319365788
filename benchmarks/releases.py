"""Train runs under every release of a package, one environment at a time, and check the bisection.

Each environment is built, all runs train in it, and it is removed: torch takes 5 GB a release.
Traces are kept, so a second call goes on where the first one stopped. Then each run is bisected
with every change point asked for; it must find what the exhaustive comparison of neighbours
found, within the promised number of probes, and answer from its cache the second time.
"""

from __future__ import annotations

import argparse
import json
import math
import sys
import time
from itertools import pairwise
from pathlib import Path
from typing import TYPE_CHECKING, Any

from goldtrace.bisect.probe import TraceCache
from goldtrace.bisect.target import BUILT_IN, Target
from goldtrace.compare import compare_traces
from goldtrace.compare.severity import equivalent_noise, kind
from goldtrace.errors import GoldtraceError
from goldtrace.model.verdict import Verdict
from goldtrace.packages.candidates import releases
from goldtrace.packages.today import todays_environment
from goldtrace.packages.uv import Wish
from goldtrace.packages.workspace import Workspace
from goldtrace.reference.operators import relative_changes
from goldtrace.report.phrases import describe_divergence
from goldtrace.store.declared import load_run
from goldtrace.upgrades import Means, bisect_package

if TYPE_CHECKING:
    from collections.abc import Sequence

    from goldtrace.model.trace import Trace


def main() -> None:
    """Train everywhere, bisect, write what was found as JSON."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("runs", nargs="+")
    parser.add_argument("--package", default="torch")
    parser.add_argument("--from", dest="first", default="2.4.0")
    parser.add_argument("--to", dest="last", default="2.15.0")
    parser.add_argument("--workspace", type=Path, required=True)
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--page", type=Path, help="write the result as a page of the docs")
    arguments = parser.parse_args()
    root = Path.cwd()
    targets = [
        Target(
            run=BUILT_IN.get(run) or load_run(root / "golden" / run / "run.toml"),
            device="cpu",
            root=root,
        )
        for run in arguments.runs
    ]
    means = Means(
        directory=arguments.workspace.absolute(),
        keep=0,
        cache=False,
        ahead=False,
        confirm=False,  # every release is trained anyway
        progress=lambda sentence: print(sentence, file=sys.stderr, flush=True),
    )
    versions = releases(
        means.uv(root), arguments.package, first=arguments.first, last=arguments.last
    )
    document: dict[str, Any] = {"package": arguments.package, "versions": versions, "runs": {}}
    traces = train_everywhere(targets, versions, means, arguments.package)
    for target in targets:
        found = neighbours(versions, traces[target.name])
        document["runs"][target.name] = {
            "exhaustive": found,
            "bisection": bisected(target, arguments, means, versions, found),
        }
    if "operators" in traces:
        document["operators"] = operators(versions, traces["operators"])
    arguments.out.write_text(json.dumps(document, indent=2) + "\n", encoding="utf-8")
    if arguments.page is not None:
        arguments.page.write_text(page(document), encoding="utf-8")


def train_everywhere(
    targets: Sequence[Target], versions: Sequence[str], means: Means, package: str
) -> dict[str, dict[str, Trace | None]]:
    """The trace of each target under each release; ``None`` where it could not be trained."""
    today = todays_environment()
    uv = means.uv(targets[0].root)
    workspace = Workspace(means.directory, uv, keep=0, editable=today.editable)
    cache = TraceCache(means.directory / "traces")
    preferred = tuple(pin for pin in today.pins if not pin.startswith(f"{package}=="))
    traces: dict[str, dict[str, Trace | None]] = {target.name: {} for target in targets}
    for version in versions:
        wish = Wish(
            requirements=(*today.requirements, f"{package}=={version}"), preferred=preferred
        )
        began = time.monotonic()
        try:
            resolution = uv.resolve(wish)
            keys = {target.name: cache.key(target, resolution) for target in targets}
            missing = [t for t in targets if cache.load(keys[t.name]) is None]
            if missing:
                with workspace.environment(resolution) as interpreter:
                    built = time.monotonic() - began
                    print(f"{package} {version}: built in {built:.0f} s", flush=True)
                    for target in missing:
                        began = time.monotonic()
                        cache.store(keys[target.name], target.train(interpreter))
                        seconds = time.monotonic() - began
                        print(f"  {target.name}: {seconds:.0f} s", flush=True)
        except GoldtraceError as error:
            print(f"{package} {version}: {error}", flush=True)
        for target in targets:
            traces[target.name][version] = cache.load(keys[target.name])
    return traces


def neighbours(versions: Sequence[str], traces: dict[str, Trace | None]) -> list[dict[str, Any]]:
    """How each release differs from the one before it that could be trained."""
    usable = [version for version in versions if traces[version] is not None]
    found = []
    for good, bad in pairwise(usable):
        one, other = traces[good], traces[bad]
        assert one is not None  # noqa: S101 - just filtered
        assert other is not None  # noqa: S101 - just filtered
        comparison = compare_traces(one, other, tolerance={})
        if comparison.verdict is Verdict.IDENTICAL:
            continue
        first = comparison.first
        found.append(
            {
                "good": good,
                "bad": bad,
                "class": kind(one, other, comparison),
                "noise": equivalent_noise(one, other, comparison),
                "first": describe_divergence(first) if first is not None else None,
            }
        )
    return found


def operators(versions: Sequence[str], traces: dict[str, Trace | None]) -> list[dict[str, Any]]:
    """By how much which operator changed between neighbouring releases."""
    usable = [version for version in versions if traces[version] is not None]
    found = []
    for good, bad in pairwise(usable):
        one, other = traces[good], traces[bad]
        assert one is not None  # noqa: S101 - just filtered
        assert other is not None  # noqa: S101 - just filtered
        changed = relative_changes(one.steps[-1].scalars, other.steps[-1].scalars)
        by_name: dict[str, dict[str, float | None]] = {}
        for result, change in changed.items():
            name, _, rest = result.partition(".")
            by_name.setdefault(name, {})[rest] = change
        found.append({"good": good, "bad": bad, "operators": by_name})
    return found


def page(document: dict[str, Any]) -> str:
    """The result as Markdown."""
    package, versions = document["package"], document["versions"]
    lines = [
        f"# What changed on the CPU between releases of {package}",
        "",
        (
            f"Made by `make bench-releases`: {len(versions)} releases, {versions[0]} to "
            f"{versions[-1]}, trained the same runs under the profile `cpu-portable` on one "
            "machine. All other packages were the same, but for those that a release asks for "
            "itself, such as its torchvision."
        ),
        "",
        "## Runs",
        "",
        "| run | change | class | noise (ulp) | first difference |",
        "| --- | --- | --- | --- | --- |",
    ]
    for run, result in document["runs"].items():
        for one in result["exhaustive"]:
            noise = "" if one["noise"] is None else f"{one['noise']:.2g}"
            change = f"{one['good']} → {one['bad']}"
            lines.append(f"| {run} | {change} | {one['class']} | {noise} | {one['first']} |")
    lines += [
        "",
        (
            "`goldtrace bisect RUN --package torch --all` against these, which compare every "
            "release with the one before it (confirming the pairs, which was left out here, would "
            "take the probes of the fifth column more):"
        ),
        "",
        "| run | change points | agrees | probes | and to confirm | bound | second call |",
        "| --- | --- | --- | --- | --- | --- | --- |",
    ]
    for run, result in document["runs"].items():
        told = result["bisection"]
        lines.append(
            f"| {run} | {len(told['points'])} | {'yes' if told['agrees'] else 'no'} "
            f"| {told['probes']} | {told['confirming']} | {told['bound']} "
            f"| {told['again_seconds']:.1f} s |"
        )
    lines += ["", "## Operators", "", *operator_lines(document.get("operators", []))]
    return "\n".join(lines)


def operator_lines(pairs: Sequence[dict[str, Any]]) -> list[str]:
    """A table a pair of releases, the largest change first."""
    lines = [
        (
            "The size of a change is an estimate of its Euclidean norm over the norm of the "
            "result, the largest among dtypes, forward and backward (`grad`). A draw that changed "
            "wholly is another stream of random numbers. Operators that are not listed kept "
            "every bit."
        ),
        "",
    ]
    for pair in pairs:
        changed = pair["operators"]
        lines.append(f"### {pair['good']} → {pair['bad']}")
        lines.append("")
        if not changed:
            lines += ["Every bit of every operator is the same.", ""]
            continue
        lines += ["| operator | largest change | results |", "| --- | --- | --- |"]

        def largest(name: str, changed: dict[str, Any] = changed) -> float:
            return max(math.inf if c is None else c for c in changed[name].values())

        for name in sorted(changed, key=lambda name: (-largest(name), name)):
            size = largest(name)
            shown = "appeared or went" if math.isinf(size) else f"{size:.1e}"
            lines.append(f"| `{name}` | {shown} | {', '.join(sorted(changed[name]))} |")
        lines.append("")
    return lines


def bisected(
    target: Target,
    arguments: argparse.Namespace,
    means: Means,
    versions: Sequence[str],
    found: Sequence[dict[str, Any]],
) -> dict[str, Any]:
    """Bisect with every change point asked for, check the answer, and ask again."""
    answers = []
    for _ in range(2):
        began = time.monotonic()
        bisection = bisect_package(
            target,
            arguments.package,
            means,
            first=arguments.first,
            last=arguments.last,
            everything=True,
        )
        answers.append((bisection, time.monotonic() - began))
    points = [(point.good, point.bad) for point in answers[0][0].change_points]
    bound = 2 * len(points) * math.ceil(math.log2(len(versions))) + 2
    confirming = 2 * len(points)
    return {
        "points": points,
        "agrees": points == [(one["good"], one["bad"]) for one in found],
        "probes": len(answers[0][0].probes),
        "confirming": confirming,
        "bound": bound,
        "within_bound": len(answers[0][0].probes) + confirming <= bound,
        "again_seconds": answers[1][1],
        "again_agrees": answers[1][0].change_points == answers[0][0].change_points,
    }


if __name__ == "__main__":
    main()
