"""Accept candidates: make goldens of what a failing check stored in its report.

Nothing is trained, so a golden of a GPU can be accepted where there is none.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from goldtrace.candidates.reading import read_candidates
from goldtrace.environment import revision
from goldtrace.errors import CandidateError, UsageError
from goldtrace.store.declared import RUN_FILE, load_run
from goldtrace.store.golden import PlanAction
from goldtrace.workflow.certifying import Recorded, plan_golden

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from goldtrace.candidates.manifest import Manifest
    from goldtrace.candidates.reading import Candidate
    from goldtrace.model.trace import Header
    from goldtrace.store.golden import GoldenStore


@dataclass(frozen=True, slots=True, kw_only=True)
class Acceptance:
    """One candidate that may become the golden: what that writes, and where it came from.

    ``notes`` are what a reviewer should know before.
    """

    recorded: Recorded
    manifest: Manifest
    notes: tuple[str, ...] = ()


def plan_acceptance(
    report: Path, names: Sequence[str], *, store: GoldenStore, root: Path, reason: str
) -> list[Acceptance]:
    """What accepting the candidates of these runs would write; of all runs without ``names``.

    Raises:
        UsageError: a name that no candidate has.
        CandidateError: the report cannot be trusted, or a candidate no longer fits this checkout.
        StoreError: a golden cannot be read.
    """
    candidates = read_candidates(report)
    known = {candidate.manifest.run for candidate in candidates}
    unknown = [name for name in names if name not in known]
    if unknown:
        raise UsageError(
            f"the report has no candidate for {unknown[0]!r}",
            where=str(report),
            expected=", ".join(sorted(known)),
        )
    chosen = [each for each in candidates if not names or each.manifest.run in names]
    return [_plan(each, store=store, root=root, reason=reason) for each in chosen]


def accept(acceptance: Acceptance, *, store: GoldenStore) -> None:
    """Write the golden and its ledger, all or nothing.

    Raises:
        StoreError: it cannot be written, or was changed since the plan was made.
    """
    store.apply(acceptance.recorded.plan)


def _plan(candidate: Candidate, *, store: GoldenStore, root: Path, reason: str) -> Acceptance:
    manifest, header = candidate.manifest, candidate.trace.header
    _require_declared(header, store)
    plan = plan_golden(
        candidate.trace,
        certificate=candidate.certificate,
        calibration=candidate.calibration,
        store=store,
        root=root,
        reason=reason,
    )
    if plan.action is not PlanAction.UNCHANGED and plan.expected != manifest.base:
        raise CandidateError(
            "the golden has changed since this candidate was made to replace it",
            where=f"{manifest.run} on {manifest.platform}",
            expected=_short(manifest.base),
            found=_short(plan.expected),
            hint="merge the target branch, let CI check again, and accept its new candidate",
        )
    recorded = Recorded(
        plan=plan,
        processes=candidate.certificate.processes,
        trace=candidate.trace,
        calibration=plan.calibration,
        uncalibrated=manifest.uncalibrated,
    )
    return Acceptance(recorded=recorded, manifest=manifest, notes=_notes(header, root))


def _require_declared(header: Header, store: GoldenStore) -> None:
    """The run must be one that this checkout has, with the settings that it was trained with."""
    if "::" in header.origin:
        return  # A test: what it is made of is known once pytest has collected it.
    where = f"{header.run} on {header.platform}"
    file = store.root / header.run / RUN_FILE
    if not file.is_file():
        raise CandidateError(
            "this checkout declares no such run",
            where=where,
            expected=str(file),
            found="no such file",
            hint="check out the branch that the CI job ran on",
        )
    spec = load_run(file)
    if header.spec_digest != spec.digest() or header.device not in spec.devices:
        settings = spec.settings()
        differing = [
            f"{key} {header.settings.get(key)!r} there, {settings.get(key)!r} here"
            for key in sorted({*header.settings, *settings})
            if header.settings.get(key) != settings.get(key)
        ]
        raise CandidateError(
            "the candidate was trained with other settings than this checkout declares",
            where=where,
            expected=f"what {file} says",
            found="; ".join(differing) or f"device {header.device}",
            hint="check out the branch that the CI job ran on",
        )


def _notes(header: Header, root: Path) -> tuple[str, ...]:
    made, here = header.revision, revision(root)
    notes = []
    if made is None and here is not None:
        notes.append("it does not say which commit it was trained on")
    elif made is not None and here is not None and made.commit != here.commit:
        notes.append(f"trained on commit {made.commit[:12]}, while {here.commit[:12]} is here")
    if made is not None and made.dirty:
        notes.append("its commit had local changes when it was trained")
    return tuple(notes)


def _short(fingerprint: str | None) -> str:
    return "no golden" if fingerprint is None else f"the golden with fingerprint {fingerprint[:12]}"
