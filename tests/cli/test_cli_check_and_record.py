from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from goldtrace.cli.options import devices
from goldtrace.workflow.selecting import select

TRANSFORMER = Path(__file__).parents[2] / "golden" / "transformer" / "cpu-portable"


def test_record_check_change_and_record_again(project, goldtrace):
    project.declare("tiny", "training:train")
    status, out, _ = goldtrace("check")
    assert status == 3
    assert "tiny [cpu]: no golden for cpu-portable" in out
    assert "goldtrace record tiny" in out
    assert not project.contents("tiny")

    status, out, _ = goldtrace("record", "--reason", "first", "--json", "recorded.json")
    assert status == 0
    assert "tiny  cpu-portable  created  (2 processes agree)" in out
    recorded = json.loads((project.root / "recorded.json").read_text())
    assert recorded["recorded"][0]["action"] == "created"

    status, out, _ = goldtrace("check", "--json", "report.json")
    report = json.loads((project.root / "report.json").read_text())
    assert status == 0
    assert report["runs"][0]["verdict"] == "identical"
    assert report["runs"][0]["first_divergence"] is None

    before = project.contents("tiny")
    status, out, _ = goldtrace("record", "--reason", "again")
    assert status == 0
    assert "unchanged" in out
    assert project.contents("tiny") == before

    project.declare("tiny", "training:train", "[config]\nlr = 0.1001\n")
    status, out, _ = goldtrace("check", "--json", "report.json")
    report = json.loads((project.root / "report.json").read_text())
    assert status == 1
    assert "tiny [cpu]: drift (" in out
    assert "from step 0: group0.lr 0.1 → 0.1001" in out
    first = report["runs"][0]["first_divergence"]
    assert (first["step"], first["rung"], first["name"]) == (0, "lr", "group0.lr")
    assert {"what": "setting config.lr", "golden": None, "now": "0.1001"} in [
        {key: change[key] for key in ("what", "golden", "now")}
        for change in report["runs"][0]["environment_changes"]
    ]

    status, out, _ = goldtrace("record", "--reason", "smaller steps")
    assert status == 0
    assert "replaced" in out
    assert "group0.lr 0.1 → 0.1001" in out
    ledger = [json.loads(line) for line in _lines(project.golden("tiny") / "ledger.jsonl")]
    assert [entry["reason"] for entry in ledger] == ["first", "smaller steps"]
    assert ledger[1]["previous"] == ledger[0]["golden"]


def test_recording_twice_gives_the_same_bytes_but_for_the_ledger(project, goldtrace):
    project.declare("tiny", "training:train")
    goldtrace("record", "--no-calibrate", "--reason", "first")
    first = project.contents("tiny")
    for path in project.golden("tiny").iterdir():
        path.unlink()
    project.golden("tiny").rmdir()
    goldtrace("record", "--no-calibrate", "--reason", "second")
    second = project.contents("tiny")
    differing = {name for name in first if first[name] != second[name]}
    assert differing == {"cpu-portable/ledger.jsonl"}


def test_a_dry_run_shows_the_plan_and_writes_nothing(project, goldtrace):
    project.declare("tiny", "training:train")
    status, out, _ = goldtrace("record", "--reason", "why", "--dry-run")
    assert status == 0
    assert "would be created" in out
    assert not project.contents("tiny")


def test_a_run_that_differs_from_process_to_process_is_not_recorded(project, goldtrace):
    project.declare("tiny", "training:unrepeatable")
    status, _, err = goldtrace("record", "--reason", "why")
    assert status == 4
    assert "did not repeat the bits of process 1" in err
    assert "step 0" in err
    assert not project.contents("tiny")


def test_a_diverged_run_passes_only_if_the_golden_diverged_as_well(project, goldtrace):
    project.declare("tiny", "training:train", '[config]\nfactor = "nan"\n')
    assert goldtrace("record", "--no-calibrate", "--reason", "diverges")[0] == 0
    assert goldtrace("check")[0] == 0
    project.declare("tiny", "training:train")
    status, out, _ = goldtrace("check")
    assert status == 1
    assert "nan" in out.lower()


@pytest.mark.parametrize(
    ("entry", "status", "words"),
    [
        ("training:raises", 4, ["ValueError: the loader is broken", "training.py"]),
        ("training:exits", 4, ["SystemExit: 3"]),
        ("training:no_step", 2, ["the run recorded no step"]),
        ("training:not_a_scalar", 2, ["loss is not a single real number", "shape [2]"]),
        ("training:dies", 4, ["killed by SIGKILL", "last words"]),
        ("training:absent", 2, ["is no function", "nothing of that name"]),
        ("training:number", 2, ["is no function"]),
        ("missing.module:train", 2, ["can't be imported", "ModuleNotFoundError"]),
    ],
)
def test_a_run_that_fails_is_one_clear_error_and_writes_nothing(
    project, goldtrace, entry, status, words
):
    project.declare("tiny", entry)
    found, _, err = goldtrace("record", "--reason", "why")
    assert found == status
    for word in words:
        assert word in err
    assert "goldtrace/recording" not in err
    assert not project.contents("tiny")


@pytest.mark.parametrize("command", [["check"], ["record", "--reason", "why"]])
@pytest.mark.parametrize("entry", ["trainning:train", "training:trian"])
def test_a_misspelt_entry_point_is_found_by_file_line_and_key(project, goldtrace, command, entry):
    project.declare("tiny", "training:train")
    file = project.root / "golden" / "tiny" / "run.toml"
    file.write_text(f'# a comment\nseed = 3\nentry = "{entry}"\n')
    status, out, err = goldtrace(*command)
    assert status == 2
    assert "golden/tiny/run.toml:3" in out + err
    assert f'entry = "{entry}" ' in out + err


def test_absent_data_skips_the_run_and_fails_it_under_strict(project, goldtrace):
    project.declare("tiny", "training:lacks_data")
    status, out, _ = goldtrace("check")
    assert status == 0
    assert "the data is not here" in out
    assert goldtrace("check", "--strict")[0] == 4


def test_absent_data_keeps_no_other_run_from_being_recorded(project, goldtrace):
    project.declare("absent", "training:lacks_data")
    project.declare("tiny", "training:train")
    status, out, _ = goldtrace("record", "--reason", "why")
    assert status == 4
    assert "absent  cpu  skipped: the data is not here" in out
    assert project.contents("tiny")
    assert not project.contents("absent")


def test_a_damaged_golden_is_unusable_and_recording_replaces_it(project, goldtrace):
    project.declare("tiny", "training:train")
    goldtrace("record", "--no-calibrate", "--reason", "first")
    steps = project.golden("tiny") / "steps.jsonl"
    steps.write_bytes(steps.read_bytes()[:-40])
    status, out, _ = goldtrace("check")
    assert status == 3
    assert "steps.jsonl" in out
    assert goldtrace("record", "--reason", "it was damaged")[0] == 0
    assert goldtrace("check")[0] == 0


def test_an_interrupt_keeps_the_old_golden_and_ends_the_child(project, goldtrace):
    project.declare("tiny", "training:train")
    goldtrace("record", "--no-calibrate", "--reason", "first")
    before = project.contents("tiny")
    project.declare("tiny", "training:sleeps")
    command = [sys.executable, "-m", "goldtrace.cli", "record", "--reason", "second"]
    with subprocess.Popen(
        command, stderr=subprocess.PIPE, text=True, preexec_fn=interruptible
    ) as process:
        asleep = project.root / "asleep"
        deadline = time.monotonic() + 240
        while not (asleep.exists() and asleep.read_text()) and time.monotonic() < deadline:
            time.sleep(0.1)
        child = int(asleep.read_text())
        process.send_signal(signal.SIGINT)
        _, err = process.communicate(timeout=60)
    assert process.returncode == 130
    assert "no golden was changed" in err
    assert project.contents("tiny") == before
    with pytest.raises(ProcessLookupError):
        os.kill(child, 0)


def test_an_interrupt_of_a_check_ends_every_training(project):
    for name in ("one", "two"):
        project.declare(name, f"training:sleeps_{name}")
    project.declare("begins", "training:train")
    source = "".join(
        f"def sleeps_{name}(run):\n"
        f"    open('asleep-{name}', 'w').write(str(os.getpid()))\n    time.sleep(900)\n"
        for name in ("one", "two")
    )
    training = project.root / "training.py"
    training.write_text(training.read_text() + source)
    command = [sys.executable, "-m", "goldtrace.cli", "check", "--jobs", "2", "--report", "report"]
    with subprocess.Popen(
        command, stderr=subprocess.PIPE, text=True, preexec_fn=interruptible
    ) as process:
        asleep = [project.root / f"asleep-{name}" for name in ("one", "two")]
        deadline = time.monotonic() + 240
        while not all(f.exists() and f.read_text() for f in asleep) and time.monotonic() < deadline:
            time.sleep(0.1)
        children = [int(file.read_text()) for file in asleep]
        process.send_signal(signal.SIGINT)
        _, err = process.communicate(timeout=300)
    assert process.returncode == 130
    assert "Traceback" not in err
    for child in children:
        with pytest.raises(ProcessLookupError):
            os.kill(child, 0)
    # What was done by then is not lost, and what was not is no pass.
    document = json.loads((project.root / "report" / "report.json").read_text())
    found = {run["name"]: run["headline"] for run in document["runs"]}
    assert found == {
        "begins": "no golden for cpu-portable",
        "one": "error: interrupted",
        "two": "error: interrupted",
    }


@pytest.mark.parametrize("output", ["ascii", "closed", "a pipe that nobody reads"])
def test_the_answer_is_in_its_files_whatever_becomes_of_standard_output(project, output):
    project.declare("tiny", "training:train")
    command = f"{sys.executable} -m goldtrace.cli check --no-candidates --report out --json a.json"
    end = {"ascii": "", "closed": " >&-", "a pipe that nobody reads": " | true"}[output]
    done = subprocess.run(
        ["/bin/bash", "-o", "pipefail", "-c", command + end],
        env={**os.environ, "PYTHONIOENCODING": "ascii"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert "Traceback" not in done.stderr
    assert "Exception ignored" not in done.stderr
    assert done.returncode == 3
    if output == "ascii":
        assert "--reason '\\u2026'" in done.stdout
    for file in ("out/report.json", "a.json"):
        (run,) = json.loads((project.root / file).read_text())["runs"]
        assert run["verdict"] == "missing"


def test_a_report_that_cannot_be_written_is_said_before_anything_is_trained(project, goldtrace):
    project.declare("tiny", "training:train")
    (project.root / "file").touch()
    status, _, err = goldtrace("check", "--report", "file/report")
    assert status == 2
    assert "file/report: the report can't be written" in err
    assert "training" not in err


def test_a_killed_parent_takes_its_child_along(project):
    project.declare("tiny", "training:sleeps")
    command = [sys.executable, "-m", "goldtrace.cli", "check"]
    with subprocess.Popen(command, stderr=subprocess.DEVNULL) as process:
        asleep = project.root / "asleep"
        deadline = time.monotonic() + 240
        while not (asleep.exists() and asleep.read_text()) and time.monotonic() < deadline:
            time.sleep(0.1)
        child = int(asleep.read_text())
        process.kill()
    deadline = time.monotonic() + 20
    while _alive(child) and time.monotonic() < deadline:
        time.sleep(0.1)
    assert not _alive(child)


def test_nothing_is_written_under_ci_without_the_flag(project, goldtrace, monkeypatch):
    project.declare("tiny", "training:train")
    monkeypatch.setenv("CI", "true")
    status, _, err = goldtrace("record", "--reason", "why")
    assert status == 2
    assert "--in-ci" in err
    assert not project.contents("tiny")
    assert goldtrace("record", "--no-calibrate", "--reason", "why", "--in-ci")[0] == 0
    assert project.contents("tiny")


def test_diff_compares_two_directories(project, goldtrace):
    project.declare("tiny", "training:train")
    project.declare("other", "training:train", "seed = 1\n")
    goldtrace("record", "--no-calibrate", "--reason", "first", "--json", "-")
    status, out, _ = goldtrace("diff", project.golden("tiny"), project.golden("tiny"))
    assert status == 0
    assert "identical" in out
    status, out, _ = goldtrace(
        "diff", project.golden("tiny"), project.golden("other"), "--json", "diff.json"
    )
    assert status == 1
    assert "rng" in out or "torch" in out
    assert json.loads((project.root / "diff.json").read_text())["runs"][0]["verdict"] == "drift"


def test_diff_names_the_trace_that_is_damaged_or_not_there(project, goldtrace):
    for name in ("first", "second"):
        shutil.copytree(TRANSFORMER, project.root / name / "cpu-portable")
    status, _, err = goldtrace("diff", "first/cpu-portable", "second")
    assert status == 2
    assert "second: no trace here" in err
    assert "next:     name one of those in it: second/cpu-portable" in err
    steps = project.root / "second" / "cpu-portable" / "steps.jsonl"
    steps.write_bytes(steps.read_bytes()[:-5])
    status, _, err = goldtrace("diff", "first/cpu-portable", "second/cpu-portable")
    assert status == 3
    assert "second/cpu-portable/steps.jsonl" in err


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["check", "absent"], ["no run 'absent'", "tiny"]),
        (["check", "--golden-dir", "nowhere"], ["no declared runs"]),
        (["check", "--jobs", "0"], ["1 or more"]),
        (["check", "--device", "tpu"], ["cpu and cuda"]),
        (["check", "--device", "cuda"], ["no run is declared for this device", "--device cpu"]),
        (["check", "tiny", "--device", "cuda"], ["tiny isn't declared", "golden/tiny/run.toml"]),
        (["record", "tiny", "--device", "cuda", "--reason", "why"], ["tiny isn't declared"]),
        (["record"], ["--reason"]),
        (["record", "--reason", "  "], ["an empty reason"]),
        (["record", "--reason", "why", "--repeat", "1"], ["2 or more"]),
        (["diff", "golden/tiny", "golden/tiny"], ["no trace here", "header.json"]),
    ],
)
def test_wrong_usage_is_exit_status_2_and_says_what_is_expected(
    project, goldtrace, arguments, words
):
    project.declare("tiny", "training:train")
    status, _, err = goldtrace(*arguments)
    assert status == 2
    for word in words:
        assert word in err


def test_goldens_in_a_folder_of_the_tests_belong_to_the_project_whose_settings_say_so(
    project, goldtrace
):
    settings = '[tool.pytest.ini_options]\ngolden_dir = "tests/goldens"\n'
    (project.root / "pyproject.toml").write_text(settings)
    project.declare("tiny", "training:train")
    (project.root / "tests").mkdir()
    (project.root / "golden").rename(project.root / "tests" / "goldens")
    _git(project.root, "init", "--quiet")
    status, _, err = goldtrace("record", "--no-calibrate", "--reason", "first")
    assert status == 0, err
    status, out, _ = goldtrace("check")
    assert status == 0
    assert "1 run: 1 passed" in out
    _git(project.root, "add", ".")
    _git(project.root, "commit", "--quiet", "-m", "a golden")
    assert goldtrace("ledger", "--verify")[0] == 0
    shutil.rmtree(project.root / "tests" / "goldens" / "tiny" / "cpu-portable")
    status, out, _ = goldtrace("ledger", "--verify")
    assert status == 3
    assert "tiny/cpu-portable" in out


@pytest.mark.parametrize(
    "command", [["check"], ["record", "--reason", "why"], ["explain", "tiny"], ["ledger"]]
)
def test_below_the_top_of_a_project_a_command_says_where_the_goldens_are(
    project, goldtrace, monkeypatch, command
):
    project.declare("tiny", "training:train")
    below = project.root / "some where" / "below"
    below.mkdir(parents=True)
    monkeypatch.chdir(below)
    status, _, err = goldtrace(*command)
    assert status == 2
    assert "next:     --golden-dir ../../golden\n" in err


def test_a_run_or_a_device_that_is_named_twice_is_trained_once(project):
    project.declare("tiny", "training:train", 'devices = ["cpu", "cuda"]\n')
    runs = select(project.root / "golden", ["tiny", "tiny"], devices("cpu,cuda,cpu"))
    assert [(spec.name, device) for spec, device in runs] == [("tiny", "cpu"), ("tiny", "cuda")]
    assert len(select(project.root / "golden", [], ("cpu", "cpu"))) == 1


def test_a_run_for_another_device_is_passed_over_where_none_is_named(project):
    project.declare("gpu", "training:train", 'devices = ["cuda"]\n')
    project.declare("tiny", "training:train")
    assert [spec.name for spec, _ in select(project.root / "golden", [], ["cpu"])] == ["tiny"]


def test_a_wrong_key_in_run_toml_names_file_line_and_key(project, goldtrace):
    project.declare("tiny", "training:train", "sead = 3\n")
    status, _, err = goldtrace("check")
    assert status == 2
    assert "golden/tiny/run.toml:2" in err
    assert "unknown key sead" in err


def test_doctor_shows_the_pins_in_force(project, goldtrace, monkeypatch):
    monkeypatch.setenv("COLUMNS", "80")
    status, out, _ = goldtrace("doctor", "--json", "doctor.json")
    document = json.loads((project.root / "doctor.json").read_text())
    assert status == 0
    assert "MKL_CBWR" in out
    assert "…" not in out.partition("canaries")[0]
    assert document["pins"]["MKL_CBWR"] == "COMPATIBLE"
    assert document["platform"] == "cpu-portable"


def test_a_command_without_torch_starts_without_it():
    code = (
        "import sys; import goldtrace.cli as c\n"
        "try: c.main(['--version'])\nexcept SystemExit: pass\n"
        "assert not {'torch', 'numpy'} & set(sys.modules), sorted(sys.modules)"
    )
    subprocess.run([sys.executable, "-c", code], check=True, capture_output=True)


def interruptible() -> None:
    """Undo what a shell does to jobs in the background, such as this test-suite may be."""
    signal.signal(signal.SIGINT, signal.SIG_DFL)


def _lines(path):
    return path.read_text().splitlines()


def _alive(pid: int) -> bool:
    try:
        stat = Path(f"/proc/{pid}/stat").read_text()
    except FileNotFoundError:
        return False
    return stat.rsplit(")", 1)[1].split()[0] != "Z"


def _git(folder: Path, *arguments: str) -> None:
    author = ["-c", "user.name=Ada", "-c", "user.email=ada@example.org"]
    subprocess.run(["git", *author, *arguments], cwd=folder, check=True)  # noqa: S607 - the machine's git
