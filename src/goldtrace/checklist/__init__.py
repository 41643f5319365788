"""The reproducibility checklist: computed from a trace, its golden and the repository."""

from __future__ import annotations

from typing import TYPE_CHECKING

from goldtrace.checklist import numerics, provenance, training

if TYPE_CHECKING:
    from pathlib import Path

    from goldtrace.model.checklist import Point
    from goldtrace.model.trace import Trace
    from goldtrace.store.golden import Golden

__all__ = ["checklist"]


def checklist(trace: Trace, golden: Golden | None, *, root: Path) -> tuple[Point, ...]:
    """Every point, in the order in which a reader goes through them.

    ``golden`` is the one that the trace was held against, and ``root`` the project's root, where
    its lock file is.
    """
    return (
        training.seeds(trace),
        numerics.hash_seed(trace.header),
        numerics.deterministic_algorithms(trace.header),
        numerics.cudnn(trace.header),
        numerics.cublas(trace.header),
        numerics.tf32(trace.header),
        training.mixed_precision(trace),
        training.loss_scale(trace),
        training.data_loading(trace),
        training.data(trace, golden),
        provenance.lock(trace.header, root),
        provenance.container(trace.header),
        provenance.revision(trace.header),
        provenance.hardware(trace.header),
        provenance.certificate(golden),
    )
