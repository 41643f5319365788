from __future__ import annotations

from typing import TYPE_CHECKING

import golden_samples as samples
import pytest

from goldtrace.errors import GoldenError
from goldtrace.store.failures import FailureStore

if TYPE_CHECKING:
    from pathlib import Path


def test_the_trace_of_a_failure_is_kept_until_a_check_passes(tmp_path: Path) -> None:
    failures = FailureStore.beside(tmp_path / "golden")
    assert failures.load("tiny", "cpu") is None
    for trace in (samples.trace(), samples.taped()):
        failures.keep(trace)
        assert failures.load("tiny", "cpu") == trace
    failures.forget("tiny", "cpu")
    failures.forget("tiny", "cpu")
    assert failures.load("tiny", "cpu") is None
    assert (tmp_path / ".goldtrace/.gitignore").read_text(encoding="ascii") == "*\n"


@pytest.mark.parametrize("lost", ["header.json", "steps.jsonl", "tape.jsonl.gz"])
def test_a_failure_that_was_half_removed_is_an_error_that_says_what_to_do(
    tmp_path: Path, lost: str
) -> None:
    failures = FailureStore.beside(tmp_path / "golden")
    failures.keep(samples.taped())
    (tmp_path / ".goldtrace/failures/tiny/cpu" / lost).unlink()
    with pytest.raises(GoldenError) as refusal:
        failures.load("tiny", "cpu")
    assert refusal.value.hint


def test_a_disk_that_cannot_be_written_costs_the_explanation_only(tmp_path: Path) -> None:
    failures = FailureStore.beside(tmp_path / "golden")
    (tmp_path / ".goldtrace").touch()
    failures.keep(samples.trace())
    failures.forget("tiny", "cpu")
    assert failures.load("tiny", "cpu") is None
