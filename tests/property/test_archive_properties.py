"""Whatever bytes an archive has: the candidate that was stored comes out, or a refusal."""

from __future__ import annotations

import functools
import sys
import tempfile
import warnings
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

sys.path.insert(0, str(Path(__file__).parents[1] / "unit"))
from typing import TYPE_CHECKING

import candidate_samples as samples

from goldtrace.candidates.archive import read_report
from goldtrace.candidates.reading import read_candidates
from goldtrace.errors import CandidateError
from goldtrace.store.golden import GoldenStore

if TYPE_CHECKING:
    from goldtrace.candidates.reading import Candidate


@functools.cache
def served() -> tuple[bytes, bytes, dict[str, bytes]]:
    with tempfile.TemporaryDirectory() as folder:
        report = Path(folder, "report")
        samples.propose(report, GoldenStore(Path(folder, "golden")), samples.recorded())
        both = samples.as_github_serves(report), samples.as_gitlab_serves(report)
        return (*both, samples.contents(report))


@functools.cache
def stored() -> Candidate:
    [candidate] = read(served()[0])
    return candidate


def read(content: bytes) -> list[Candidate]:
    with tempfile.NamedTemporaryFile(suffix=".zip") as file, warnings.catch_warnings():
        warnings.simplefilter("ignore")
        file.write(content)
        file.flush()
        return read_candidates(Path(file.name))


@given(st.data())
def test_a_damaged_archive_gives_what_was_stored_or_is_refused(data: st.DataObject) -> None:
    content = bytearray(data.draw(st.sampled_from(served()[:2]), label="zip"))
    for _ in range(data.draw(st.integers(1, 4), label="edits")):
        place = data.draw(st.integers(0, len(content) - 1))
        match data.draw(st.sampled_from(["set", "cut", "insert", "end"])):
            case "set":
                content[place] = data.draw(st.integers(0, 255))
            case "cut":
                del content[place : place + data.draw(st.integers(1, 64))]
            case "insert":
                content[place:place] = data.draw(st.binary(min_size=1, max_size=16))
            case _:
                # Where the names and sizes of a zip are.
                tail = min(len(content), 600)
                content[-data.draw(st.integers(1, tail))] = data.draw(st.integers(0, 255))
        if not content:
            break
    try:
        found = read(bytes(content))
    except CandidateError:
        return
    assert found == [stored()]


_PART = st.sampled_from(["candidates", "tiny", "cpu-portable", "..", ".", "", "header.json", "é"])


@given(st.lists(st.lists(_PART, min_size=1, max_size=6).map("/".join), max_size=5))
def test_no_name_leads_out_of_the_archive(names: list[str]) -> None:
    files = dict(served()[2])
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        content = samples.zipped({**files, **{name: b"x" for name in names if name}})
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, "report.zip")
        path.write_bytes(content)
        try:
            found = read_report(path)
        except CandidateError:
            pass
        else:
            assert all(".." not in name.split("/") and not name.startswith("/") for name in found)
        assert [entry.name for entry in Path(folder).iterdir()] == ["report.zip"]


@given(st.binary(max_size=200))
def test_bytes_that_are_no_zip_are_refused(content: bytes) -> None:
    with pytest.raises(CandidateError):
        read(content)
