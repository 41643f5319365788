"""Check and record: the only place where the stages are put together."""

from __future__ import annotations

import enum
import getpass
import subprocess
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from datetime import datetime, timezone
from typing import TYPE_CHECKING

from goldtrace.compare import compare_traces
from goldtrace.diagnose import diagnose
from goldtrace.environment import changes
from goldtrace.errors import (
    DataUnavailableError,
    DeviceUnavailableError,
    GoldenError,
    GoldtraceError,
    NotRepeatableError,
    PlatformUnsupportedError,
    UsageError,
)
from goldtrace.launch import launch
from goldtrace.model.codec import encode_trace
from goldtrace.model.spec import RunKind, RunSpec
from goldtrace.model.verdict import Comparison, RunResult, Verdict
from goldtrace.report.terminal import describe_divergence
from goldtrace.store.declared import discover, load_run
from goldtrace.store.failures import FailureStore
from goldtrace.store.golden import Certificate
from goldtrace.store.ledger import LedgerEntry

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence
    from pathlib import Path

    from goldtrace.model.trace import Trace
    from goldtrace.store.golden import GoldenStore, Plan, PlanAction

Progress = Callable[[str], None]
"""Called with one short sentence whenever something begins."""

_ABSENT = (DataUnavailableError, DeviceUnavailableError)


class UpdateMode(enum.Enum):
    """Which goldens a session may write."""

    NONE = "none"
    MISSING = "missing"
    FAILING = "failing"
    DEFAULT = "failing and missing"
    ALL = "all"

    def covers(self, result: RunResult) -> bool:
        """Whether the golden of a run with this result is to be written."""
        absent = result.verdict in (Verdict.MISSING, Verdict.INCOMPARABLE)
        if self is UpdateMode.NONE or result.skipped is not None:
            return False
        if self is UpdateMode.ALL:
            return True
        if absent:
            return self in (UpdateMode.MISSING, UpdateMode.DEFAULT)
        return not result.passed and self in (UpdateMode.FAILING, UpdateMode.DEFAULT)


@dataclass(frozen=True, slots=True, kw_only=True)
class Recorded:
    """One golden that was written, or found to be unchanged."""

    name: str
    platform: str
    action: PlanAction
    moved: str
    processes: int


def select(
    golden_dir: Path, names: Sequence[str], devices: Sequence[str]
) -> list[tuple[RunSpec, str]]:
    """The declared runs of a golden directory, each with the devices that it is to run on.

    Raises:
        UsageError: a name that no ``run.toml`` declares, or no run at all.
    """
    specs = {spec.name: spec for spec in map(load_run, discover(golden_dir))}
    unknown = [name for name in names if name not in specs]
    if unknown or not specs:
        raise UsageError(
            f"no run {unknown[0]!r}" if unknown else "no declared runs",
            where=str(golden_dir),
            expected=", ".join(specs) or "golden/<run>/run.toml",
            hint="goldens of tests are checked and recorded by pytest",
        )
    chosen = [specs[name] for name in names] if names else list(specs.values())
    return [(spec, device) for spec in chosen for device in devices if device in spec.devices]


def run_named(golden_dir: Path, name: str, store: GoldenStore, device: str) -> RunSpec:
    """The declared run of this name, or the test whose golden or failure has it.

    Raises:
        UsageError: nothing has this name.
    """
    declared = {spec.name: spec for spec in map(load_run, discover(golden_dir))}
    if name in declared:
        return declared[name]
    failure = FailureStore.beside(golden_dir).load(name, device)
    origin = failure.header.origin if failure is not None else store.origins().get(name)
    if origin is None:
        known = sorted({*declared, *store.runs()})
        raise UsageError(
            f"no run {name!r}", where=str(golden_dir), expected=", ".join(known) or "a run"
        )
    return RunSpec(name=name, entry=origin, kind=RunKind.TEST)


def judge(spec: RunSpec, trace: Trace, store: GoldenStore) -> RunResult:
    """Hold a trace against the stored golden of its run and platform."""
    header = trace.header
    result = RunResult(
        name=spec.name, device=header.device, platform=header.platform, exact=spec.exact
    )
    try:
        golden = store.load(spec.name, header.platform)
    except GoldenError as error:
        return replace(result, verdict=Verdict.INCOMPARABLE, error=error, hint=error.hint)
    if golden is None:
        others = store.platforms(spec.name)
        verdict = Verdict.INCOMPARABLE if others else Verdict.MISSING
        note = f"goldens exist for {', '.join(others)}" if others else "no golden yet"
        return replace(
            result,
            verdict=verdict,
            comparison=Comparison(verdict=verdict, notes=(note,)),
            hint=_record_command(spec, header.device),
        )
    comparison = compare_traces(
        golden.trace,
        trace,
        tolerance=spec.tolerance,
        environment_changes=changes(golden.trace.header, header),
    )
    return replace(
        result,
        verdict=comparison.verdict,
        comparison=comparison,
        diagnosis=diagnose(golden.trace, trace, comparison),
        hint=_record_command(spec, header.device),
    )


def incomparable(spec: RunSpec, device: str, error: PlatformUnsupportedError) -> RunResult:
    """The result of a run on a machine that its profile does not cover."""
    return RunResult(
        name=spec.name,
        device=device,
        verdict=Verdict.INCOMPARABLE,
        exact=spec.exact,
        comparison=Comparison(verdict=Verdict.INCOMPARABLE, notes=(error.what,)),
        hint=error.hint,
    )


def remember(result: RunResult, trace: Trace, store: GoldenStore) -> None:
    """Keep the trace of a run that is not as its golden for ``goldtrace explain``, or forget it."""
    failures = FailureStore.beside(store.root)
    if result.passed:
        failures.forget(trace.header.run, trace.header.device)
    elif result.diagnosis is not None:
        failures.keep(trace)


def check_declared(spec: RunSpec, device: str, *, store: GoldenStore, root: Path) -> RunResult:
    """Train a declared run in a fresh interpreter and judge its trace.

    A run whose data or device is absent comes back as skipped, one whose profile does not cover
    this machine as incomparable; what else goes wrong is raised.
    """
    began = time.monotonic()
    try:
        trace = launch(spec, device, root=root)
    except _ABSENT as error:
        return RunResult(
            name=spec.name, device=device, exact=spec.exact, skipped=str(error), hint=error.hint
        )
    except PlatformUnsupportedError as error:
        return incomparable(spec, device, error)
    result = judge(spec, trace, store)
    remember(result, trace, store)
    return replace(result, seconds=time.monotonic() - began)


def check(
    runs: Iterable[tuple[RunSpec, str]],
    *,
    store: GoldenStore,
    root: Path,
    jobs: int = 1,
    progress: Progress = lambda _: None,
) -> list[RunResult]:
    """Check several runs, ``jobs`` side by side; an error becomes part of the run's result."""

    def one(run: tuple[RunSpec, str]) -> RunResult:
        spec, device = run
        progress(f"{spec.name} on {device}")
        try:
            return check_declared(spec, device, store=store, root=root)
        except GoldtraceError as error:
            return RunResult(name=spec.name, device=device, exact=spec.exact, error=error)

    with ThreadPoolExecutor(max_workers=jobs) as pool:
        return list(pool.map(one, runs))


def record(
    spec: RunSpec,
    device: str,
    *,
    store: GoldenStore,
    root: Path,
    reason: str,
    repeat: int = 2,
    dry_run: bool = False,
    progress: Progress = lambda _: None,
) -> Recorded:
    """Train ``repeat`` times in fresh processes and write the golden if they agree bit for bit.

    ``dry_run`` does everything but the writing.

    Raises:
        NotRepeatableError: they don't; nothing is written.
        GoldtraceError: a run failed; nothing is written.
    """
    traces = []
    for attempt in range(repeat):
        progress(f"{spec.name} on {device}: process {attempt + 1} of {repeat}")
        traces.append(launch(spec, device, root=root))
    return certify_and_store(traces, store=store, root=root, reason=reason, dry_run=dry_run)


def certify_and_store(
    traces: Sequence[Trace], *, store: GoldenStore, root: Path, reason: str, dry_run: bool = False
) -> Recorded:
    """Write a golden from traces of fresh processes, which must agree bit for bit.

    Raises:
        NotRepeatableError: two traces differ, or there is only one; nothing is written.
    """
    plan = plan_update(traces, store=store, root=root, reason=reason)
    if not dry_run:
        store.apply(plan)
    header = traces[0].header
    return Recorded(
        name=header.run,
        platform=header.platform,
        action=plan.action,
        moved=plan.entry.moved,
        processes=len(traces),
    )


def plan_update(traces: Sequence[Trace], *, store: GoldenStore, root: Path, reason: str) -> Plan:
    """What ``certify_and_store`` would write."""
    trace = traces[0]
    certificate = certify(traces)
    try:
        old = store.load(trace.header.run, trace.header.platform)
        moved = _movement(old.trace, trace) if old is not None else "first golden of this platform"
        changed = changes(old.trace.header, trace.header) if old is not None else ()
    except GoldenError as error:
        # A damaged golden is what people re-record; the ledger says that it was.
        moved, changed = f"the previous golden was unusable: {error.what}", ()
    entry = LedgerEntry(
        when=datetime.now(timezone.utc).isoformat(timespec="seconds"),
        who=_identity(root),
        reason=reason,
        environment_changes=changed,
        moved=moved,
    )
    return store.plan(trace, certificate=certificate, entry=entry)


def certify(traces: Sequence[Trace]) -> Certificate:
    """The certificate that fresh processes agreed bit for bit.

    Raises:
        NotRepeatableError: they didn't, or there is only one.
    """
    first, *rest = traces
    if not rest:
        raise NotRepeatableError(
            "one process certifies nothing", where=first.header.run, expected="two or more"
        )
    expected = encode_trace(first)
    for number, other in enumerate(rest, start=2):
        found = encode_trace(other)
        if found == expected:
            continue
        comparison = compare_traces(first, other, tolerance={})
        differing = [name for name in expected if found.get(name) != expected[name]]
        raise NotRepeatableError(
            f"process {number} did not repeat the bits of process 1; nothing was written",
            where=f"{first.header.run} on {first.header.device}",
            expected="the same trace from every fresh process",
            found=describe_divergence(comparison.first)
            if comparison.first
            else f"other bytes in {', '.join(differing)}",
            hint="look for generators without a seed, the clock, or files that change",
        )
    return Certificate.of(first, processes=len(traces))


def _movement(old: Trace, new: Trace) -> str:
    comparison = compare_traces(old, new, tolerance={})
    if comparison.first is None:
        return "unchanged"
    return describe_divergence(comparison.first)


def _record_command(spec: RunSpec, device: str) -> str:
    if spec.kind is spec.kind.TEST:
        return f"pytest '{spec.entry}' --golden-update --golden-device {device}"
    return f"goldtrace record {spec.name} --device {device} --reason '…'"


def _identity(root: Path) -> str:
    """Who is recording: the git identity, or the user's name."""
    values = []
    for key in ("user.name", "user.email"):
        try:
            shown = subprocess.run(  # noqa: S603 - fixed words
                ["git", "config", key],  # noqa: S607 - the git that the user uses
                cwd=root,
                capture_output=True,
                text=True,
                check=False,
            )
        except OSError:
            break
        values.append(shown.stdout.strip())
    name, email = (*values, "", "")[:2]
    if name and email:
        return f"{name} <{email}>"
    return name or email or getpass.getuser()
