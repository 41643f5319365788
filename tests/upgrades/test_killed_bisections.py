"""A bisection that dies goes on where it stopped: real processes, signals and limits."""

from __future__ import annotations

import collections
import json
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from fake_packages import Index

SCRIPT = Path(__file__).with_name("interrupted_bisection.py")


def publish(index: Index, *, slow: int | None = None) -> None:
    """Nine releases of an engine with two changes among them; one is no use."""
    for minor in range(9):
        code = f"VALUE = {minor // 4}\n"
        if minor == 5:
            code = "raise ImportError('for another world')\n"
        elif minor == slow:
            code = f"import time\ntime.sleep(100)\n{code}"
        index.add("engine", f"1.{minor}", code)


def bisect(folder: Path, how: str = "none") -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, SCRIPT, folder, how, "engine==1.8"],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def ended(process: subprocess.Popen[str]) -> tuple[int, str, str]:
    out, err = process.communicate(timeout=120)
    return process.returncode, out, err


def trained(folder: Path) -> collections.Counter[str]:
    notes = folder / "trained.txt"
    return collections.Counter(notes.read_text().splitlines() if notes.exists() else [])


def answer(out: str) -> tuple[object, list[str]]:
    document = json.loads(out)
    return document["change_points"], [probe["label"] for probe in document["probes"]]


def test_killed_at_every_write_it_goes_on_to_the_same_answer_and_repeats_nothing(index, tmp_path):
    publish(index)
    undisturbed = tmp_path / "undisturbed"
    undisturbed.mkdir()
    status, out, err = ended(bisect(undisturbed))
    assert status == 0, err
    expected = answer(out)
    assert [(p["good"], p["bad"]) for p in expected[0]] == [("1.3", "1.4"), ("1.7", "1.8")]
    once = trained(undisturbed)

    folder = tmp_path / "killed"
    folder.mkdir()
    kills = 0
    while True:
        torn = ended(bisect(folder, "half"))
        if torn[0] == 0:
            break
        assert torn[0] == -signal.SIGKILL, torn
        before = trained(folder)
        whole = ended(bisect(folder, "after"))
        # What was being written when it died is done at most once more; nothing else is.
        repeated = trained(folder) - before
        assert sum(repeated.values()) <= 1
        assert whole[0] == -signal.SIGKILL, whole
        kills += 1
    assert answer(torn[1]) == expected
    # The list of releases, each probe, and both ends of both changes once more.
    assert kills > len(expected[1])
    extra = trained(folder) - once
    assert sum(extra.values()) <= 2 * len(expected[0])
    assert not once - trained(folder)


@pytest.mark.parametrize(
    ("what", "message"),
    [
        ("journal-full", "the journal can't be written"),
        ("traces-full", "a trace can't be kept"),
    ],
)
def test_a_full_disk_is_one_error_and_the_next_call_goes_on(index, tmp_path, what, message):
    publish(index)
    for _ in range(2):
        status, out, err = ended(bisect(tmp_path, what))
        assert (status, out) == (3, "")
        assert message in err
        assert "it goes on where it stopped" in err
        assert "Traceback" not in err
        assert ended(bisect(tmp_path, "after"))[0] == -signal.SIGKILL
        assert not list(tmp_path.glob("workspace/traces/.writing-*"))
    assert ended(bisect(tmp_path))[0] == 0


def test_an_interrupt_ends_the_probe_at_once_and_the_next_call_goes_on(index, tmp_path):
    publish(index, slow=4)
    process = bisect(tmp_path)
    deadline = time.monotonic() + 100
    while len(trained(tmp_path)) < 3 and time.monotonic() < deadline:
        time.sleep(0.05)
    before = trained(tmp_path)
    began = time.monotonic()
    process.send_signal(signal.SIGINT)
    assert ended(process)[0] != 0
    assert time.monotonic() - began < 30
    assert trained(tmp_path) == before

    # The ends are known; the one in the middle is trained again.
    again = bisect(tmp_path)
    while trained(tmp_path) == before and time.monotonic() < deadline:
        time.sleep(0.05)
    again.send_signal(signal.SIGINT)
    assert ended(again)[0] != 0
    assert sum((trained(tmp_path) - before).values()) == 1
