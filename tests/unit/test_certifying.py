from __future__ import annotations

import dataclasses
import getpass
from typing import TYPE_CHECKING

import golden_samples as samples
import pytest

from goldtrace.errors import NotRepeatableError
from goldtrace.model.environment import Revision
from goldtrace.store.golden import GoldenStore, PlanAction
from goldtrace.workflow.certifying import certify, certify_and_store
from goldtrace.workflow.signing import sign

if TYPE_CHECKING:
    from pathlib import Path


@pytest.mark.parametrize("error", [KeyError, OSError])
def test_a_user_without_a_name_can_record(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, error: type[Exception]
) -> None:
    def nameless() -> str:
        raise error("getpwuid(): uid not found: 54321")

    monkeypatch.setattr(getpass, "getuser", nameless)
    monkeypatch.setenv("GIT_CONFIG_GLOBAL", "/dev/null")
    monkeypatch.setenv("GIT_CONFIG_SYSTEM", "/dev/null")
    entry = sign("why", root=tmp_path, moved="unchanged")
    assert entry.who == "unknown"
    assert entry.reason == "why"


def test_a_dry_run_gives_the_files_that_would_be_written(tmp_path: Path) -> None:
    store = GoldenStore(tmp_path / "golden")
    traces = [samples.trace(), samples.trace()]
    dry = certify_and_store(traces, store=store, root=tmp_path, reason="why", dry_run=True)
    assert not store.root.exists()
    assert (dry.name, dry.platform, dry.action) == ("tiny", "cpu-portable", PlanAction.CREATED)
    certify_and_store(traces, store=store, root=tmp_path, reason="why")
    written = store.read("tiny", "cpu-portable")
    assert written is not None
    differing = {name for name in written if written[name] != dry.plan.files[name]}
    assert differing <= {"ledger.jsonl"}  # It has the time of the day.


def test_what_processes_disagree_on_is_not_certified() -> None:
    with pytest.raises(NotRepeatableError, match="did not repeat"):
        certify([samples.trace(), samples.trace(losses=(2.5, 1.25, 0.5))])
    with pytest.raises(NotRepeatableError, match="certifies nothing"):
        certify([samples.trace()])


def test_an_operator_that_alone_did_not_repeat_is_named() -> None:
    first = samples.taped()
    step, *rest = first.tape
    values = (step.values[0], dataclasses.replace(step.values[1], digest="e" * 16), step.values[2])
    tape = (dataclasses.replace(step, values=values), *rest)
    with pytest.raises(NotRepeatableError) as caught:
        certify([first, dataclasses.replace(first, tape=tape)])
    assert caught.value.found == "the steps agree; on the tape of step 0, aten::mm differs"


def test_a_file_that_is_saved_meanwhile_and_a_warmer_gpu_are_no_other_bits() -> None:
    first = samples.trace()
    header = dataclasses.replace(
        first.header,
        revision=Revision(commit="0" * 40, dirty=True, diff="1" * 64),
        conditions={"start": {"temperature": "40 C"}},
    )
    assert certify([first, dataclasses.replace(first, header=header)]).processes == 2
    header = dataclasses.replace(first.header, unportable=("atan",))
    with pytest.raises(NotRepeatableError, match=r"header\.json"):
        certify([first, dataclasses.replace(first, header=header)])


def test_a_git_identity_in_another_encoding_costs_no_golden(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    config = tmp_path / "gitconfig"
    config.write_bytes("[user]\n\tname = Zoë\n".encode("latin-1"))
    monkeypatch.setenv("GIT_CONFIG_GLOBAL", str(config))
    assert sign("why", root=tmp_path, moved="unchanged").who.startswith("Zo\ufffd")
