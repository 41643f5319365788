"""A trace held against a golden: the comparison, the diagnosis, and the one's word in the other."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING

from goldtrace.compare import compare_traces
from goldtrace.compare.thresholds import ROUNDING_ULP
from goldtrace.diagnose import another_argument, diagnose
from goldtrace.environment import changes
from goldtrace.model.diagnosis import CAUSE_OF_RUNG, Cause
from goldtrace.model.verdict import Verdict

if TYPE_CHECKING:
    from goldtrace.model.diagnosis import Diagnosis
    from goldtrace.model.spec import RunSpec
    from goldtrace.model.trace import Trace
    from goldtrace.model.verdict import Comparison
    from goldtrace.store.golden import Golden


def compare_with(golden: Golden, now: Trace, spec: RunSpec) -> tuple[Comparison, Diagnosis | None]:
    """How a trace differs from its golden, by what ``spec`` tolerates, and why."""
    compare = partial(
        compare_traces,
        golden.trace,
        now,
        tolerance=spec.tolerance,
        environment_changes=changes(golden.trace.header, now.header),
        calibration=golden.calibration,
        rounding_ulp=spec.rounding_ulp if spec.rounding_ulp is not None else ROUNDING_ULP,
    )
    comparison = compare()
    diagnosis = diagnose(golden.trace, now, comparison)
    evidence = operator_evidence(diagnosis)
    if golden.calibration is not None and comparison.verdict is not Verdict.IDENTICAL:
        argument = another_argument(golden.trace, now)
        if evidence is not None or argument is not None:
            comparison = compare(operator_class=evidence, argument=argument)
    return comparison, diagnosis


def is_numerical(comparison: Comparison, diagnosis: Diagnosis | None) -> bool:
    """Whether all that is seen of a difference may be how numbers were added up.

    Another setting, another batch, another program or another precision is more than that.
    """
    first = comparison.first
    causes = {culprit.cause for culprit in diagnosis.culprits} if diagnosis is not None else set()
    return (
        comparison.verdict is not Verdict.INCOMPARABLE
        and first is not None
        and first.rung not in CAUSE_OF_RUNG
        and causes <= {Cause.ROUNDING, Cause.UNKNOWN}
    )


def operator_evidence(diagnosis: Diagnosis | None) -> Cause | None:
    """What the first operators that differ say of the whole: rounding only if all of them do.

    That operators were added or removed says nothing of what they compute together, nor does a
    difference of unknown size.
    """
    causes = [culprit.cause for culprit in diagnosis.culprits] if diagnosis is not None else []
    telling = [cause for cause in causes if cause not in (Cause.PROGRAM, Cause.UNKNOWN)]
    if len(telling) < len(causes):
        telling = [cause for cause in telling if cause is not Cause.ROUNDING]
    return next((c for c in telling if c is not Cause.ROUNDING), next(iter(telling), None))
