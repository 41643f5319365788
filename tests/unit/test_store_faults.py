"""A writer of goldens that fails or dies at each of its operations on the file system."""

from __future__ import annotations

import contextlib
import itertools
import os
import shutil
import subprocess
import sys
import threading
from collections.abc import Callable
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import golden_samples as samples
import pytest

from goldtrace.errors import StoreError
from goldtrace.store.golden import GoldenStore, PlanAction

if TYPE_CHECKING:
    from collections.abc import Iterator

    from goldtrace.model.trace import Trace
    from goldtrace.store.golden import Plan

RUN, PLATFORM = "tiny", "cpu-portable"
OLD, NEW = samples.trace(), samples.trace(losses=(9.0, 8.0, 7.0))

OPERATIONS = (
    "close",
    "fstat",
    "fsync",
    "listdir",
    "lstat",
    "mkdir",
    "open",
    "read",
    "rename",
    "rmdir",
    "unlink",
    "write",
)
"""Every function of ``os`` that reaches the file system in ``goldtrace.store.directory``."""

Fault = Callable[[str, int], None]

MOST = 200
"""More operations than a replacement needs: a test that gets there counts nothing."""


@pytest.fixture(autouse=True)
def no_flushing(monkeypatch: pytest.MonkeyPatch) -> None:
    """A test can't pull the plug, so it need not wait for the disk; calls still count."""
    monkeypatch.setattr(os, "fsync", lambda _: None)


class Death(BaseException):
    """The process is gone: no operation has an effect any more."""


@contextmanager
def failing_at(place: int, fault: Fault) -> Iterator[list[str]]:
    """Call ``fault(operation, late)`` instead of the operation ``place`` and all after it.

    ``late`` counts the operations since that one.

    An operation for which ``fault`` returns is carried out. Closing always is, for the sake of the
    test's own process.
    """
    seen: list[str] = []

    def wrap(name: str, genuine: Callable[..., Any]) -> Callable[..., Any]:
        def operation(*arguments: Any, **options: Any) -> Any:
            seen.append(name)
            if name == "close":
                genuine(*arguments, **options)
            if len(seen) > place:
                fault(name, len(seen) - place - 1)
            return None if name == "close" else genuine(*arguments, **options)

        return operation

    with pytest.MonkeyPatch.context() as patch:
        for name in OPERATIONS:
            patch.setattr(os, name, wrap(name, getattr(os, name)))
        yield seen


def error_once(_operation: str, late: int) -> None:
    if late == 0:
        raise OSError(28, "No space left on device")


def error_from_now_on(_operation: str, _late: int) -> None:
    raise OSError(5, "Input/output error")


def interrupt_once(_operation: str, late: int) -> None:
    if late == 0:
        raise KeyboardInterrupt


def death(_operation: str, _late: int) -> None:
    raise Death


def prepared(root: Path, before: Trace | None) -> tuple[GoldenStore, Plan]:
    store = GoldenStore(root)
    if before is not None:
        samples.record(store, before, reason="old")
    return store, samples.plan(store, NEW, reason="new")


def copies(root: Path, before: Trace | None) -> Iterator[tuple[int, GoldenStore, Plan]]:
    """As many prepared stores as there may be places for a fault."""
    first, plan = prepared(root / "copied", before)
    for place in range(MOST):
        store = GoldenStore(root / f"{place:03}")
        if before is not None:
            shutil.copytree(first.root, store.root)
        yield place, store, plan


def check_one_of_both(store: GoldenStore, before: Trace | None) -> str:
    """Read the golden, which checks digests and the ledger's last entry; say which one it is."""
    golden = store.load(RUN, PLATFORM)
    if golden is None:
        assert before is None
        return "old"
    reasons = [entry.reason for entry in golden.ledger]
    history = [] if before is None else ["old"]
    if golden.trace == NEW:
        assert reasons == [*history, "new"]
        return "new"
    assert golden.trace == before
    assert reasons == history
    return "old"


def check_next_writer(store: GoldenStore) -> None:
    """The next writer succeeds and leaves nothing but the golden."""
    assert samples.record(store, OLD, reason="next", n=3).action is not PlanAction.UNCHANGED
    golden = store.load(RUN, PLATFORM)
    assert golden is not None
    assert golden.trace == OLD
    assert [entry.name for entry in (store.root / RUN).iterdir()] == [PLATFORM]


@pytest.mark.parametrize("before", [None, OLD], ids=["first", "replacement"])
@pytest.mark.parametrize(
    ("fault", "raised"),
    [
        (error_once, StoreError),
        (error_from_now_on, StoreError),
        (interrupt_once, KeyboardInterrupt),
        (death, Death),
    ],
)
def test_a_fault_at_any_operation_leaves_the_old_golden_or_the_new_one(
    tmp_path: Path,
    before: Trace | None,
    fault: Fault,
    raised: type[BaseException],
) -> None:
    outcomes = []
    for place, store, plan in copies(tmp_path, before):
        with failing_at(place, fault) as seen:
            finished = False
            with contextlib.suppress(raised):
                store.apply(plan)
                finished = True
        outcome = check_one_of_both(store, before)
        if finished:  # or the error did no harm
            assert outcome == "new"
        else:
            outcomes.append(outcome)
        check_next_writer(store)
        if len(seen) <= place:
            break
    # Old until the one operation that decides, new from then on.
    assert outcomes == sorted(outcomes, reverse=True)
    assert {"old", "new"} == set(outcomes)
    assert len(seen) <= place


def test_an_error_before_the_decision_leaves_nothing_behind(tmp_path: Path) -> None:
    store, plan = prepared(tmp_path, OLD)
    before = sorted(tmp_path.rglob("*"))
    for place in range(1, MOST):  # An error of the first one, which makes the root, does no harm.
        with failing_at(place, error_once), pytest.raises(StoreError):
            store.apply(plan)
        if check_one_of_both(store, OLD) == "new":
            return
        assert sorted(tmp_path.rglob("*")) == before
    pytest.fail("the golden was never replaced")


def test_an_error_after_the_decision_says_that_the_new_golden_is_in_place(tmp_path: Path) -> None:
    store, plan = prepared(tmp_path, OLD)

    def rmdir_fails(operation: str, _late: int) -> None:
        if operation == "rmdir":
            raise OSError(16, "Device or resource busy")

    with failing_at(0, rmdir_fails), pytest.raises(StoreError, match="new golden is in place"):
        store.apply(plan)
    assert check_one_of_both(store, OLD) == "new"
    assert store.platforms(RUN) == [PLATFORM]


def test_a_disk_that_takes_a_few_bytes_at_a_time_gets_all_of_them(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    store, plan = prepared(tmp_path, OLD)
    write, read = os.write, os.read
    monkeypatch.setattr(os, "write", lambda fd, data: write(fd, data[:7]))
    monkeypatch.setattr(os, "read", lambda fd, size: read(fd, min(size, 11)))
    store.apply(plan)
    assert check_one_of_both(store, OLD) == "new"


def test_content_is_on_the_disk_before_it_becomes_the_golden(tmp_path: Path) -> None:
    store, plan = prepared(tmp_path, OLD)
    with failing_at(MOST, death) as seen:
        store.apply(plan)
    decision = seen.index("rename")
    assert seen[:decision].count("fsync") == len(plan.files) + 1
    assert "fsync" in seen[decision:]
    assert "unlink" not in seen[:decision]


def test_a_readonly_directory_is_a_clear_error(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    store, plan = prepared(tmp_path, OLD)

    def refuse(*_: Any, **__: Any) -> None:
        raise PermissionError(13, "Permission denied")

    with monkeypatch.context() as patch:
        patch.setattr(os, "mkdir", refuse)
        with pytest.raises(StoreError, match="cannot be written") as caught:
            store.apply(plan)
    assert "Permission denied" in (caught.value.found or "")
    assert caught.value.where == str(tmp_path / RUN / PLATFORM)
    assert check_one_of_both(store, OLD) == "old"


# Each child of this program dies at another operation, the way that a process is killed: nothing
# of it runs any more, no handler and no clean-up. It is a process of its own so that pytest's
# threads are not forked.
KILLED = """
import os, sys
os.fsync = lambda _: None
from pathlib import Path
sys.path.insert(0, sys.argv[1])
import test_store_faults as faults

for place, store, plan in faults.copies(Path(sys.argv[2]), faults.OLD):
    child = os.fork()
    if child == 0:
        with faults.failing_at(place, lambda *_: os._exit(9)):
            store.apply(plan)
        os._exit(0)
    if os.waitpid(child, 0)[1] == 0:
        break
"""


def test_a_process_killed_at_any_operation_leaves_the_old_golden_or_the_new_one(
    tmp_path: Path,
) -> None:
    here = str(Path(__file__).parent)
    subprocess.run([sys.executable, "-c", KILLED, here, str(tmp_path)], check=True, timeout=120)
    outcomes = []
    for root in sorted(tmp_path.glob("[0-9]*")):
        store = GoldenStore(root)
        outcomes.append(check_one_of_both(store, OLD))
        check_next_writer(store)
    assert outcomes == sorted(outcomes, reverse=True)
    assert {"old", "new"} == set(outcomes)
    assert 20 < len(outcomes) < MOST


def test_a_reader_beside_a_writer_always_sees_a_whole_golden(tmp_path: Path) -> None:
    store, _ = prepared(tmp_path, OLD)
    stop = threading.Event()
    problems: list[BaseException] = []

    def read() -> None:
        try:
            while not stop.is_set():
                golden = store.load(RUN, PLATFORM)
                assert golden is not None
                assert golden.trace in (OLD, NEW)
        except BaseException as error:  # noqa: BLE001 - shown by the test itself
            problems.append(error)

    reader = threading.Thread(target=read)
    reader.start()
    for turn in range(30):
        samples.record(store, OLD if turn % 2 else NEW)
    stop.set()
    reader.join()
    assert problems == []


def test_of_two_writers_with_one_starting_point_one_wins_and_one_is_told(tmp_path: Path) -> None:
    store, _ = prepared(tmp_path, OLD)
    traces = [samples.trace(losses=(float(number),)) for number in range(6)]
    plans = [samples.plan(store, trace, reason=str(n)) for n, trace in enumerate(traces)]
    told: list[StoreError] = []

    def write(plan: Plan) -> None:
        try:
            store.apply(plan)
        except StoreError as error:
            told.append(error)

    writers = [threading.Thread(target=write, args=(plan,)) for plan in plans]
    for writer in writers:
        writer.start()
    for writer in writers:
        writer.join()
    golden = store.load(RUN, PLATFORM)
    assert golden is not None
    assert len(golden.ledger) == 2
    assert golden.trace == traces[int(golden.ledger[1].reason)]
    assert len(told) == len(plans) - 1
    assert all("changed by someone else" in error.what for error in told)


def test_a_reader_that_opened_the_old_golden_turns_to_the_new_one(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A writer decides and begins to remove the old golden after the reader has opened it."""
    (_, rehearsal, plan), (_, store, _) = itertools.islice(copies(tmp_path, OLD), 2)
    with failing_at(MOST, death) as seen:
        rehearsal.apply(plan)
    second_removal = [place for place, name in enumerate(seen) if name == "unlink"][1]
    genuine = os.listdir

    def replaced_under_us(directory: int) -> list[str]:
        monkeypatch.setattr(os, "listdir", genuine)
        with failing_at(second_removal, death), pytest.raises(Death):
            store.apply(plan)
        return os.listdir(directory)

    monkeypatch.setattr(os, "listdir", replaced_under_us)
    assert check_one_of_both(store, OLD) == "new"
    assert len(genuine(store.root / RUN / PLATFORM)) == 4


def test_a_second_writer_waits_for_the_first(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    store, plan = prepared(tmp_path, OLD)
    other = samples.plan(store, samples.trace(losses=(0.0,)))
    told: list[str] = []

    def second() -> None:
        try:
            store.apply(other)
        except StoreError as error:
            told.append(error.what)

    writer = threading.Thread(target=second)
    genuine = os.rename

    def meanwhile(*arguments: Any, **options: Any) -> None:
        monkeypatch.setattr(os, "rename", genuine)
        writer.start()
        writer.join(0.2)
        assert writer.is_alive()
        genuine(*arguments, **options)

    monkeypatch.setattr(os, "rename", meanwhile)
    store.apply(plan)
    writer.join()
    assert told == ["the golden was changed by someone else in the meantime"]
    assert check_one_of_both(store, OLD) == "new"
