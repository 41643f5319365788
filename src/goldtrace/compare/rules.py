"""Which tolerance applies to what: the reading of ``tolerance`` in a run's declaration."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING

from goldtrace.model.verdict import Rung

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from goldtrace.model.tolerance import Tolerance
    from goldtrace.model.trace import Trace

LOSS = "loss"
"""The name of the loss among the numbers of a step: it has a rung of its own."""

GRAD_NORM = "grad_norm"
"""The name by which a tolerance reaches the norm of all gradients."""

BUFFER_NORM = "buffer_norm"
"""The mean norm of the buffers: evidence for a calibration, which no tolerance reaches."""

ANY_METRIC = "*"
"""The name that stands for every scalar and metric without a tolerance of its own."""

FLOATING_STATE = frozenset({Rung.GRADIENTS, Rung.OPTIMIZER, Rung.WEIGHTS, Rung.BUFFERS})
"""The rungs whose digests must change when a metric moves at all."""

_GROUP = re.compile(r"^(?:.*\.)?group[0-9]+\.")


@dataclass(frozen=True, slots=True, kw_only=True)
class Rules:
    """The tolerances of one comparison.

    ``judged_by_metrics`` says that the author named a metric that both traces hold, and so judges
    the run by its metrics: digests of floating-point state may then differ. ``unused`` are the
    names that reach nothing that was recorded.
    """

    tolerance: Mapping[str, Tolerance]
    judged_by_metrics: bool
    unused: tuple[str, ...]

    def for_metric(self, name: str) -> Tolerance | None:
        """The tolerance of a scalar of a step or of a metric of the end, if it has one."""
        return self.tolerance.get(name, self.tolerance.get(ANY_METRIC))

    def for_grad_norm(self) -> Tolerance | None:
        """The tolerance of the gradient norm, which ``*`` does not reach."""
        return self.tolerance.get(GRAD_NORM)

    def for_hyperparameter(self, name: str) -> Tolerance | None:
        """The tolerance of ``group0.lr``: named whole, or ``lr`` for every group."""
        for reaching in _names_reaching(name):
            if reaching in self.tolerance:
                return self.tolerance[reaching]
        return None

    def excuses(self, rung: Rung) -> bool:
        """Whether a digest of this rung may differ because metrics judge the run."""
        return self.judged_by_metrics and rung in FLOATING_STATE


def read_rules(
    tolerance: Mapping[str, Tolerance], golden: Trace, current: Trace, *, calibrated: bool = False
) -> Rules:
    """The rules for two traces; a tolerance that reaches nothing loosens nothing.

    What no tolerance names is judged by the calibration of a ``calibrated`` golden, and is not
    excused because metrics have tolerances.
    """
    metrics = _metrics(golden) & _metrics(current)
    hyperparameters = _hyperparameters(golden) | _hyperparameters(current)
    reachable = metrics | {r for name in hyperparameters for r in _names_reaching(name)}
    if metrics - {GRAD_NORM}:
        reachable.add(ANY_METRIC)
        metrics.add(ANY_METRIC)
    return Rules(
        tolerance=tolerance,
        judged_by_metrics=bool(metrics & tolerance.keys()) and not calibrated,
        unused=tuple(sorted(tolerance.keys() - reachable)),
    )


def _names_reaching(hyperparameter: str) -> Iterator[str]:
    yield hyperparameter
    bare = _GROUP.sub("", hyperparameter)
    if bare != hyperparameter:
        yield bare
    # A vector is recorded as betas[0] and betas[1]: "betas" reaches both.
    while bare.endswith("]"):
        bare = bare.rpartition("[")[0]
        yield bare


def _metrics(trace: Trace) -> set[str]:
    names = {name for step in trace.steps for name in step.scalars} | set(trace.end.metrics)
    if any(step.grad_norm is not None for step in trace.steps):
        names.add(GRAD_NORM)
    return names


def _hyperparameters(trace: Trace) -> set[str]:
    return {name for step in trace.steps for name in step.hyperparameters}
