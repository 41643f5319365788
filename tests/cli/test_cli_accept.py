"""From a report to a golden by the command line, and the checklist."""

from __future__ import annotations

import json

import pytest

PLAIN = """
def train(run):
    for step in range(3):
        run.step(loss=step * float(run.config.get("scale", 1)))
"""


def test_a_missing_golden_is_accepted_from_the_report_of_a_check(project, goldtrace):
    (project.root / "plain.py").write_text(PLAIN)
    file = project.declare("tiny", "plain:train")
    status, out, err = goldtrace("check", "--report", "report")
    assert status == 3
    assert "training tiny on cpu once more: missing, so for a candidate golden" in err
    assert "tiny [cpu]: candidate golden in report/candidates/tiny/cpu-portable" in out
    assert "if meant: goldtrace accept report tiny --reason '…'" in out
    document = json.loads((project.root / "report/report.json").read_text())
    [run] = document["runs"]
    assert run["candidate"]["folder"] == "candidates/tiny/cpu-portable"
    assert {point["answer"] for point in run["checklist"]} == {"yes", "no", "not applicable"}
    assert not project.contents("tiny")

    # A checkout that is not the one that was checked.
    project.declare("tiny", "plain:train", "[config]\nscale = 2\n")
    status, _, err = goldtrace("accept", "report", "--reason", "first")
    assert status == 3
    assert "other settings than this checkout declares" in err
    assert "config {} there, {'scale': 2} here" in err
    file.unlink()
    status, _, err = goldtrace("accept", "report", "--reason", "first")
    assert status == 3
    assert "this checkout declares no such run" in err
    assert not project.contents("tiny")

    project.declare("tiny", "plain:train")
    status, out, err = goldtrace("accept", "report", "--reason", "first", "--json", "-")
    assert status == 0
    assert "tiny  cpu-portable  would be created  (2 processes agree)  first golden" in out
    assert "not calibrated: no optimizer is watched" in out
    assert "from: a check with the verdict missing; cpu " in out
    assert "written: golden/tiny/cpu-portable\n" in out
    accepted = json.loads(out[out.index("{\n") :])["accepted"]
    assert [each["action"] for each in accepted] == ["created"]
    out = goldtrace("accept", "report", "--reason", "again")[1]
    assert "unchanged" in out
    assert "written" not in out

    status, out, err = goldtrace("check", "--report", "report")
    assert status == 0
    assert "candidate" not in out
    assert not (project.root / "report/candidates/tiny/cpu-portable").exists()


def test_a_candidate_may_be_left_out(project, goldtrace):
    (project.root / "plain.py").write_text(PLAIN)
    project.declare("tiny", "plain:train")
    status, _, err = goldtrace("check", "--report", "report", "--no-candidates")
    assert status == 3
    assert "once more" not in err
    assert not (project.root / "report/candidates").exists()


def test_doctor_exports_the_checklist_of_a_run(project, goldtrace):
    (project.root / "plain.py").write_text(PLAIN)
    project.declare("tiny", "plain:train")
    status, out, err = goldtrace("doctor", "tiny", "--export", "page.md", "--json", "doctor.json")
    assert status == 0, err
    assert "golden with certificate" in out
    page = (project.root / "page.md").read_text()
    assert page.startswith("# Reproducibility of tiny\n")
    assert "| hash seed | ✓ yes | PYTHONHASHSEED=0 |  |" in page
    assert "| golden with certificate | ✗ **no** | no golden | goldtrace record RUN" in page
    points = json.loads((project.root / "doctor.json").read_text())["checklist"]
    assert len(points) == 15


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (("doctor", "other"), "no run 'other'"),
        (("doctor", "tiny", "--profile", "cuda"), "a profile of its own"),
        (("doctor", "tiny", "--device", "cuda"), "tiny isn't declared for this device"),
    ],
)
def test_doctor_looks_only_at_runs_that_there_are(project, goldtrace, arguments, words):
    project.declare("tiny", "training:train", 'devices = ["cpu"]\n')
    status, _, err = goldtrace(*arguments)
    assert status == 2
    assert words in err
