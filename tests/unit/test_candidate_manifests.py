from __future__ import annotations

import io
import json
import os
import shutil
import stat
import zipfile
from typing import TYPE_CHECKING, Any

import candidate_samples as samples
import pytest

from goldtrace.candidates import archive
from goldtrace.candidates.manifest import Manifest, decode_manifest, encode_manifest
from goldtrace.candidates.reading import read_candidates
from goldtrace.candidates.writing import discard_candidate
from goldtrace.errors import CandidateError, GoldenError
from goldtrace.model import sealed
from goldtrace.store.golden import GoldenStore
from goldtrace.workflow.proposing import clear_candidates

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path


@pytest.fixture
def report(tmp_path: Path) -> Path:
    """A report with one candidate for a platform that has no golden."""
    samples.propose(tmp_path / "report", GoldenStore(tmp_path / "golden"), samples.recorded())
    return tmp_path / "report"


def candidate(report: Path) -> Path:
    return report / "candidates/tiny/cpu-portable"


@pytest.mark.parametrize("served", [samples.as_github_serves, samples.as_gitlab_serves])
def test_a_zip_holds_what_the_directory_holds(
    report: Path, tmp_path: Path, served: Callable[[Path], bytes]
) -> None:
    (tmp_path / "report.zip").write_bytes(served(report))
    [from_zip] = read_candidates(tmp_path / "report.zip")
    assert [from_zip] == read_candidates(report) == read_candidates(tmp_path)
    assert from_zip.trace == samples.recorded()
    assert from_zip.calibration is not None
    assert from_zip.manifest.base is None
    assert from_zip.manifest.environment["torch"] == "2.15.0"


def test_a_manifest_survives_its_file() -> None:
    manifest = Manifest(
        run="é",
        device="cuda",
        platform="cuda-sm90",
        base="0" * 64,
        verdict="drift",
        cause=None,
        moved='a | pipe, a "quote"\n and a line',
        files={"header.json": "1" * 64},
        environment={"gpu name": "H100"},
        uncalibrated="turned off",
    )
    assert decode_manifest(encode_manifest(manifest), where="") == manifest


def test_a_candidate_replaces_the_one_before_it(report: Path, tmp_path: Path) -> None:
    moved = samples.recorded(losses=samples.MOVED)
    samples.propose(report, GoldenStore(tmp_path / "golden"), moved)
    [found] = read_candidates(report)
    assert found.trace == moved
    assert [path.name for path in candidate(report).parent.iterdir()] == ["cpu-portable"]


def test_a_candidate_that_no_longer_holds_is_cleared_away(report: Path) -> None:
    discard_candidate(report, "tiny", "another")
    assert candidate(report).is_dir()
    discard_candidate(report, "tiny", "cpu-portable")
    assert not candidate(report).exists()
    with pytest.raises(CandidateError, match="no candidate golden in this report"):
        read_candidates(report)


def test_a_folder_that_is_no_candidate_is_left_alone(tmp_path: Path) -> None:
    place = tmp_path / "candidates/tiny/cpu-portable"
    place.mkdir(parents=True)
    (place / "mine.txt").touch()
    discard_candidate(tmp_path, "tiny", "cpu-portable")
    assert (place / "mine.txt").exists()


@pytest.mark.parametrize("platform", [None, "cpu-portable"])
def test_what_an_earlier_check_left_is_cleared_away_however_its_run_ends_now(
    report: Path, platform: str | None
) -> None:
    ended = {"name": "tiny", "platform": platform, "candidate": None}
    clear_candidates(report, [ended])
    assert not candidate(report).exists()


def test_what_a_run_that_is_not_checked_now_left_is_cleared_away(report: Path) -> None:
    folder = "candidates/tiny/cpu-portable"
    stored = {"name": "tiny", "platform": "cpu-portable", "candidate": {"folder": folder}}
    clear_candidates(report, [stored])
    assert candidate(report).exists()
    clear_candidates(report, [])
    assert not candidate(report).exists()


@pytest.mark.parametrize("served", [None, samples.as_github_serves, samples.as_gitlab_serves])
@pytest.mark.parametrize(
    ("document", "words"),
    [
        ('{"schema": 1, "runs": [{"candidate": null}]}', "does not speak of"),
        ('{"schema": 1, "runs": [{"candidate": {"folder": "candidates/a/b"}}]}', "candidates/a/b"),
        ('{"schema": 1, "runs": [{"candidate": {"folder": null}}]}', "does not speak of"),
        ('{"schema": 1, "runs": [3]}', "something else"),
        ('{"schema": 1, "runs": [{"candidate": []}]}', "something else"),
        ("[" * 9, "something else"),
        ("", "something else"),
        (None, "no such file"),
    ],
)
def test_a_candidate_that_the_report_does_not_name_is_refused(
    report: Path,
    tmp_path: Path,
    served: Callable[[Path], bytes] | None,
    document: str | None,
    words: str,
) -> None:
    (report / "report.json").unlink()
    if document is not None:
        (report / "report.json").write_text(document)
    place = report
    if served is not None:
        place = tmp_path / "report.zip"
        place.write_bytes(served(report))
    with pytest.raises(CandidateError) as refusal:
        read_candidates(place)
    assert words in str(refusal.value)


def edit_manifest(report: Path, **changes: Any) -> None:
    file = candidate(report) / "candidate.json"
    document = json.loads(file.read_bytes())
    del document["digest"]
    file.write_bytes(sealed.to_page(sealed.seal({**document, **changes})))


def cut(report: Path) -> None:
    file = candidate(report) / "steps.jsonl"
    file.write_bytes(file.read_bytes()[:-5])


def swap_a_byte_of_the_calibration(report: Path) -> None:
    file = candidate(report) / "calibration.json"
    file.write_bytes(file.read_bytes().replace(b"1e-07", b"2e-07", 1))


def move(report: Path) -> None:
    candidate(report).rename(candidate(report).with_name("cuda-sm90"))


def lose_the_manifest(report: Path) -> None:
    (candidate(report) / "candidate.json").unlink()


def edit_the_seal(report: Path) -> None:
    file = candidate(report) / "candidate.json"
    file.write_bytes(file.read_bytes().replace(b'"drift"', b'"rounding"'))


def link_a_file(report: Path) -> None:
    file = candidate(report) / "steps.jsonl"
    file.rename(report / "elsewhere.jsonl")
    file.symlink_to(report / "elsewhere.jsonl")


def link_the_folder(report: Path) -> None:
    candidate(report).rename(report / "elsewhere")
    candidate(report).symlink_to(report / "elsewhere")


def make_a_pipe(report: Path) -> None:
    (candidate(report) / "tape.jsonl.gz").unlink()
    os.mkfifo(candidate(report) / "tape.jsonl.gz")


def duplicate(report: Path) -> None:
    shutil.copytree(report / "candidates", report / "second/candidates")


@pytest.mark.parametrize(
    ("damage", "words"),
    [
        (cut, "digest of steps.jsonl"),
        (swap_a_byte_of_the_calibration, "digest of calibration.json"),
        (lambda report: (candidate(report) / "tape.jsonl.gz").unlink(), "digest of tape.jsonl.gz"),
        (lambda report: (candidate(report) / "certificate.json").unlink(), "no such file"),
        (lambda report: edit_manifest(report, platform="cuda-sm90"), "the platform does not"),
        (lambda report: edit_manifest(report, run="other"), "the run does not"),
        (lambda report: edit_manifest(report, device="cuda"), "the device does not"),
        (lambda report: edit_manifest(report, schema=2), "newer goldtrace"),
        (lambda report: edit_manifest(report, files={"../x": "0"}), "files that no golden has"),
        (lambda report: edit_manifest(report, base=3), "base is not what"),
        (edit_the_seal, "changed after it was written"),
        (move, "the folder does not"),
        (lose_the_manifest, "without its manifest"),
        (link_a_file, "a symbolic link"),
        (link_the_folder, "a symbolic link"),
        (make_a_pipe, "no plain file"),
        (duplicate, "more than one report"),
    ],
)
def test_what_is_not_as_it_was_stored_is_refused(
    report: Path, damage: Callable[[Path], Any], words: str
) -> None:
    damage(report)
    with pytest.raises(CandidateError) as refusal:
        read_candidates(report)
    assert words in str(refusal.value)
    assert refusal.value.hint


def test_there_must_be_a_report(tmp_path: Path) -> None:
    with pytest.raises(CandidateError, match="no such report"):
        read_candidates(tmp_path / "absent")


def info(name: str, mode: int = 0, *, raw: str | None = None) -> zipfile.ZipInfo:
    entry = zipfile.ZipInfo(name)
    entry.external_attr = mode << 16
    if raw is not None:
        entry.filename = raw
    return entry


@pytest.mark.parametrize(
    ("entry", "words"),
    [
        (info("../candidates/tiny/cpu-portable/header.json"), "leads out"),
        (info("candidates/tiny/../../header.json"), "leads out"),
        (info("/etc/passwd"), "leads out"),
        (info("C:/x"), "leads out"),
        (info("x", raw="candidates\\tiny"), "leads out"),
        (info("link", stat.S_IFLNK | 0o777), "symbolic link"),
        (info("pipe", stat.S_IFIFO | 0o644), "no plain file"),
        (info("candidates/tiny/cpu-portable/header.json"), "another entry has"),
        (info("candidates/TINY/cpu-portable/header.json"), "another entry has"),
    ],
)
@pytest.mark.filterwarnings("ignore:Duplicate name")
def test_an_archive_with_an_entry_that_no_check_writes_is_refused(
    report: Path, tmp_path: Path, entry: zipfile.ZipInfo, words: str
) -> None:
    path = tmp_path / "report.zip"
    path.write_bytes(samples.as_github_serves(report))
    with zipfile.ZipFile(path, "a") as opened:
        opened.writestr(entry, b"content")
    with pytest.raises(CandidateError, match=words):
        read_candidates(path)
    assert sorted(p.name for p in tmp_path.iterdir()) == ["report", "report.zip"]


def test_an_archive_that_grows_beyond_all_measure_is_refused(
    report: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "report.zip"
    bomb = {"candidates/tiny/cpu-portable/steps.jsonl": b"\0" * (archive.LARGEST_FILE + 1)}
    path.write_bytes(samples.zipped(bomb))
    assert path.stat().st_size < 100_000
    with pytest.raises(CandidateError, match="67108865 bytes"):
        read_candidates(path)
    monkeypatch.setattr(archive, "LARGEST_REPORT", 1000)
    path.write_bytes(samples.as_github_serves(report))
    with pytest.raises(CandidateError, match="with what came before"):
        read_candidates(path)
    with pytest.raises(CandidateError, match="with what came before"):
        read_candidates(report)
    monkeypatch.setattr(archive, "MOST_ENTRIES", 3)
    with pytest.raises(CandidateError, match="entries"):
        read_candidates(path)


def test_an_entry_that_is_longer_than_it_says_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "report.zip"
    name = "candidates/tiny/cpu-portable/header.json"
    honest = samples.zipped({name: b"x" * 1000}, compression=zipfile.ZIP_STORED)
    # Only the central directory's sizes are read: they claim ten bytes.
    start = honest.rindex(b"PK\1\2")
    lying = bytearray(honest)
    lying[start + 24 : start + 28] = (10).to_bytes(4, "little")
    path.write_bytes(bytes(lying))
    with pytest.raises(CandidateError, match="cannot be read"):
        read_candidates(path)


@pytest.mark.parametrize("kind", [zipfile.ZIP_BZIP2, zipfile.ZIP_LZMA])
def test_only_the_usual_compressions_are_read(report: Path, tmp_path: Path, kind: int) -> None:
    path = tmp_path / "report.zip"
    path.write_bytes(samples.zipped(samples.contents(report), compression=kind))
    with pytest.raises(CandidateError, match="unusual compression"):
        read_candidates(path)


def test_what_is_no_zip_is_refused(report: Path, tmp_path: Path) -> None:
    path = tmp_path / "report.zip"
    whole = samples.as_github_serves(report)
    for content in (b"", b"PK", b"<html>", whole[: len(whole) // 2], whole[len(whole) // 2 :]):
        path.write_bytes(content)
        with pytest.raises(CandidateError, match="cannot be read"):
            read_candidates(path)


def test_the_rest_of_a_report_may_be_large_and_odd(report: Path, tmp_path: Path) -> None:
    files = {**samples.contents(report), "traces/é/cpu/steps.jsonl": b"x", "report.html": b"<html>"}
    buffer = io.BytesIO(samples.zipped(files))
    (tmp_path / "report.zip").write_bytes(buffer.getvalue())
    assert len(read_candidates(tmp_path / "report.zip")) == 1


def test_what_a_killed_check_left_behind_is_no_candidate(report: Path, tmp_path: Path) -> None:
    shutil.copytree(candidate(report), candidate(report).with_name(".cpu-portable.0123abcd"))
    (candidate(report).with_name(".cpu-portable.0123abcd") / "steps.jsonl").unlink()
    (tmp_path / "report.zip").write_bytes(samples.as_gitlab_serves(report))
    assert len(read_candidates(report)) == 1
    assert read_candidates(tmp_path / "report.zip") == read_candidates(report)


def test_a_broken_manifest_is_named_by_its_line() -> None:
    with pytest.raises(GoldenError, match="damaged"):
        decode_manifest(b"{", where="candidate.json")
