"""Bisect: the releases, or the package changes, that moved a run; and what that would take."""

from __future__ import annotations

import math
import platform
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from packaging.utils import canonicalize_name
from packaging.version import Version

from goldtrace.bisect.bench import Bench
from goldtrace.bisect.causes import Ends, as_change, explain
from goldtrace.bisect.change_points import Releases, every_change, first_change
from goldtrace.bisect.journal import open_journal
from goldtrace.bisect.probe import TraceCache
from goldtrace.model.machine import processor
from goldtrace.model.upgrade import Bisection
from goldtrace.packages.locks import difference
from goldtrace.packages.own_wheel import own_requirements
from goldtrace.packages.releases import releases, require_release
from goldtrace.packages.today import todays_environment
from goldtrace.packages.uv import Wish
from goldtrace.packages.workspace import Workspace, size_of, tag_as_cache

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from goldtrace.bisect.causes import Explained
    from goldtrace.bisect.change_points import Found
    from goldtrace.bisect.journal import Journal
    from goldtrace.bisect.target import Target
    from goldtrace.model.verdict import Change
    from goldtrace.packages.locks import PackageChange, Pins
    from goldtrace.packages.uv import Uv
    from goldtrace.workflow.means import Means


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """What a bisection would do: the candidates, the probes and the bytes that it would need.

    ``candidates`` are releases, or package changes between two lists; ``probes`` are for one
    change point, or for one package that is named, before its releases are tried.
    """

    candidates: tuple[str, ...]
    probes: int
    bytes_each: int


def bisect_package(
    target: Target,
    package: str,
    means: Means,
    *,
    first: str,
    last: str | None = None,
    everything: bool = False,
) -> Bisection:
    """The first change point of ``target`` among the releases of ``package``, or every one."""
    package = canonicalize_name(package)
    bench_of = _Benches(target, means)
    with bench_of.journal({"package": package}) as journal:
        versions = _candidates(bench_of, journal, package, first, last)
        bench = bench_of(journal)
        series = Releases(package=package, versions=versions, wish=bench_of.release(package))
        search = every_change if everything else first_change
        found = search(bench, series, confirm=means.confirm)
        return _bisection(
            bench,
            found,
            question=f"{package} {versions[0]} to {versions[-1]}, {len(versions)} releases",
        )


def bisect_pins(
    target: Target, old: Pins, new: Pins, means: Means, *, names: tuple[str, str]
) -> Bisection:
    """The smallest sets of package changes that cause the drift, and the release in each."""
    bench_of = _Benches(target, means)
    ends = Ends(old=old, new=new, besides=own_requirements())
    question = {"old": dict(sorted(old.items())), "new": dict(sorted(new.items()))}
    with bench_of.journal(question) as journal:
        bench = bench_of(journal)
        found = explain(
            bench,
            ends,
            lambda change: _between(bench_of.uv, journal, change),
            confirm=means.confirm,
        )
        return _bisection(
            bench,
            found,
            question=f"{names[0]} to {names[1]}, {len(ends.changes)} package changes",
            causes=tuple(
                tuple(sorted(map(as_change, cause.changes), key=lambda c: c.what))
                for cause in found.causes
            ),
        )


def _bisection(
    bench: Bench,
    found: Found | Explained,
    *,
    question: str,
    causes: tuple[tuple[Change, ...], ...] = (),
) -> Bisection:
    return Bisection(
        target=bench.target.name,
        device=bench.target.device,
        question=question,
        until=bench.until,
        machine=machine(),
        change_points=found.points,
        causes=causes,
        probes=bench.probes(found.answers),
        notes=found.notes,
        conclusive=found.conclusive,
    )


def pins_at(date: str, requirements: Sequence[str], root: Path, means: Means) -> dict[str, str]:
    """The pins to which ``requirements`` would have resolved on ``date`` (or ``today``).

    Raises:
        ResolutionError: they would not.
    """
    until = None if date == "today" else date
    wish = Wish(requirements=tuple(requirements), until=until)
    versions = means.uv(root).resolve(wish).versions
    return {name: version for name, version in versions.items() if name != "goldtrace"}


def plan_package(
    target: Target, package: str, means: Means, *, first: str, last: str | None = None
) -> Plan:
    """What ``bisect_package`` would do, at most, for one change point."""
    package = canonicalize_name(package)
    bench_of = _Benches(target, means)
    with bench_of.journal({"package": package}) as journal:
        versions = _candidates(bench_of, journal, package, first, last)
    probes = 2 + (len(versions) - 2).bit_length()
    return Plan(candidates=versions, probes=probes, bytes_each=size_of(Path(sys.prefix)))


def plan_pins(old: Pins, new: Pins) -> Plan:
    """What ``bisect_pins`` would do, at most, for each package that it names."""
    found = difference(old, new)
    return Plan(
        candidates=tuple(f"{c.package} {c.old or 'absent'} → {c.new or 'absent'}" for c in found),
        probes=2 + math.ceil(math.log2(max(2, len(found)))) + 4,
        bytes_each=size_of(Path(sys.prefix)),
    )


def machine() -> str:
    """Python, system and processor in one line."""
    cpu = processor()
    name = " ".join(filter(None, (cpu.vendor, cpu.model)))
    return f"Python {platform.python_version()}, {platform.system()} {cpu.architecture}, {name}"


class _Benches:
    """Makes the bench of one target: workspace, traces and journal below one directory."""

    def __init__(self, target: Target, means: Means) -> None:
        self.target = target
        self.means = means
        self.uv = means.uv(target.root)
        self.today = todays_environment()

    def journal(self, question: dict[str, Any]) -> Any:
        """The journal of a question about this target, from today's environment."""
        tag_as_cache(self.means.directory)
        whole = {
            **question,
            "target": self.target.question(),
            "python": sys.version,
            "today": [*self.today.requirements, *self.today.pins],
            "builds": self.means.builds,
            "prereleases": self.means.prereleases,
        }
        return open_journal(self.means.directory / "journals", whole, fresh=self.means.fresh)

    def __call__(self, journal: Journal) -> Bench:
        means = self.means
        workspace = Workspace(
            means.directory, self.uv, keep=means.keep, editable=self.today.editable
        )
        return Bench(
            target=self.target,
            workspace=workspace,
            traces=TraceCache(means.directory / "traces"),
            journal=journal,
            until=means.until,
            jobs=means.jobs,
            executor=means.executor,
            ahead=means.ahead and means.jobs == 1 and means.executor is None,
            progress=means.progress,
        )

    def release(self, package: str) -> Callable[[str], Wish]:
        """Today's environment with another release of ``package``."""
        pins = tuple(p for p in self.today.pins if not p.startswith(f"{package}=="))
        return lambda version: Wish(
            requirements=(*self.today.requirements, f"{package}=={version}"), preferred=pins
        )


def _candidates(
    bench_of: _Benches, journal: Journal, package: str, first: str, last: str | None
) -> tuple[str, ...]:
    """The releases, from the journal where both ends were named: new ones can't come between."""
    key = f"releases from {first} to {last}"
    known = journal.get(key)
    if known is None:
        bench_of.means.progress(f"looking for releases of {package}")
        for option, version in (("--from ", first), ("--to ", last)):
            if version is not None:
                require_release(bench_of.uv, package, version, option=option)
        known = list(releases(bench_of.uv, package, first=first, last=last))
        if last is not None:
            journal.add(key, known)
    return tuple(known)


def _between(uv: Uv, journal: Journal, change: PackageChange) -> tuple[str, ...]:
    """The releases of a change from the old to the new one, also where it is a downgrade."""
    if change.old is None or change.new is None:
        return ()
    key = f"releases within {change}"
    known = journal.get(key)
    if known is None:
        low, high = sorted((change.old, change.new), key=Version)
        known = list(releases(uv, change.package, first=low, last=high))
        if Version(change.old) > Version(change.new):
            known.reverse()
        journal.add(key, known)
    return tuple(known)
