from __future__ import annotations

import json
import os
import shutil
import subprocess
from typing import TYPE_CHECKING

import candidate_samples as candidates
import golden_samples as samples
import pytest

from goldtrace.cli import main
from goldtrace.errors import StoreError, UsageError
from goldtrace.model import sealed
from goldtrace.store.golden import GoldenStore
from goldtrace.workflow.auditing import audit, remove

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path


class Repository:
    """A git repository with one golden on main, and a branch that is to be merged."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self.store = GoldenStore(root / "golden")
        self.place = root / "golden/tiny/cpu-portable"
        self.git("init", "-q", "-b", "main")
        self.git("config", "user.name", "A Name")
        self.git("config", "user.email", "a@example.org")
        samples.record(self.store, candidates.recorded(), reason="first")
        self.commit("first golden")
        self.git("switch", "-q", "-c", "change")

    def git(self, *arguments: str) -> str:
        done = subprocess.run(
            ["git", *arguments],  # noqa: S607 - the git of this machine
            cwd=self.root,
            check=True,
            capture_output=True,
            text=True,
        )
        return done.stdout

    def commit(self, message: str = "a change") -> None:
        self.git("add", "-A")
        self.git("commit", "-q", "-m", message)

    def findings(self, base: str | None = "main") -> list[str]:
        return [
            f"{finding.where}: {finding.what}"
            for finding in audit(self.store, root=self.root, base=base).findings
        ]


@pytest.fixture
def repository(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Repository:
    for name in [name for name in os.environ if name.startswith("GIT_")]:
        monkeypatch.delenv(name)
    return Repository(tmp_path)


def record_again(repository: Repository) -> None:
    samples.record(repository.store, candidates.recorded(losses=candidates.MOVED), reason="second")


def test_a_golden_that_was_recorded_has_its_entry(repository: Repository) -> None:
    assert repository.findings() == []
    record_again(repository)
    assert repository.findings(None) == []
    repository.commit()
    assert repository.findings() == []
    assert repository.findings(None) == []


def test_a_new_golden_has_its_entry(repository: Repository) -> None:
    samples.record(repository.store, candidates.recorded(platform="cuda-sm90"), reason="a GPU")
    repository.commit()
    assert repository.findings() == []
    assert audit(repository.store, root=repository.root, base="main").goldens == 2


def rewrite_history(repository: Repository) -> None:
    ledger = repository.place / "ledger.jsonl"
    document = json.loads(ledger.read_bytes())
    del document["digest"]
    ledger.write_bytes(sealed.to_line(sealed.seal({**document, "reason": "it was always so"})))


def forget_history(repository: Repository) -> None:
    shutil.rmtree(repository.place)
    record_again(repository)


def change_without_an_entry(repository: Repository) -> None:
    ledger = (repository.place / "ledger.jsonl").read_bytes()
    record_again(repository)
    (repository.place / "ledger.jsonl").write_bytes(ledger)


def edit_a_step(repository: Repository) -> None:
    file = repository.place / "steps.jsonl"
    file.write_bytes(file.read_bytes().replace(b"1.25", b"1.26"))


def calibrate_by_hand(repository: Repository) -> None:
    """Widen what counts as rounding, with all seals made anew: only the ledger can tell."""
    for name, changes in (
        ("calibration.json", {"horizons": {"loss": 1, "weights": 0}}),
        ("certificate.json", {}),
    ):
        file = repository.place / name
        document = {**json.loads(file.read_bytes()), **changes}
        del document["digest"]
        if name == "certificate.json":
            seal = sealed.sha256((repository.place / "calibration.json").read_bytes())
            document["calibration"] = seal
        file.write_bytes(sealed.to_page(sealed.seal(document)))


def lose_the_calibration(repository: Repository) -> None:
    (repository.place / "calibration.json").unlink()


def remove_by_hand(repository: Repository) -> None:
    shutil.rmtree(repository.place.parent)


def replace_another_golden(repository: Repository) -> None:
    """Two branches recorded, and the merge kept both lines."""
    record_again(repository)
    ledger = repository.place / "ledger.jsonl"
    first, second = ledger.read_bytes().splitlines(keepends=True)
    document = json.loads(second)
    del document["digest"]
    document["golden"] = "0" * 64
    ledger.write_bytes(first + sealed.to_line(sealed.seal(document)) + second)


@pytest.mark.parametrize(
    ("tamper", "words"),
    [
        (rewrite_history, "history was rewritten"),
        (forget_history, "history was rewritten"),
        (change_without_an_entry, "the golden is another one"),
        (edit_a_step, "the lines are not the ones"),
        (calibrate_by_hand, "the certificate is another one"),
        (lose_the_calibration, "the file is missing"),
        (remove_by_hand, "the golden was removed"),
        (replace_another_golden, "replaces another golden"),
    ],
)
def test_what_no_entry_accounts_for_is_found(
    repository: Repository, tamper: Callable[[Repository], None], words: str
) -> None:
    tamper(repository)
    # As a pre-commit hook, which sees what is about to be committed ...
    assert words in "\n".join(repository.findings(None))
    repository.commit()
    # ... and as a merge request, which is held against the branch that it goes to.
    assert words in "\n".join(repository.findings())


def test_a_removal_is_accounted_for_by_its_line(repository: Repository) -> None:
    samples.record(repository.store, candidates.recorded(platform="cuda-sm90"))
    repository.commit()
    repository.git("branch", "-f", "main")
    assert remove(repository.store, "tiny/cuda-sm90", root=repository.root, reason="no GPU") == [
        "tiny/cuda-sm90"
    ]
    assert repository.store.platforms("tiny") == ["cpu-portable"]
    repository.commit()
    assert repository.findings() == []
    assert remove(repository.store, "tiny", root=repository.root, reason="no test") == [
        "tiny/cpu-portable"
    ]
    assert [path.name for path in (repository.root / "golden").iterdir()] == ["removed.jsonl"]
    repository.commit()
    assert repository.findings() == []
    removed = repository.root / "golden/removed.jsonl"
    removed.write_bytes(removed.read_bytes().splitlines(keepends=True)[0])
    assert repository.findings() == [
        "tiny/cpu-portable: the golden was removed, and removed.jsonl says nothing of it"
    ]
    removed.write_bytes(b"no JSON\n")
    assert "removed.jsonl: the file is damaged" in repository.findings()


def test_a_removed_golden_may_come_back(repository: Repository) -> None:
    remove(repository.store, "tiny", root=repository.root, reason="by mistake")
    repository.commit()
    repository.git("branch", "-f", "main")
    samples.record(repository.store, candidates.recorded(), reason="it is needed")
    repository.commit()
    assert repository.findings() == []


def test_what_is_not_there_cannot_be_removed(repository: Repository) -> None:
    for name in ("other", "tiny/cuda-sm90", "../golden", ""):
        with pytest.raises(UsageError, match="no golden"):
            remove(repository.store, name, root=repository.root, reason="why")
    with pytest.raises(StoreError, match="changed by someone else"):
        repository.store.remove("tiny", "cpu-portable", expected="0" * 64)
    assert repository.findings() == []


def test_a_project_may_lie_anywhere_in_its_repository(repository: Repository) -> None:
    project = repository.root / "packages/[one] é"
    project.mkdir(parents=True)
    repository.git("mv", "golden", str(project))
    repository.commit()
    repository.git("branch", "-f", "main")
    store = GoldenStore(project / "golden")
    assert audit(store, root=project, base="main").goldens == 1
    samples.record(store, candidates.recorded(losses=candidates.MOVED), reason="second")
    repository.commit()
    assert audit(store, root=project, base="main").findings == ()
    shutil.rmtree(store.root)
    [finding] = audit(store, root=project, base="main").findings
    assert "the golden was removed" in finding.what


def test_the_base_is_where_the_branch_left_it(repository: Repository) -> None:
    repository.git("switch", "-q", "main")
    record_again(repository)
    repository.commit("main moves on")
    repository.git("switch", "-q", "change")
    assert repository.findings() == []


def test_a_base_that_git_does_not_have_is_an_error(repository: Repository) -> None:
    for base in ("origin/main", "--all", "HEAD~9"):
        with pytest.raises(UsageError, match="git knows no revision") as refusal:
            repository.findings(base)
        assert "fetch-depth: 0" in str(refusal.value.hint)
    repository.git("switch", "-q", "--orphan", "elsewhere")
    repository.git("commit", "-q", "--allow-empty", "-m", "no history")
    with pytest.raises(UsageError, match="in common"):
        repository.findings("main")


def test_a_folder_that_never_was_is_no_pass(
    repository: Repository, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(repository.root)
    with pytest.raises(UsageError, match="no such folder of goldens"):
        audit(GoldenStore(repository.root / "goldens"), root=repository.root)
    shutil.rmtree(repository.root / "golden")
    assert repository.findings() != []


def test_without_a_commit_only_the_seals_are_looked_at(tmp_path: Path) -> None:
    store = GoldenStore(tmp_path / "golden")
    samples.record(store, candidates.recorded())
    found = audit(store, root=tmp_path)
    assert (found.base, found.goldens, found.findings) == (None, 1, ())


def test_an_entry_of_an_older_goldtrace_leaves_a_note(repository: Repository) -> None:
    ledger = repository.place / "ledger.jsonl"
    document = json.loads(ledger.read_bytes())
    for key in ("digest", "certificate"):
        del document[key]
    ledger.write_bytes(sealed.to_line(sealed.seal({**document, "schema": 1})))
    repository.commit()
    repository.git("branch", "-f", "main")
    found = audit(repository.store, root=repository.root, base="main")
    assert found.findings == ()
    assert "of an older goldtrace" in found.notes[0]
    # Even so, the calibration of the base may not change without a line.
    calibrate_by_hand(repository)
    assert "changed without an entry" in "\n".join(repository.findings())


def command(repository: Repository, *arguments: str) -> int:
    return main(["ledger", "--golden-dir", str(repository.root / "golden"), *arguments])


def test_the_command_shows_the_history(
    repository: Repository, capsys: pytest.CaptureFixture[str]
) -> None:
    record_again(repository)
    assert command(repository, "--json", "-") == 0
    shown = capsys.readouterr().out
    lines = shown.splitlines()
    assert lines[0].startswith("tiny/cpu-portable  2026-01-02T03:04:05+00:00  A Name")
    assert lines[1].endswith("second  step 1, loss: 3 ulp")
    entries = json.loads(shown[shown.index("{\n") :])["entries"]
    assert entries[1]["previous"] == entries[0]["golden"]


def test_the_command_fails_what_no_entry_accounts_for(
    repository: Repository, capsys: pytest.CaptureFixture[str]
) -> None:
    assert command(repository, "--verify", "--base", "main") == 0
    assert "1 golden against " in capsys.readouterr().out
    remove_by_hand(repository)
    assert command(repository, "--verify", "--base", "main", "--json", "-") == 3
    shown = capsys.readouterr().out
    assert "tiny/cpu-portable: the golden was removed" in shown
    assert "  next: restore it, then goldtrace ledger --remove tiny/cpu-portable" in shown
    assert json.loads(shown[shown.index("{\n") :])["findings"][0]["where"] == "tiny/cpu-portable"
    repository.git("restore", ".")
    assert command(repository, "--remove", "tiny", "--reason", "no use", "--in-ci") == 0
    assert capsys.readouterr().out == "removed: tiny/cpu-portable\n"
    assert command(repository, "--verify", "--base", "main") == 0


@pytest.mark.parametrize(
    "arguments",
    [
        ("other",),
        ("--base", "main"),
        ("tiny", "--verify"),
        ("--remove", "tiny"),
        ("--verify", "--base", "no"),
    ],
)
def test_a_command_that_makes_no_sense_is_refused(
    repository: Repository, arguments: tuple[str, ...]
) -> None:
    assert command(repository, *arguments) == 2
    assert repository.findings() == []
