"""``goldtrace explain``: the replay of a step without a tape, and another interpreter."""

from __future__ import annotations

import json
import subprocess
import sys
import sysconfig

import pytest
from changed_torch import other_sinh, training


@pytest.fixture
def write(project):
    def write(then: str) -> None:
        (project.root / "training.py").write_text(training(then=then))

    return write


@pytest.fixture
def failing(project, goldtrace, write):
    def failing(before: str, now: str) -> None:
        """A run that was recorded with a tape of step 0, and gives something else now."""
        project.declare("tiny", "training:train", "tape = [0]\n")
        write(before)
        assert goldtrace("record", "--no-calibrate", "--reason", "first")[0] == 0
        write(now)
        assert goldtrace("check")[0] == 1

    return failing


def test_a_failing_step_without_a_tape_is_trained_again_with_one(
    project, goldtrace, write, failing
):
    failing("pass", "loss = loss + 0.125 * torch.erfc(loss) if step == 2 else loss")

    status, out, err = goldtrace("explain", "tiny", "--json", "report.json")
    assert status == 1
    assert "with a tape of step 2" in err
    assert "First difference in step 2" in out
    assert "aten::erfc" in out
    assert "training.py:12" in out
    told = " ".join(out.split())
    assert "the golden has no tape of step 2" in told
    assert "only a change of the program can be seen, not of results" in told
    (run,) = json.loads((project.root / "report.json").read_text())["runs"]
    first = run["first_divergence"]
    assert (first["step"], first["op"], first["class"]) == (2, "aten::erfc", "program")

    # Once the code has moved on, a repetition tells nothing about the failure, and says so.
    write("loss = loss + 0.25 * torch.erfc(loss) if step == 2 else loss")
    status, out, _ = goldtrace("explain", "tiny")
    assert status == 1
    assert "did not give the bits of the failure" in " ".join(out.split())
    assert "aten::erfc" not in out


def test_what_an_earlier_step_did_as_well_is_no_change_of_the_program(project, goldtrace, failing):
    failing(
        "loss = loss + 1.0 * torch.erfc(loss) if step else loss",
        "loss = loss + (0.5 if step == 2 else 1.0) * torch.erfc(loss) if step else loss",
    )

    status, out, _ = goldtrace("explain", "tiny", "--json", "report.json")
    assert status == 1
    told = " ".join(out.split())
    assert "the forward pass of this step gave another loss" in told
    assert "held against those of step 1, and the program is the same" in told
    assert "aten::erfc" not in told
    (run,) = json.loads((project.root / "report.json").read_text())["runs"]
    assert (run["first_divergence"]["step"], run["first_divergence"]["op"]) == (2, None)


def test_what_was_added_to_every_step_is_named_where_it_shows_later(goldtrace, failing):
    failing("pass", "loss = loss + float(step == 2) * torch.erfc(loss)")

    status, out, _ = goldtrace("explain", "tiny")
    assert status == 1
    told = " ".join(out.split())
    assert "First difference in step 2" in told
    assert "the program differs, aten::erfc" in told
    assert "added compared with step 0" in told


def test_another_interpreter_is_held_against_this_one_and_the_culprit_called_in_both(
    project, goldtrace, write
):
    project.declare("tiny", "training:train")
    write("pass")
    other = project.root / "other"
    subprocess.run([sys.executable, "-m", "venv", "--without-pip", other], check=True)
    version = f"python{sys.version_info.major}.{sys.version_info.minor}"
    packages = other / "lib" / version / "site-packages"
    (packages / "changed.py").write_text(other_sinh("(1.0 + 2.0**-22)"))
    # torch and the rest, but no goldtrace: an editable one lies elsewhere.
    packages_here = sysconfig.get_path("purelib")
    (packages / "changed.pth").write_text(f"{packages_here}\nimport changed\n")

    status, out, error = goldtrace(
        *("explain", "tiny", "--against", other / "bin" / "python"),
        *("--reproducer", project.root / "culprit"),
    )
    assert status == 1, error
    told = " ".join(out.split())
    assert "First difference in step 0: forward" in told
    assert "aten::sinh gave other bits from identical inputs" in told
    assert "elements: rounding. " in told
    assert "aten::sinh by itself shows it in both environments" in told
    assert "of 18 elements differ, by at most" in told

    script = project.root / "culprit" / "reproduce.py"
    alone = subprocess.run(
        [sys.executable, "-I", script], capture_output=True, text=True, check=True
    ).stdout
    assert "as the run that failed" in alone
    assert "as the golden" not in alone
