from __future__ import annotations

import dataclasses
import json
import os
import re
from typing import TYPE_CHECKING, Any

import golden_samples as samples
import pytest

from goldtrace.errors import GoldenError, RecordingError, StoreError
from goldtrace.model import sealed
from goldtrace.model.codec import encode_trace, trace_digest
from goldtrace.model.environment import Revision
from goldtrace.model.scalar import Scalar
from goldtrace.store.golden import FILES, Certificate, Golden, GoldenStore, PlanAction
from goldtrace.store.ledger import LedgerEntry

if TYPE_CHECKING:
    from pathlib import Path

RUN, PLATFORM = "tiny", "cpu-portable"
OTHER_LOSSES = (2.5, 1.25, 0.5)


@pytest.fixture
def store(tmp_path: Path) -> GoldenStore:
    return GoldenStore(tmp_path / "golden")


@pytest.fixture
def place(store: GoldenStore) -> Path:
    return store.root / RUN / PLATFORM


def content(place: Path) -> dict[str, bytes]:
    return {file.name: file.read_bytes() for file in place.iterdir()}


def test_what_is_recorded_is_loaded(store: GoldenStore, place: Path) -> None:
    trace = samples.trace()
    plan = samples.record(store, trace)
    digest = trace_digest(encode_trace(trace))
    assert plan.action is PlanAction.CREATED
    sealed_by = sealed.sha256(content(place)["certificate.json"])
    assert store.load(RUN, PLATFORM) == Golden(
        trace=trace,
        certificate=Certificate(processes=2, digest=digest),
        ledger=(dataclasses.replace(samples.entry(), golden=digest, certificate=sealed_by),),
    )


def test_a_golden_that_is_not_there_is_none(store: GoldenStore) -> None:
    assert store.load(RUN, PLATFORM) is None
    (store.root / RUN / PLATFORM).mkdir(parents=True)
    assert store.load(RUN, PLATFORM) is None


def test_a_plan_writes_nothing(store: GoldenStore) -> None:
    samples.plan(store, samples.trace())
    assert not store.root.exists()


def test_a_changed_golden_is_replaced_and_the_ledger_grows(store: GoldenStore, place: Path) -> None:
    first = samples.record(store, samples.trace(), reason="first")
    before = content(place)["ledger.jsonl"]
    second = samples.record(store, samples.trace(losses=OTHER_LOSSES), reason="second")
    golden = store.load(RUN, PLATFORM)
    assert second.action is PlanAction.REPLACED
    assert golden is not None
    assert golden.trace == samples.trace(losses=OTHER_LOSSES)
    assert [entry.reason for entry in golden.ledger] == ["first", "second"]
    assert [entry.previous for entry in golden.ledger] == [None, first.entry.golden]
    assert golden.ledger[1].golden == golden.certificate.digest == second.entry.golden
    assert content(place)["ledger.jsonl"].startswith(before)
    assert [entry.name for entry in place.parent.iterdir()] == [PLATFORM]


def test_a_ledger_of_the_older_format_is_read_and_grows(store: GoldenStore, place: Path) -> None:
    samples.record(store, samples.taped())
    ledger = place / "ledger.jsonl"
    line = json.loads(ledger.read_bytes())
    for key in ("certificate", "digest"):
        del line[key]
    older = sealed.to_line(sealed.seal({**line, "schema": 1}))
    ledger.write_bytes(older)
    golden = store.load(RUN, PLATFORM)
    assert golden is not None
    assert golden.ledger[-1].certificate is None
    assert samples.plan(store, samples.taped()).action is PlanAction.UNCHANGED
    samples.record(store, samples.taped(losses=OTHER_LOSSES))
    assert ledger.read_bytes().startswith(older)
    again = store.load(RUN, PLATFORM)
    assert again is not None
    assert [entry.certificate is None for entry in again.ledger] == [True, False]


def test_a_calibration_that_the_ledger_does_not_know_is_refused(
    store: GoldenStore, place: Path
) -> None:
    samples.record(store, samples.taped())
    forged = place / "calibration.json"
    document = json.loads(forged.read_bytes())
    del document["digest"]
    forged.write_bytes(sealed.to_page(sealed.seal({**document, "horizons": {"loss": 1}})))
    certificate = json.loads((place / "certificate.json").read_bytes())
    del certificate["digest"]
    certificate["calibration"] = sealed.sha256(forged.read_bytes())
    (place / "certificate.json").write_bytes(sealed.to_page(sealed.seal(certificate)))
    with pytest.raises(GoldenError, match="the certificate is another one"):
        store.load(RUN, PLATFORM)


def test_recording_the_same_again_leaves_every_byte(store: GoldenStore, place: Path) -> None:
    samples.record(store, samples.trace())
    before, inode = content(place), place.stat().st_ino
    plan = samples.record(store, samples.trace(), reason="another")
    assert plan.action is PlanAction.UNCHANGED
    assert (content(place), place.stat().st_ino) == (before, inode)


def test_two_stores_of_one_trace_differ_in_the_ledger_alone(tmp_path: Path) -> None:
    stores = [GoldenStore(tmp_path / name) for name in ("one", "two")]
    for store in stores:
        samples.record(store, samples.taped(), reason=store.root.name)
    one, two = (content(store.root / RUN / PLATFORM) for store in stores)
    assert one.keys() == two.keys() == set(FILES)
    assert [name for name in one if one[name] != two[name]] == ["ledger.jsonl"]


def test_another_commit_alone_does_not_change_a_golden(store: GoldenStore) -> None:
    samples.record(store, samples.trace())
    revision = Revision(commit="f" * 40, dirty=False)
    assert samples.plan(store, samples.trace(revision=revision)).action is PlanAction.UNCHANGED


def test_another_temperature_alone_does_not_change_a_golden(store: GoldenStore) -> None:
    samples.record(store, samples.trace())
    warmer = samples.trace(conditions={"start": {"temperature": "61 C"}})
    assert samples.plan(store, warmer).action is PlanAction.UNCHANGED


@pytest.mark.parametrize(("before", "now", "action"), [(2, 3, "REPLACED"), (3, 2, "UNCHANGED")])
def test_a_stronger_certificate_replaces_and_a_weaker_one_does_not(
    store: GoldenStore, before: int, now: int, action: str
) -> None:
    samples.record(store, samples.trace(), n=before)
    assert samples.plan(store, samples.trace(), n=now).action is PlanAction[action]


def test_only_the_sign_of_a_zero_makes_another_golden(store: GoldenStore) -> None:
    samples.record(store, samples.trace(losses=(0.0,)))
    assert samples.plan(store, samples.trace(losses=(-0.0,))).action is PlanAction.REPLACED


def test_only_the_payload_of_a_nan_makes_another_golden(store: GoldenStore) -> None:
    nan = samples.trace(losses=(float("nan"),))
    samples.record(store, nan)
    assert samples.plan(store, nan).action is PlanAction.UNCHANGED
    scalars = {"loss": Scalar("nan:7ff8000000000001", "float32")}
    other = dataclasses.replace(nan.steps[1], scalars=scalars)
    plan = samples.plan(store, dataclasses.replace(nan, steps=(nan.steps[0], other)))
    assert plan.action is PlanAction.REPLACED


@pytest.mark.parametrize("processes", [0, 1])
def test_a_certificate_of_one_process_is_refused(store: GoldenStore, processes: int) -> None:
    with pytest.raises(StoreError, match="does not prove"):
        samples.plan(store, samples.trace(), n=processes)


def test_a_certificate_of_another_trace_is_refused(store: GoldenStore) -> None:
    certificate = Certificate.of(samples.trace(losses=OTHER_LOSSES), processes=2)
    with pytest.raises(StoreError, match="does not prove"):
        store.plan(samples.trace(), certificate=certificate, entry=samples.entry())


def test_a_golden_that_changed_since_the_plan_is_not_overwritten(
    store: GoldenStore, place: Path
) -> None:
    plan = samples.plan(store, samples.trace())
    samples.record(store, samples.trace(losses=OTHER_LOSSES))
    before = content(place)
    with pytest.raises(StoreError, match="changed by someone else"):
        store.apply(plan)
    assert content(place) == before


@pytest.mark.parametrize("field", ["when", "who", "reason", "moved"])
def test_the_ledger_keeps_hostile_text_on_one_line(store: GoldenStore, field: str) -> None:
    text = 'a\nb\u2028\r{"when": 1} | <script> \U0001f525'
    entry = dataclasses.replace(samples.entry(), **{field: text})  # type: ignore[arg-type]
    trace = samples.trace()
    store.apply(store.plan(trace, certificate=Certificate.of(trace, processes=2), entry=entry))
    golden = store.load(RUN, PLATFORM)
    assert golden is not None
    assert getattr(golden.ledger[0], field) == text


def test_a_reason_with_a_lone_surrogate_is_refused(store: GoldenStore) -> None:
    with pytest.raises(RecordingError, match="surrogate"):
        samples.plan(store, samples.trace(), reason="\udcff")


@pytest.mark.parametrize("name", FILES)
def test_a_flipped_bit_anywhere_in_a_golden_is_an_error(
    store: GoldenStore, place: Path, name: str
) -> None:
    samples.record(store, samples.taped())
    samples.record(store, samples.taped(losses=OTHER_LOSSES))
    intact = content(place)[name]
    for position in range(0, len(intact), 3):
        damaged = bytearray(intact)
        damaged[position] ^= 1 << position % 8
        (place / name).write_bytes(damaged)
        with pytest.raises(GoldenError) as caught:
            store.load(RUN, PLATFORM)
        assert str(place) in (caught.value.where or "")
        assert caught.value.hint


@pytest.mark.parametrize("name", FILES)
def test_a_truncated_golden_is_an_error(store: GoldenStore, place: Path, name: str) -> None:
    samples.record(store, samples.taped())
    samples.record(store, samples.taped(losses=OTHER_LOSSES))
    intact = content(place)[name]
    lengths = {*range(0, len(intact), 41), len(intact) - 1, intact.find(b"\n") + 1} - {len(intact)}
    for length in lengths:
        (place / name).write_bytes(intact[:length])
        with pytest.raises(GoldenError):
            store.load(RUN, PLATFORM)


@pytest.mark.parametrize("name", FILES)
def test_a_golden_without_one_of_its_files_is_an_error(
    store: GoldenStore, place: Path, name: str
) -> None:
    samples.record(store, samples.taped())
    (place / name).unlink()
    with pytest.raises(GoldenError, match="missing"):
        store.load(RUN, PLATFORM)


@pytest.mark.parametrize("names", [("header.json", "steps.jsonl"), ("certificate.json",)])
def test_files_of_two_goldens_do_not_mix(
    store: GoldenStore, place: Path, names: tuple[str, ...]
) -> None:
    samples.record(store, samples.trace())
    before = content(place)
    samples.record(store, samples.trace(losses=OTHER_LOSSES))
    for name in names:
        (place / name).write_bytes(before[name])
    with pytest.raises(GoldenError, match="the golden is another one"):
        store.load(RUN, PLATFORM)


def test_a_golden_without_its_ledger_entry_is_an_error(store: GoldenStore, place: Path) -> None:
    samples.record(store, samples.trace())
    before = content(place)["ledger.jsonl"]
    samples.record(store, samples.trace(losses=OTHER_LOSSES))
    (place / "ledger.jsonl").write_bytes(before)
    with pytest.raises(GoldenError, match="the golden is another one") as caught:
        store.load(RUN, PLATFORM)
    assert (caught.value.where or "").endswith("ledger.jsonl:1")


@pytest.mark.parametrize("change", [{"run": "other"}, {"platform": "cuda-sm90"}])
def test_a_golden_that_was_copied_to_another_name_is_an_error(
    store: GoldenStore, place: Path, change: dict[str, Any]
) -> None:
    samples.record(store, samples.trace(**change))
    header = samples.header(**change)
    (store.root / RUN).mkdir(exist_ok=True)
    (store.root / header.run / header.platform).rename(place)
    with pytest.raises(GoldenError, match="is another one"):
        store.load(RUN, PLATFORM)


@pytest.mark.parametrize(
    "name", ["header.json", "steps.jsonl", "tensors.jsonl.gz", "certificate.json"]
)
def test_a_damaged_golden_is_replaced_and_keeps_its_ledger(
    store: GoldenStore, place: Path, name: str
) -> None:
    first = samples.record(store, samples.trace())
    (place / name).write_bytes(b"<<<<<<< HEAD\n")
    plan = samples.record(store, samples.trace())
    golden = store.load(RUN, PLATFORM)
    assert plan.action is PlanAction.REPLACED
    assert golden is not None
    assert [entry.previous for entry in golden.ledger] == [None, first.entry.golden]


def test_a_damaged_ledger_is_not_thrown_away(store: GoldenStore, place: Path) -> None:
    samples.record(store, samples.trace())
    damaged = content(place)["ledger.jsonl"].replace(b"because", b"no reason")
    (place / "ledger.jsonl").write_bytes(damaged)
    with pytest.raises(GoldenError, match="changed after it was written") as caught:
        samples.plan(store, samples.trace())
    assert "restore ledger.jsonl" in (caught.value.hint or "")


@pytest.mark.parametrize("name", ["certificate.json", "ledger.jsonl", "header.json"])
def test_a_newer_file_says_to_upgrade(store: GoldenStore, place: Path, name: str) -> None:
    samples.record(store, samples.trace())
    text = (place / name).read_text()
    (place / name).write_text(re.sub('"schema": ?[12]', '"schema":99', text))
    with pytest.raises(GoldenError, match="newer goldtrace") as caught:
        store.load(RUN, PLATFORM)
    assert "upgrade" in (caught.value.hint or "")


def test_runs_platforms_and_origins_are_listed(store: GoldenStore) -> None:
    samples.record(store, samples.trace())
    samples.record(store, samples.trace(platform="cuda-sm90"))
    samples.record(store, samples.trace(run="a[cpu-1]", origin="test_a.py::test_a[cpu-1]"))
    (store.root / "declared").mkdir()
    (store.root / "declared" / "run.toml").touch()
    (store.root / RUN / "__pycache__").mkdir()
    (store.root / RUN / "data").mkdir()
    (store.root / RUN / "data" / "train.bin").touch()
    assert store.runs() == ["a[cpu-1]", RUN]
    assert store.platforms(RUN) == [PLATFORM, "cuda-sm90"]
    assert store.platforms("declared") == []
    assert store.origins() == {
        "a[cpu-1]": "test_a.py::test_a[cpu-1]",
        RUN: "package.training:train",
    }


def test_a_damaged_golden_is_listed(store: GoldenStore, place: Path) -> None:
    samples.record(store, samples.trace())
    (place / "header.json").write_bytes(b"{")
    assert store.runs() == [RUN]
    assert store.origins() == {}


def test_nothing_is_listed_where_nothing_is(store: GoldenStore) -> None:
    assert (store.runs(), store.platforms(RUN), store.origins()) == ([], [], {})


@pytest.mark.parametrize(
    "name", ["", ".", "..", "../x", "a/b", "a\\b", "/etc", ".git", "-rf", "a\n"]
)
def test_a_name_that_leads_elsewhere_is_refused(store: GoldenStore, name: str) -> None:
    with pytest.raises(StoreError, match="name of the run"):
        store.load(name, PLATFORM)
    with pytest.raises(StoreError, match="name of the platform"):
        store.load(RUN, name)
    with pytest.raises(StoreError, match="name of the run"):
        samples.plan(store, samples.trace(run=name))
    forged = dataclasses.replace(samples.plan(store, samples.trace()), platform=name)
    with pytest.raises(StoreError, match="name of the platform"):
        store.apply(forged)
    assert not store.root.exists()


@pytest.mark.parametrize("linked", ["run", "platform", "next", "file"])
def test_a_symbolic_link_is_neither_read_nor_written_through(
    store: GoldenStore, place: Path, tmp_path: Path, linked: str
) -> None:
    plan = samples.plan(store, samples.trace())
    elsewhere = GoldenStore(tmp_path / "elsewhere")
    samples.record(elsewhere, samples.trace(losses=OTHER_LOSSES))
    target = elsewhere.root / RUN / PLATFORM
    before = content(target)
    link = {
        "run": place.parent,
        "platform": place,
        "next": place.parent / f".{PLATFORM}.next",
        "file": place / "header.json",
    }[linked]
    link.parent.mkdir(parents=True, exist_ok=True)
    link.symlink_to({"run": target.parent, "file": target / "header.json"}.get(linked, target))
    with pytest.raises(StoreError, match="symbolic link"):
        store.load(RUN, PLATFORM)
    with pytest.raises(StoreError, match="symbolic link"):
        store.apply(plan)
    assert content(target) == before
    assert link.is_symlink()


def test_the_golden_directory_itself_may_be_a_link(tmp_path: Path) -> None:
    (tmp_path / "real").mkdir()
    (tmp_path / "golden").symlink_to(tmp_path / "real")
    samples.record(GoldenStore(tmp_path / "golden"), samples.trace())
    assert GoldenStore(tmp_path / "real").load(RUN, PLATFORM) is not None


def test_links_inside_an_old_golden_are_removed_and_not_followed(
    store: GoldenStore, place: Path, tmp_path: Path
) -> None:
    samples.record(store, samples.taped())
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "notes").write_text("keep")
    (place / "link").symlink_to(tmp_path / "mine")
    (place / "folder").mkdir()
    (place / "folder" / "file").touch()
    samples.record(store, samples.taped(losses=OTHER_LOSSES))
    assert (tmp_path / "mine" / "notes").read_text() == "keep"
    assert set(content(place)) == set(FILES)


def test_a_directory_that_is_no_golden_is_not_replaced(store: GoldenStore, place: Path) -> None:
    place.mkdir(parents=True)
    (place / "thesis.tex").write_text("years of work")
    with pytest.raises(StoreError, match="something else in the place"):
        samples.plan(store, samples.trace())
    assert (place / "thesis.tex").read_text() == "years of work"


@pytest.mark.parametrize("obstacle", ["root", "run", "platform"])
def test_a_file_in_the_place_of_a_directory_is_a_clear_error(
    store: GoldenStore, place: Path, obstacle: str
) -> None:
    plan = samples.plan(store, samples.trace())
    path = {"root": store.root, "run": place.parent, "platform": place}[obstacle]
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("mine")
    with pytest.raises(StoreError, match="cannot be written") as caught:
        store.apply(plan)
    assert caught.value.where == str(place)
    with pytest.raises(StoreError, match="cannot be read"):
        store.load(RUN, PLATFORM)
    assert path.read_text() == "mine"


def test_a_directory_in_the_place_of_a_file_is_a_clear_error(
    store: GoldenStore, place: Path
) -> None:
    (place / "header.json").mkdir(parents=True)
    with pytest.raises(StoreError, match="cannot be read"):
        store.load(RUN, PLATFORM)


def test_a_pipe_in_the_place_of_a_file_does_not_hang(store: GoldenStore, place: Path) -> None:
    samples.record(store, samples.trace())
    (place / "steps.jsonl").unlink()
    os.mkfifo(place / "steps.jsonl")
    with pytest.raises(StoreError, match="cannot be read"):
        store.load(RUN, PLATFORM)


def test_a_ledger_entry_has_its_digests_from_the_store(store: GoldenStore) -> None:
    forged = dataclasses.replace(samples.entry(), golden="0" * 64, previous="1" * 64)
    trace = samples.trace()
    plan = store.plan(trace, certificate=Certificate.of(trace, processes=2), entry=forged)
    assert isinstance(plan.entry, LedgerEntry)
    assert (plan.entry.golden, plan.entry.previous) == (trace_digest(encode_trace(trace)), None)


def test_whether_there_is_a_golden_and_of_what_is_told_without_reading_it_all(
    store: GoldenStore, place: Path
) -> None:
    samples.record(store, samples.taped())
    for name in ("steps.jsonl", "tensors.jsonl.gz", "tape.jsonl.gz", "ledger.jsonl"):
        (place / name).unlink()
        (place / name).symlink_to("nowhere")  # which no read follows
    assert store.runs() == [RUN]
    assert store.platforms(RUN) == [PLATFORM]
    assert store.origins() == {RUN: samples.header().origin}
