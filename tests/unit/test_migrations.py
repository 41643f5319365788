"""A golden that schema 1 wrote: ``schema_1/odd``, recorded from ``schema_1/training.py``."""

from __future__ import annotations

import base64
import dataclasses
import gzip
import json
import shutil
import struct
from pathlib import Path
from typing import TYPE_CHECKING, Any

import golden_samples as samples
import pytest

from goldtrace.candidates.manifest import FILES, Manifest, encode_manifest
from goldtrace.errors import GoldenError
from goldtrace.model import sealed
from goldtrace.model.codec import (
    HEADER,
    STEPS,
    TAPE,
    TENSORS,
    decode_trace,
    encode_trace,
    read_files,
    trace_digest,
)
from goldtrace.report.golden_text import as_text
from goldtrace.store.declared import load_run
from goldtrace.store.golden import Certificate, GoldenStore, PlanAction
from goldtrace.workflow import certifying
from goldtrace.workflow.accepting import accept, plan_acceptance

if TYPE_CHECKING:
    from goldtrace.model.trace import Trace

OLD = Path(__file__).parent / "schema_1" / "odd" / "cpu-portable"


@pytest.fixture(scope="module")
def trace() -> Trace:
    return decode_trace(read_files(OLD))


def lines_of(name: str) -> list[dict[str, Any]]:
    content = (OLD / name).read_bytes()
    lines = gzip.decompress(content) if name == TAPE else content
    return [json.loads(line) for line in lines.splitlines()]


def test_every_number_of_a_step_is_read(trace: Trace) -> None:
    lines = lines_of(STEPS)
    assert [step.number for step in trace.steps] == [-1, 0, 1, 2, 3]
    for line, step in zip(lines, trace.steps, strict=False):
        for name, (_, exact, dtype) in line.get("scalars", {}).items():
            assert (step.scalars[name].exact, step.scalars[name].dtype) == (exact, dtype)
        assert {rung.value: digest for rung, digest in step.ladder.items()} == line["ladder"]


def test_every_digest_of_a_tensor_is_read(trace: Trace) -> None:
    listed: dict[str, list[str]] = {}
    compared = 0
    for line, step in zip(lines_of(STEPS), trace.steps, strict=False):
        found = {rung.value: named for rung, named in step.tensors.items()}
        for rung, given in line.get("tensors", {}).items():
            named = isinstance(given, dict)
            listed[rung] = sorted(given) if named else listed[rung]
            digests = [given[name] for name in listed[rung]] if named else given
            assert found.pop(rung) == dict(zip(listed[rung], digests, strict=True))
            compared += len(digests)
        assert found == {}
    assert compared > 50


def test_every_sketch_is_read_bit_by_bit(trace: Trace) -> None:
    compared = 0
    for line, step in zip(lines_of(STEPS), trace.steps, strict=False):
        found = {rung.value: named for rung, named in step.sketches.items()}
        for rung, given in line.get("sketches", {}).items():
            data = base64.b64decode(given["data"] if isinstance(given, dict) else given)
            numbers = [number for _, kept in sorted(found[rung].items()) for number in kept]
            assert struct.pack(f"<{len(numbers)}f", *numbers) == data
            compared += len(numbers)
    assert compared > 50


def test_every_number_on_the_tape_is_read_but_the_largest(trace: Trace) -> None:
    compared = 0
    for line, step in zip(lines_of(TAPE), trace.tape, strict=True):
        assert "".join(v.digest for v in step.values) == base64.b64decode(line["digests"]).hex()
        numbers = base64.b64decode(line["statistics"])
        kept = [value.statistics for value in step.values if value.statistics is not None]
        assert len(numbers) == 56 * len(kept)
        for place, found in enumerate(kept):
            total, absolute, _, *sketch = struct.unpack_from("<7d", numbers, 56 * place)
            read = (found.total, found.absolute, *found.sketch)
            assert struct.pack("<6d", *read) == struct.pack("<6d", total, absolute, *sketch)
            compared += 1
        assert [call.op for call in step.calls] == [
            line["ops"][call[0]][0] for call in line["calls"]
        ]
    assert compared > 100


def test_written_again_it_is_of_the_newest_schema_and_says_the_same(trace: Trace) -> None:
    files = encode_trace(trace)
    assert json.loads(files[HEADER])["schema"] == 2
    assert set(files) == {HEADER, STEPS, TENSORS, TAPE}
    assert encode_trace(decode_trace(files)) == files


def test_recorded_again_the_golden_is_rewritten_and_keeps_its_calibration(
    tmp_path: Path, trace: Trace
) -> None:
    store = GoldenStore(tmp_path)
    shutil.copytree(OLD, tmp_path / "odd" / "cpu-portable")
    golden = store.load("odd", "cpu-portable")
    assert golden is not None
    assert golden.calibration is not None
    plan = store.plan(
        trace, certificate=Certificate.of(trace, processes=2), entry=samples.entry("smaller")
    )
    assert plan.action is PlanAction.REPLACED
    store.apply(plan)
    written = store.load("odd", "cpu-portable")
    assert written is not None
    assert encode_trace(written.trace) == encode_trace(golden.trace)
    digest = trace_digest(encode_trace(trace))
    assert written.calibration == dataclasses.replace(golden.calibration, golden=digest)
    assert [entry.reason for entry in written.ledger] == ["a golden of schema 1", "smaller"]
    again = store.plan(
        trace, certificate=Certificate.of(trace, processes=2), entry=samples.entry("again")
    )
    assert again.action is PlanAction.UNCHANGED


@pytest.fixture
def store(tmp_path: Path) -> GoldenStore:
    """A project that declares the run, and has its old golden."""
    shutil.copytree(OLD.parent, tmp_path / "golden" / "odd")
    return GoldenStore(tmp_path / "golden")


def test_a_golden_of_schema_1_can_be_calibrated(
    store: GoldenStore, trace: Trace, monkeypatch: pytest.MonkeyPatch
) -> None:
    golden = store.load("odd", "cpu-portable")
    assert golden is not None
    assert golden.calibration is not None
    measured = dataclasses.replace(golden.calibration, golden=trace_digest(encode_trace(trace)))
    monkeypatch.setattr(certifying, "launch", lambda *_, **__: trace)
    monkeypatch.setattr(certifying, "calibrate", lambda *_, **__: measured)
    spec = load_run(store.root / "odd" / "run.toml")
    recorded = certifying.calibrate_only(
        spec, "cpu", store=store, root=store.root.parent, reason="why"
    )
    assert recorded.plan.action is PlanAction.REPLACED
    written = store.load("odd", "cpu-portable")
    assert written is not None
    assert written.certificate.processes == golden.certificate.processes


def test_a_candidate_of_schema_1_can_be_accepted(store: GoldenStore, tmp_path: Path) -> None:
    """The job that failed ran with an older goldtrace than the reviewer has."""
    files = {name: (OLD / name).read_bytes() for name in FILES if (OLD / name).exists()}
    manifest = Manifest(
        run="odd",
        device="cpu",
        platform="cpu-portable",
        base=None,
        verdict="missing",
        cause=None,
        moved="first golden of this platform",
        files={name: sealed.sha256(content) for name, content in files.items()},
    )
    folder = tmp_path / "report" / "candidates" / "odd" / "cpu-portable"
    folder.mkdir(parents=True)
    for name, content in {**files, "candidate.json": encode_manifest(manifest)}.items():
        (folder / name).write_bytes(content)
    told = {"folder": "candidates/odd/cpu-portable", "why_not": None}
    document = {"schema": 1, "runs": [{"candidate": told}]}
    (tmp_path / "report" / "report.json").write_text(json.dumps(document), encoding="utf-8")
    shutil.rmtree(store.root / "odd" / "cpu-portable")
    (acceptance,) = plan_acceptance(
        tmp_path / "report", [], store=store, root=tmp_path, reason="why"
    )
    accept(acceptance, store=store)
    golden = store.load("odd", "cpu-portable")
    assert golden is not None
    assert golden.calibration is not None
    assert golden.certificate.processes == 2


def test_a_golden_that_only_says_that_it_is_of_schema_1_is_an_error() -> None:
    files = encode_trace(samples.trace())
    header = {**json.loads(files[HEADER]), "schema": 1}
    del header[sealed.DIGEST]
    with pytest.raises(GoldenError, match="damaged"):
        decode_trace({**files, HEADER: sealed.to_page(sealed.seal(header))})


def test_git_shows_both_formats_of_a_tape_alike(trace: Trace) -> None:
    files = encode_trace(trace)
    assert as_text((OLD / TAPE).read_bytes()) == as_text(files[TAPE])
    assert as_text((OLD / STEPS).read_bytes()) == as_text(files[STEPS])
    assert as_text(files[TAPE]).startswith(b"step 0  forward  ")


@pytest.mark.parametrize(
    "change",
    [
        {"tensors": 7},
        {"sketches": 7},
        {"sketches": {"weights": "no base64"}},
        {"sketches": {"weights": {"names": ["a"]}}},
        {"sketches": {"weights": {"names": ["a"], "data": 3}}},
    ],
)
def test_a_sealed_golden_of_schema_1_that_is_wrong_is_an_error(change: dict[str, Any]) -> None:
    lines = lines_of(STEPS)
    steps = b"".join(map(sealed.to_line, [{**lines[0], **change}, *lines[1:]]))
    header = json.loads((OLD / HEADER).read_bytes())
    del header[sealed.DIGEST]
    header["files"] = {STEPS: sealed.sha256(steps)}
    with pytest.raises(GoldenError):
        decode_trace({HEADER: sealed.to_page(sealed.seal(header)), STEPS: steps})


def test_a_damaged_file_of_schema_1_is_not_migrated() -> None:
    files = read_files(OLD)
    files[STEPS] = files[STEPS].replace(b'"loss":[', b'"lass":[')
    with pytest.raises(GoldenError, match="not the ones that the header was written for"):
        decode_trace(files)
