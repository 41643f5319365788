"""Each release against the one before it, both environments side by side."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from itertools import pairwise
from typing import TYPE_CHECKING, Any

from goldtrace.bisect.probe import TraceCache
from goldtrace.errors import GoldtraceError
from goldtrace.model.upgrade import Standing
from goldtrace.packages.today import todays_environment
from goldtrace.packages.uv import Wish
from goldtrace.packages.workspace import Workspace
from goldtrace.reference.operators import relative_changes
from goldtrace.report.document.upgrades import bisection_document
from goldtrace.workflow.bisecting import bisect_package

if TYPE_CHECKING:
    from collections.abc import Sequence

    from goldtrace.bisect.target import Target
    from goldtrace.packages.uv import Resolution
    from goldtrace.workflow.means import Means


@dataclass(frozen=True)
class Releases:
    """The releases of a package in today's environment; ``means`` say how they are had."""

    package: str
    versions: Sequence[str]
    means: Means

    def resolve(self, target: Target, version: str) -> Resolution:
        """The environment of a release, as a bisection would have it."""
        today = todays_environment()
        pins = tuple(pin for pin in today.pins if not pin.startswith(f"{self.package}=="))
        requirements = (*today.requirements, f"{self.package}=={version}")
        wish = Wish(requirements=requirements, preferred=pins)
        return self.means.uv(target.root).resolve(wish)


def compare_neighbours(targets: Sequence[Target], releases: Releases) -> dict[str, Any]:
    """What each run shows between each pair of neighbours, as JSON values.

    For each run ``usable`` releases, ``skipped`` ones with their reason, and ``points``, the
    changes as in the document of a bisection.
    """
    found: dict[str, Any] = {
        target.name: {"usable": [], "skipped": {}, "points": []} for target in targets
    }
    with (
        ThreadPoolExecutor(max_workers=1) as builder,
        ThreadPoolExecutor(max_workers=len(targets)) as trainers,
    ):
        for place, (old, new) in enumerate(pairwise(releases.versions)):
            if place + 2 < len(releases.versions):
                builder.submit(prepare, targets, releases, releases.versions[place + 2])
            taken = [
                trainers.submit(take, found[target.name], target, releases, (old, new))
                for target in targets
            ]
            for one in taken:
                one.result()
    return found


def take(found: dict[str, Any], target: Target, releases: Releases, pair: tuple[str, str]) -> None:
    """Compare two releases; one that can't be tried is passed over, and its neighbours compared."""
    old = found["usable"][-1] if found["usable"] else pair[0]
    bisection = bisect_package(
        target, releases.package, releases.means, first=old, last=pair[1], everything=True
    )
    # Releases in between have been tried before, and can't be.
    for probe in bisection.probes:
        version = probe.label.removeprefix(f"{releases.package} ")
        if probe.standing is Standing.SKIPPED:
            found["skipped"][version] = probe.reason
        elif version in pair and version not in found["usable"]:
            found["usable"].append(version)
    points = bisection_document(bisection)["change_points"]
    found["points"] += points
    told = ", ".join(f"{p['class']} {p['op']}" for p in points) or "the same"
    print(f"{old} -> {pair[1]}: {target.name}: {told}", flush=True)


def prepare(targets: Sequence[Target], releases: Releases, version: str) -> None:
    """Build the environment of a release before it is needed, if it will be."""
    means = releases.means
    cache = TraceCache(means.directory / "traces")
    workspace = Workspace(
        means.directory,
        means.uv(targets[0].root),
        keep=means.keep,
        editable=todays_environment().editable,
    )
    try:
        resolution = releases.resolve(targets[0], version)
        if any(cache.load(cache.key(target, resolution)) is None for target in targets):
            workspace.prepare(resolution)
    except GoldtraceError as error:
        print(f"{releases.package} {version}: {error}", flush=True)


def operators_changed(target: Target, releases: Releases, usable: Sequence[str]) -> list[Any]:
    """By how much which operator of the atlas changed between neighbours."""
    cache = TraceCache(releases.means.directory / "traces")
    traces = {
        version: cache.load(cache.key(target, releases.resolve(target, version)))
        for version in usable
    }
    found = []
    for good, bad in pairwise(usable):
        one, other = traces[good], traces[bad]
        if one is None or other is None:
            raise SystemExit(f"the trace of {good} or {bad} is gone: run it again")
        changed = relative_changes(one.steps[-1].scalars, other.steps[-1].scalars)
        by_name: dict[str, dict[str, float | None]] = {}
        for result, change in changed.items():
            name, _, rest = result.partition(".")
            by_name.setdefault(name, {})[rest] = change
        found.append({"good": good, "bad": bad, "operators": by_name})
    return found
