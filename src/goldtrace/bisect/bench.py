"""Where probes are put: the journal is asked first, then jobs run, and what they say is kept."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor, as_completed
from contextlib import nullcontext
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING

from goldtrace.bisect.probe import Job, Outcome, run_job
from goldtrace.compare import compare_traces
from goldtrace.compare.severity import equivalent_noise, kind, severity
from goldtrace.environment import changes
from goldtrace.launch import side_by_side
from goldtrace.model.upgrade import Probe, Severity, Standing
from goldtrace.model.verdict import Change
from goldtrace.packages.uv import ResolutionError

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from concurrent.futures import Executor, Future

    from goldtrace.bisect.journal import Journal
    from goldtrace.bisect.probe import TraceCache
    from goldtrace.bisect.target import Target
    from goldtrace.model.progress import Progress
    from goldtrace.model.trace import Trace
    from goldtrace.model.verdict import Comparison
    from goldtrace.packages.uv import Wish
    from goldtrace.packages.workspace import Workspace


@dataclass(frozen=True, slots=True, kw_only=True)
class Probed:
    """The outcome of one label, with its trace where it trained."""

    label: str
    outcome: Outcome
    trace: Trace | None

    @property
    def usable(self) -> bool:
        """Whether it says anything at all."""
        return self.outcome.standing is not Standing.SKIPPED


@dataclass(frozen=True, slots=True, kw_only=True)
class Repeated:
    """A further training of an environment: whether it gave the same, bit for bit.

    ``trace`` is kept where it holds the tape that was asked for.
    """

    same: bool
    trace: Trace | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Finding:
    """How two usable outcomes differ; ``comparison`` is ``None`` where one of them failed.

    ``noise`` is the size of the difference in units of float32's last place.
    """

    severity: Severity
    kind: str | None
    comparison: Comparison | None = None
    noise: float | None = None


@dataclass(slots=True, kw_only=True)
class Bench:
    """Asks for outcomes by label, each at most once; labels are names that the journal knows.

    ``jobs`` probes run side by side on ``executor`` (threads of this process if ``None``).
    ``ahead`` builds the environments of labels that may be asked next while others train.
    """

    target: Target
    workspace: Workspace
    traces: TraceCache
    journal: Journal
    until: Severity
    jobs: int = 1
    executor: Executor | None = None
    ahead: bool = False
    progress: Progress = lambda _: None
    probed: dict[str, Probed] = field(default_factory=dict)
    _pace: list[float] = field(default_factory=list)
    _findings: dict[tuple[str, str], Finding] = field(default_factory=dict)

    def ask(
        self,
        wishes: Mapping[str, Wish],
        *,
        left: int = 0,
        next_wishes: Sequence[Wish] = (),
    ) -> list[Probed]:
        """The outcomes of all ``wishes``, in their order; ``left`` estimates what comes after.

        Raises:
            StoreError: the journal can't be written.
        """
        for label in wishes:
            if label not in self.probed and (known := self._remembered(label)) is not None:
                self.probed[label] = known
        missing = {label: w for label, w in wishes.items() if label not in self.probed}
        if missing:
            self._run(missing, left=left, next_wishes=next_wishes)
        return [self.probed[label] for label in wishes]

    def again(self, probed: Probed, wish: Wish, *, step: int | None = None) -> Repeated:
        """Train the same environment once more; with a tape of ``step`` alone if one is named."""
        if (known := self._repeated(probed, step)) is not None:
            return known
        self.progress(f"confirming {probed.label}")
        target = self.target if step is None else self.target.taped(step)
        outcome, trace = run_job(replace(self._job(wish), target=target, again=True))
        same = (
            probed.trace is not None
            and trace is not None
            and not compare_traces(probed.trace, trace, tolerance={}).divergences
        ) or (outcome.standing, outcome.failure) == (Standing.FAILED, probed.outcome.failure)
        kept = None
        if step is not None and trace is not None and outcome.trace is not None:
            kept = outcome.trace
            self.traces.store(kept, trace)
        if outcome.lasting:
            self.journal.add(_again(probed, step), {"same": same, "trace": kept})
        return Repeated(same=same, trace=trace)

    def trained_again(self, probed: Probed, *, step: int | None) -> bool:
        """Whether ``again`` would train nothing."""
        return self._repeated(probed, step) is not None

    def _repeated(self, probed: Probed, step: int | None) -> Repeated | None:
        known = self.journal.get(_again(probed, step))
        if known is None:
            return None
        trace = self.traces.load(known["trace"]) if known["trace"] is not None else None
        if trace is None and known["trace"] is not None:
            return None
        return Repeated(same=bool(known["same"]), trace=trace)

    def finding(self, good: Probed, other: Probed) -> Finding:
        """How ``other`` differs from ``good``; both are usable."""
        pair = (good.label, other.label)
        if pair not in self._findings:
            self._findings[pair] = self._found(good, other)
        return self._findings[pair]

    def _found(self, good: Probed, other: Probed) -> Finding:
        if good.trace is None or other.trace is None:
            same = good.outcome.failure == other.outcome.failure
            same &= good.outcome.standing is other.outcome.standing
            if same:
                return Finding(severity=Severity.NONE, kind=None)
            failure = other.outcome.failure or f"no more {good.outcome.failure}"
            return Finding(severity=Severity.LOSS, kind=failure)
        comparison = compare_traces(
            good.trace,
            other.trace,
            tolerance={},
            environment_changes=changes(good.trace.header, other.trace.header),
        )
        return Finding(
            severity=severity(good.trace, other.trace, comparison),
            kind=kind(good.trace, other.trace, comparison),
            comparison=comparison,
            noise=equivalent_noise(good.trace, other.trace, comparison),
        )

    def differ(self, good: Probed, other: Probed) -> bool:
        """Whether ``other`` is as far from ``good`` as counts."""
        return self.counts(self.finding(good, other))

    def counts(self, finding: Finding) -> bool:
        """Whether a difference is one that is looked for."""
        return finding.severity is not Severity.NONE and finding.severity.reaches(self.until)

    def probes(self, answers: Mapping[str, str]) -> tuple[Probe, ...]:
        """Every label that was asked, for the report; ``answers`` says what each one said."""
        return tuple(
            Probe(
                label=label,
                standing=probed.outcome.standing,
                answer=answers.get(label),
                reason=probed.outcome.reason,
                environment=probed.outcome.environment,
                seconds=probed.outcome.seconds,
            )
            for label, probed in self.probed.items()
        )

    def _job(self, wish: Wish) -> Job:
        return Job(target=self.target, wish=wish, workspace=self.workspace, traces=self.traces)

    def _remembered(self, label: str) -> Probed | None:
        fields = self.journal.get(label)
        if fields is None:
            return None
        outcome = replace(Outcome.from_json(fields), seconds=None)
        if not outcome.lasting:
            return None
        if outcome.standing is not Standing.TRAINED:
            return Probed(label=label, outcome=outcome, trace=None)
        trace = self.traces.load(outcome.trace or "")
        return None if trace is None else Probed(label=label, outcome=outcome, trace=trace)

    def _run(self, wishes: Mapping[str, Wish], *, left: int, next_wishes: Sequence[Wish]) -> None:
        builder = ThreadPoolExecutor(max_workers=1) if self.ahead else None
        try:
            if builder is not None:
                for wish in next_wishes:
                    builder.submit(_prepare, self.workspace, wish)
            if self.executor is None and len(wishes) == 1:
                # In this thread, so that an interrupt ends the training at once.
                ((label, wish),) = wishes.items()
                self._announce(label, left + 1)
                self._keep(label, *run_job(self._job(wish)))
            else:
                self._run_side_by_side(wishes, left=left)
        finally:
            if builder is not None:
                builder.shutdown(wait=True, cancel_futures=True)

    def _run_side_by_side(self, wishes: Mapping[str, Wish], *, left: int) -> None:
        here = side_by_side(self.jobs) if self.executor is None else nullcontext(self.executor)
        with here as pool:
            running: dict[Future[tuple[Outcome, Trace | None]], str] = {}
            for label, wish in wishes.items():
                self._announce(label, left + len(wishes))
                running[pool.submit(run_job, self._job(wish))] = label
            for done in as_completed(running):
                self._keep(running[done], *done.result())

    def _announce(self, label: str, probes: int) -> None:
        self.progress(f"trying {label}{self._estimate(probes)}")

    def _keep(self, label: str, outcome: Outcome, trace: Trace | None) -> None:
        if outcome.lasting:
            self.journal.add(label, outcome.to_json())
        self.probed[label] = Probed(label=label, outcome=outcome, trace=trace)
        if outcome.seconds is not None and outcome.standing is Standing.TRAINED:
            self._pace.append(outcome.seconds)
        if outcome.standing is not Standing.TRAINED:
            self.progress(f"{label} {outcome.standing.value}: {outcome.reason}")

    def _estimate(self, probes: int) -> str:
        if not self._pace or probes < 1:
            return ""
        seconds = sum(self._pace) / len(self._pace) * probes / self.jobs
        return f" (about {_duration(seconds)} left)"


def moved_along(good: Probed, bad: Probed, *, besides: frozenset[str]) -> tuple[Change, ...]:
    """The packages whose releases differ between two environments, but for ``besides``."""
    one, other = _versions(good), _versions(bad)
    return tuple(
        Change(what=name, golden=one.get(name), now=other.get(name))
        for name in sorted({*one, *other} - besides)
        if one.get(name) != other.get(name)
    )


def _again(probed: Probed, step: int | None) -> str:
    taped = "" if step is None else f", with a tape of step {step}"
    return f"again: {probed.label}{taped}"


def _versions(probed: Probed) -> dict[str, str]:
    return dict(pin.split("==", 1) for pin in probed.outcome.pins if "==" in pin)


def _prepare(workspace: Workspace, wish: Wish) -> None:
    # What goes wrong here goes wrong again, and is told, when the environment is needed.
    try:
        workspace.prepare(workspace.uv.resolve(wish))
    except ResolutionError:
        return


def _duration(seconds: float) -> str:
    if seconds < 90:  # noqa: PLR2004 - beyond that, minutes read better
        return f"{round(max(1, seconds))} s"
    hours, minutes = divmod(int(seconds) // 60, 60)
    return f"{hours} h {minutes} min" if hours else f"{round(seconds / 60)} min"
