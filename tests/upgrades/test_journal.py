"""The journal: killed at any write it goes on to the same answer and repeats no finished probe."""

from __future__ import annotations

import contextlib
import errno
import fcntl
import os

import pytest
from golden_samples import trace

from goldtrace.bisect import bench as benches
from goldtrace.bisect import journal as journals
from goldtrace.bisect.journal import open_journal
from goldtrace.bisect.probe import Outcome
from goldtrace.errors import StoreError, UsageError
from goldtrace.model.upgrade import Standing
from goldtrace.packages.today import Today
from goldtrace.workflow import bisecting
from goldtrace.workflow.bisecting import bisect_package
from goldtrace.workflow.means import Means

HISTORY = [1.0, 1.0, None, 1.0, 1.0, 2.0, None, 2.0, 2.0, 3.0, 3.0, 3.0]
VERSIONS = [f"1.{minor}" for minor in range(len(HISTORY))]


class KilledError(BaseException):
    """Ends everything, as SIGKILL would: no handler of the code under test may catch it."""


class Run:
    name = "fake"
    run = "fake"
    device = "cpu"

    def __init__(self, root):
        self.root = root

    def question(self):
        return {}


@pytest.fixture
def world(monkeypatch, tmp_path):
    """Releases without packages: each trains in no time, and what was trained is counted."""
    trained: list[str] = []

    def run_job(job):
        version = job.wish.requirements[-1].partition("==")[2]
        if not job.again:
            trained.append(version)
        value = HISTORY[VERSIONS.index(version)]
        if value is None:
            return Outcome(standing=Standing.SKIPPED, reason="no wheel", seconds=1.0), None
        made = trace(losses=(value,))
        job.traces.store(version, made)
        pins = (f"engine=={version}",)
        return Outcome(standing=Standing.TRAINED, pins=pins, trace=version, seconds=1.0), made

    monkeypatch.setattr(benches, "run_job", run_job)
    monkeypatch.setattr(bisecting, "releases", lambda *_, **__: tuple(VERSIONS))
    monkeypatch.setattr(bisecting, "require_release", lambda *_, **__: None)
    monkeypatch.setattr(
        bisecting, "todays_environment", lambda: Today(requirements=(), pins=(), editable=())
    )
    return trained


def ask(directory, *, everything=False):
    means = Means(directory=directory, ahead=False)
    return bisect_package(
        Run(directory), "engine", means, first="1.0", last="1.11", everything=everything
    )


def killed_at(monkeypatch, write: int, torn: float) -> list[int]:
    """Let the process die at a write, after a part of the line has reached the disk."""
    writes: list[int] = []
    append = journals._append

    def dying(descriptor, line):
        writes.append(len(line))
        if len(writes) == write:
            os.write(descriptor, line[: int(len(line) * torn)])
            raise KilledError
        append(descriptor, line)

    monkeypatch.setattr(journals, "_append", dying)
    return writes


@pytest.mark.parametrize("everything", [False, True])
@pytest.mark.parametrize("torn", [0.0, 0.5, 1.0])
def test_killed_at_every_write_it_goes_on_to_the_same_answer(
    world, monkeypatch, tmp_path, everything, torn
):
    expected = ask(tmp_path / "undisturbed", everything=everything)
    assert expected.change_points
    probes = len(world)
    write = 0
    while True:
        write += 1
        world.clear()
        directory = tmp_path / f"killed{write}"
        with monkeypatch.context() as patch:
            killed_at(patch, write, torn)
            try:
                ask(directory, everything=everything)
                break
            except KilledError:
                pass
        before = list(world)
        answer = ask(directory, everything=everything)
        assert answer.change_points == expected.change_points
        assert [p.label for p in answer.probes] == [p.label for p in expected.probes]
        # The one that was being written may be trained again; no other one is.
        repeated = [version for version in world[len(before) :] if version in before]
        assert len(repeated) <= (1 if torn < 1 else 0)
        assert len(world) <= probes + len(repeated)
    assert write > probes


def test_an_entry_survives_and_a_torn_or_altered_line_does_not(tmp_path):
    with open_journal(tmp_path, {"q": 1}) as journal:
        journal.add("one", {"x": 1})
        journal.add("two", [1, 2])
    (path,) = tmp_path.iterdir()
    whole = path.read_bytes()
    lines = whole.splitlines(keepends=True)
    for cut in range(len(lines[0]) + len(lines[1]), len(whole)):
        path.write_bytes(whole[:cut])
        with open_journal(tmp_path, {"q": 1}) as journal:
            assert journal.get("one") == {"x": 1}
            assert "two" not in journal
        assert path.read_bytes() == b"".join(lines[:2])
    path.write_bytes(whole.replace(b'"x": 1', b'"x": 2'))
    with open_journal(tmp_path, {"q": 1}) as journal:
        assert len(journal) == 0


def test_another_question_has_another_journal(tmp_path):
    with open_journal(tmp_path, {"q": 1}) as journal:
        journal.add("one", 1)
    with open_journal(tmp_path, {"q": 2}) as journal:
        assert "one" not in journal
    with open_journal(tmp_path, {"q": 1}, fresh=True) as journal:
        assert "one" not in journal


def test_a_journal_has_one_writer(tmp_path):
    with (
        open_journal(tmp_path, {"q": 1}),
        pytest.raises(UsageError, match="another process"),
        open_journal(tmp_path, {"q": 1}),
    ):
        pass


def test_a_full_disk_leaves_whole_lines(tmp_path, monkeypatch):
    with open_journal(tmp_path, {"q": 1}) as journal:
        journal.add("one", 1)
        write = os.write

        def full(descriptor, data):
            if len(data) > 10:
                return write(descriptor, bytes(data[:10]))
            raise OSError(28, "No space left on device")

        with monkeypatch.context() as patch:
            patch.setattr(os, "write", full)
            with pytest.raises(StoreError, match="can't be written"):
                journal.add("two", 2)
        assert "two" not in journal
        journal.add("three", 3)
    with open_journal(tmp_path, {"q": 1}) as journal:
        assert (journal.get("one"), journal.get("two"), journal.get("three")) == (1, None, 3)


@pytest.mark.parametrize(("error", "busy"), [(errno.EWOULDBLOCK, True), (errno.ENOLCK, False)])
def test_a_file_system_without_locks_is_not_taken_for_another_process(
    tmp_path, monkeypatch, error, busy
):
    def refuse(*_):
        raise OSError(error, "refused")

    monkeypatch.setattr(fcntl, "flock", refuse)
    with contextlib.ExitStack() as stack:
        if busy:
            stack.enter_context(pytest.raises(UsageError, match="another process"))
        with open_journal(tmp_path, {"question": 1}) as journal:
            journal.add("key", 1)
            assert journal.get("key") == 1
