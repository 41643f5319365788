"""What goes wrong around a run stays with that run."""

from __future__ import annotations

from typing import TYPE_CHECKING

import golden_samples as samples

from goldtrace.errors import GoldtraceError
from goldtrace.model.spec import RunSpec
from goldtrace.model.verdict import Comparison, RunResult, Verdict
from goldtrace.report.phrases import headline
from goldtrace.store.golden import GoldenStore
from goldtrace.workflow.checking import check, keep

if TYPE_CHECKING:
    from pathlib import Path

SPEC = RunSpec(name="mlp", entry="train:run")


def test_an_error_of_the_system_is_the_result_of_its_run(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    runs = [(SPEC, "cpu"), (SPEC, "cpu")]
    results = check(runs, store=GoldenStore(tmp_path / "golden"), root=tmp_path / "file")
    assert len(results) == 2
    for result in results:
        assert isinstance(result.error, GoldtraceError)
        assert result.verdict is None
        assert headline(result).startswith("mlp [cpu]: error: the run could not be checked")
        assert "Not a directory" in str(result.error)


def test_a_trace_that_a_report_cannot_hold_costs_no_verdict(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    compared = Comparison(verdict=Verdict.IDENTICAL, notes=("a note",))
    judged = RunResult(name="t", device="cpu", verdict=Verdict.IDENTICAL, comparison=compared)
    assert keep(judged, samples.trace(), tmp_path / "traces") == judged
    kept = keep(judged, samples.trace(), tmp_path / "file" / "traces")
    assert kept.verdict is Verdict.IDENTICAL
    assert kept.comparison is not None
    first, second = kept.comparison.notes
    assert first == "a note"
    assert second.startswith("its trace is not in the report: ")
