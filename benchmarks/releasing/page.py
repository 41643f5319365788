"""What was found as a page of the docs."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence


def page(document: dict[str, Any]) -> str:
    """The whole page as Markdown."""
    package, versions = document["package"], document["versions"]
    return "\n".join(
        [
            f"# What changed on the CPU between releases of {package}",
            "",
            (
                f"Made by `make test-releases` on {document['machine']}, with goldtrace as of "
                f"{document['revision']}: {len(versions)} releases, "
                f"{versions[0]} to {versions[-1]}, trained the same runs under the profile "
                "`cpu-portable`. All other packages were the same, but for those that a release "
                "asks for itself, such as its torchvision."
            ),
            "",
            "## Runs",
            "",
            *runs(document["runs"]),
            "",
            "## The bisection",
            "",
            *bisections(document["runs"]),
            "",
            "## Operators",
            "",
            *operators(document.get("operators", [])),
        ]
    )


def runs(found: dict[str, Any]) -> Iterator[str]:
    """Every change of a run with its culprit."""
    yield (
        "Each pair of neighbouring releases was compared bit for bit. Where they differ, both were "
        "trained again, the tapes of the step where they part were compared, and the culprit was "
        "called by itself on its actual inputs under both releases. *Alone* tells whether each "
        "release then gave the bits that it gave in the training, and how far these are apart, in "
        "units in the last place, over all elements of the result: at most, and at the median of "
        "those that differ. The noise is that of the run's numbers at the first step that differs."
    )
    yield ""
    yield "| run | change | class | culprit | where | alone | noise (ulp) |"
    yield "| --- | --- | --- | --- | --- | --- | --- |"
    for run, result in found.items():
        for point in result["neighbours"]["points"]:
            cells = (
                run,
                f"{point['good']} → {point['bad']}",
                classes(point),
                culprits(point),
                where(point),
                alone(point),
                "" if point["equivalent_ulp"] is None else f"{point['equivalent_ulp']:.2g}",
            )
            yield f"| {' | '.join(cell.replace('|', chr(92) + '|') for cell in cells)} |"
    for run, result in found.items():
        neighbours = result["neighbours"]
        if not neighbours["points"]:
            yield ""
            yield f"No release changed a bit of {run}."
        for version, reason in neighbours["skipped"].items():
            yield ""
            yield f"{run} could not be tried under {version}: {reason}"


def classes(point: dict[str, Any]) -> str:
    """The class of the first culprit, and of the others where they are of another."""
    found = [c["class"] for c in (point["diagnosis"] or {}).get("culprits", [])]
    return ", ".join(dict.fromkeys([point["class"] or "", *found]))


def culprits(point: dict[str, Any]) -> str:
    """The first culprit by name, others by number."""
    found = (point["diagnosis"] or {}).get("culprits", [])
    names = list(dict.fromkeys(c["op"] for c in found))
    if not names:
        return point["failure"] or "unknown"
    others = f" and {len(names) - 1} more" if len(names) > 1 else ""
    return f"`{names[0]}`{others}"


def where(point: dict[str, Any]) -> str:
    """Step, phase and module of the first culprit."""
    found = (point["diagnosis"] or {}).get("culprits", [])
    step = (point["first_divergence"] or {}).get("step")
    place = " of ".join(filter(None, (found[0]["phase"], found[0]["module"]))) if found else ""
    return ", ".join(filter(None, (f"step {step}" if step is not None else "", place)))


def alone(point: dict[str, Any]) -> str:
    """What became of the culprit called by itself."""
    found = point["reproducer"]
    if found is None:
        return "not called"
    if not found["shown"]:
        return "no"
    if point["class"] == "rng" or found["ulp_most"] is None:
        return "yes"
    return (
        f"yes: at most {found['ulp_most']:,} ulp, median {found['ulp_median']:,}, "
        f"{found['differing']:,} of {found['elements']:,} elements"
    )


def bisections(found: dict[str, Any]) -> Iterator[str]:
    """Probes, bound and agreement."""
    yield (
        "`goldtrace bisect RUN --package torch --all` over all of them, held against the table "
        "above: the same pairs with the same culprits? The bound is 2·k·⌈log₂ n⌉ + 2 probes for k "
        "changes among n releases. The second call answers from the cache."
    )
    yield ""
    yield "| run | changes | agrees | probes | and to confirm | bound | second call |"
    yield "| --- | --- | --- | --- | --- | --- | --- |"
    for run, result in found.items():
        told = result["bisection"]
        yield (
            f"| {run} | {len(told['points'])} | {'yes' if told['agrees'] else 'no'} "
            f"| {told['probes']} | {told['confirming']} | {told['bound']} "
            f"| {told['again_seconds']:.1f} s |"
        )


def operators(pairs: Sequence[dict[str, Any]]) -> Iterator[str]:
    """A table a pair of releases, the largest change first."""
    yield (
        "The size of a change is an estimate of its Euclidean norm over the norm of the "
        "result, the largest among dtypes, forward and backward (`grad`). A draw that changed "
        "wholly is another stream of random numbers. Operators that are not listed kept "
        "every bit."
    )
    yield ""
    same = [pair for pair in pairs if not pair["operators"]]
    if same:
        told = ", ".join(f"{pair['good']} → {pair['bad']}" for pair in same)
        yield f"Every bit of every operator is the same: {told}."
        yield ""
    for pair in pairs:
        changed = pair["operators"]
        if not changed:
            continue
        yield f"### {pair['good']} → {pair['bad']}"
        yield ""
        yield "| operator | largest change | results |"
        yield "| --- | --- | --- |"
        sizes = {
            name: max(math.inf if c is None else c for c in results.values())
            for name, results in changed.items()
        }
        for name in sorted(changed, key=lambda name: (-sizes[name], name)):
            size = "appeared or went" if math.isinf(sizes[name]) else f"{sizes[name]:.1e}"
            yield f"| `{name}` | {size} | {', '.join(sorted(changed[name]))} |"
        yield ""
