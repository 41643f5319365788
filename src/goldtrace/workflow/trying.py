"""Try: today's environment against the same with other packages, both on this machine."""

from __future__ import annotations

import sys
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from goldtrace.bisect.causes import as_change
from goldtrace.compare import compare_traces
from goldtrace.compare.severity import equivalent_noise
from goldtrace.environment import changes
from goldtrace.errors import GoldtraceError
from goldtrace.model.spec import RunSpec
from goldtrace.model.upgrade import Trial
from goldtrace.model.verdict import RunResult
from goldtrace.packages.locks import difference
from goldtrace.packages.releases import require_releases
from goldtrace.packages.today import todays_environment
from goldtrace.packages.uv import ResolutionError, Wish
from goldtrace.packages.workspace import Workspace

if TYPE_CHECKING:
    from collections.abc import Sequence

    from goldtrace.bisect.target import Target
    from goldtrace.model.trace import Trace
    from goldtrace.model.verdict import Change
    from goldtrace.packages.today import Today
    from goldtrace.packages.uv import Resolution
    from goldtrace.workflow.means import Means


def try_packages(
    targets: Sequence[Target], requirements: Sequence[str], means: Means, *, latest: bool = False
) -> Trial:
    """Train each target here and with ``requirements`` applied, and compare the two.

    ``latest`` lets every package move to its newest release.

    Raises:
        UsageError: a release that is asked for doesn't exist.
        ResolutionError: the requirements can't be satisfied beside each other.
        BuildError: the environment can't be built.
    """
    today = todays_environment()
    root = targets[0].root
    uv = means.uv(root)
    wish = Wish(
        requirements=(*today.requirements, *requirements),
        preferred=() if latest else today.pins,
    )
    means.progress("resolving")
    try:
        resolution = uv.resolve(wish)
    except ResolutionError:
        require_releases(uv, requirements)
        raise
    workspace = Workspace(means.directory, uv, keep=means.keep, editable=today.editable)
    means.progress("building the environment")
    with workspace.environment(resolution) as interpreter:
        results = [_held_against(target, interpreter, means) for target in targets]
    return Trial(
        wanted=tuple(requirements) or ("the newest releases",),
        changes=_moved(today, resolution),
        results=tuple(results),
    )


def _held_against(target: Target, interpreter: Path, means: Means) -> RunResult:
    means.progress(f"training {target.name} with today's packages")
    result = RunResult(name=target.name, device=target.device)
    try:
        here = target.train(Path(sys.executable))
        means.progress(f"training {target.name} with the others")
        there = target.train(interpreter)
    except GoldtraceError as error:
        return replace(result, error=error, hint=error.hint)
    return _compared(target, here, there, result)


def _compared(target: Target, here: Trace, there: Trace, result: RunResult) -> RunResult:
    spec = target.run if isinstance(target.run, RunSpec) else None
    comparison = compare_traces(
        here,
        there,
        tolerance=spec.tolerance if spec else {},
        environment_changes=changes(here.header, there.header),
    )
    comparison = replace(comparison, equivalent_ulp=equivalent_noise(here, there, comparison))
    return replace(
        result,
        platform=there.header.platform,
        verdict=comparison.verdict,
        exact=spec.exact if spec else False,
        comparison=comparison,
    )


def _moved(today: Today, resolution: Resolution) -> tuple[Change, ...]:
    had = dict(pin.split("==", 1) for pin in today.pins)
    return tuple(
        as_change(change)
        for change in difference(had, resolution.versions)
        # What today's environment has beside the wish isn't missed.
        if change.new is not None
    )
