from __future__ import annotations

from typing import TYPE_CHECKING

import golden_samples as samples
import pytest

from goldtrace.errors import GoldenError
from goldtrace.model.spec import RunKind, RunSpec
from goldtrace.model.tolerance import Tolerance
from goldtrace.store.failures import FailureStore

if TYPE_CHECKING:
    from pathlib import Path


SPEC = RunSpec(
    name="tiny",
    entry="tests/test_it.py::test_training[a b]",
    kind=RunKind.TEST,
    tolerance={"loss": Tolerance(rtol=0.1, atol=0.0)},
    exact=True,
    rounding_ulp=8.0,
)


def test_the_trace_of_a_failure_is_kept_until_a_check_passes(tmp_path: Path) -> None:
    failures = FailureStore.beside(tmp_path / "golden")
    assert failures.load("tiny", "cpu") is None
    for trace in (samples.trace(), samples.taped()):
        failures.keep(trace, SPEC)
        assert failures.load("tiny", "cpu") == trace
    failures.forget("tiny", "cpu")
    failures.forget("tiny", "cpu")
    assert failures.load("tiny", "cpu") is None
    assert (tmp_path / ".goldtrace/.gitignore").read_text(encoding="ascii") == "*\n"


@pytest.mark.parametrize(
    "lost", ["header.json", "steps.jsonl", "tensors.jsonl.gz", "tape.jsonl.gz"]
)
def test_a_failure_that_was_half_removed_is_an_error_that_says_what_to_do(
    tmp_path: Path, lost: str
) -> None:
    failures = FailureStore.beside(tmp_path / "golden")
    failures.keep(samples.taped(), SPEC)
    (tmp_path / ".goldtrace/failures/tiny/cpu" / lost).unlink()
    with pytest.raises(GoldenError) as refusal:
        failures.load("tiny", "cpu")
    assert refusal.value.hint


def test_a_disk_that_cannot_be_written_costs_the_explanation_only(tmp_path: Path) -> None:
    failures = FailureStore.beside(tmp_path / "golden")
    (tmp_path / ".goldtrace").touch()
    failures.keep(samples.trace(), SPEC)
    failures.forget("tiny", "cpu")
    assert failures.load("tiny", "cpu") is None


def test_what_a_failure_was_judged_by_is_kept_with_it(tmp_path: Path) -> None:
    failures = FailureStore.beside(tmp_path / "golden")
    assert failures.spec("tiny", "cpu") is None
    failures.keep(samples.trace(), SPEC)
    assert failures.spec("tiny", "cpu") == SPEC
    (tmp_path / ".goldtrace/failures/tiny/cpu/spec.json").write_text("[]", encoding="ascii")
    with pytest.raises(GoldenError, match="spec of the last failure"):
        failures.spec("tiny", "cpu")
