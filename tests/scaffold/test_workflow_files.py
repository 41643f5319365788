"""Workflow files: valid under their services' schemas, and their shell steps run with bash."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import yaml

from goldtrace.cli import command_line
from goldtrace.scaffold.services import Service, install_commands

ROOT = Path(__file__).parents[2]
GITHUB = ".github/workflows/golden.yml"
GITLAB = ".gitlab/golden.yml"
TRAIN = "Train, compare and write the summary"
(COMMANDS,) = (a.choices for a in command_line()._actions if a.dest == "command")


def check(schema: str, *paths: Path) -> None:
    result = subprocess.run(
        [sys.executable, "-m", "check_jsonschema", "--builtin-schema", f"vendor.{schema}", *paths],
        capture_output=True,
        text=True,
        check=False,
    )
    assert result.returncode == 0, result.stdout + result.stderr


def load(path: Path) -> Any:
    return yaml.safe_load(path.read_text(encoding="utf-8"))


def bash(script: str, root: Path, **variables: str) -> subprocess.CompletedProcess[str]:
    """Run a step as GitHub does: bash, which ends at the first failure."""
    path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
    return subprocess.run(
        [shutil.which("bash") or "bash", "--noprofile", "--norc", "-eo", "pipefail", "-c", script],
        cwd=root,
        env={**os.environ, "PATH": path, "CI": "true", **variables},
        capture_output=True,
        text=True,
        check=False,
    )


def steps_of_the_action() -> dict[str, dict[str, Any]]:
    return {step["name"]: step for step in load(ROOT / "action.yml")["runs"]["steps"]}


def test_everything_follows_the_schema_of_its_service(repository, goldtrace):
    assert goldtrace("init", "--github", "--gitlab")[0] == 0
    check("github-actions", ROOT / "action.yml")
    check("github-workflows", *sorted((ROOT / ".github/workflows").iterdir()), repository / GITHUB)
    check("gitlab-ci", ROOT / ".gitlab-ci.yml", repository / ".gitlab-ci.yml", repository / GITLAB)


def test_a_schema_refuses_what_is_wrong(tmp_path):
    wrong = tmp_path / "golden.yml"
    wrong.write_text((ROOT / ".github/workflows/ci.yml").read_text().replace("runs-on", "runs_on"))
    with pytest.raises(AssertionError, match="runs-on"):
        check("github-workflows", wrong)


def test_the_steps_fail_without_a_golden_and_pass_with_one(repository, goldtrace):
    """The workflow that init writes and the action, on the example that init writes."""
    goldtrace("init", "--github", "--gitlab")
    steps = {s.get("name"): s for s in load(repository / GITHUB)["jobs"]["golden"]["steps"]}
    train = steps["Train and compare"]["run"]
    # Without the candidate, which would train seven times more.
    failed = bash(f"{train} --golden-no-candidates", repository)
    assert failed.returncode == 1, failed.stdout
    assert "no golden for cpu-portable" in failed.stdout
    assert (repository / "golden-report" / "report.json").is_file()

    recorded = bash(
        'goldtrace record example --no-calibrate --in-ci --reason "first golden"', repository
    )
    assert recorded.returncode == 0, recorded.stderr
    assert train in load(repository / GITLAB)["golden"]["script"]

    action = steps_of_the_action()
    given = {
        "PATHS": "golden",
        "DEVICE": "cpu",
        "STRICT": "true",
        "REPORT": "a report",
        "ARGUMENTS": "-q --durations=1",
        "GITHUB_STEP_SUMMARY": str(repository / "summary"),
    }
    passed = bash(action[TRAIN]["run"], repository, **given)
    assert passed.returncode == 0, passed.stdout + passed.stderr
    assert "1 passed" in passed.stdout
    for name in ("report.json", "junit.xml", "pytest.txt"):
        assert (repository / "a report" / name).is_file(), name
    assert (repository / "summary").stat().st_size > 0


def test_the_action_fails_when_pytest_does(repository):
    (repository / "test_it.py").write_text("def test_it():\n    assert '~~~~' == ''\n")
    action = steps_of_the_action()
    given = {
        "PATHS": "test_it.py",
        "DEVICE": "cpu",
        "STRICT": "false",
        "REPORT": "report",
        "ARGUMENTS": "",
        "GITHUB_STEP_SUMMARY": str(repository / "summary"),
    }
    failed = bash(action[TRAIN]["run"], repository, **given)
    assert failed.returncode == 1, failed.stdout
    assert "1 failed" in (repository / "summary").read_text()


def test_what_pytest_said_is_the_summary_where_nothing_else_is(repository):
    action = steps_of_the_action()
    given = {
        "PATHS": "there-is-~~~~-no-such-file.py",
        "DEVICE": "cpu",
        "STRICT": "false",
        "REPORT": "report",
        "ARGUMENTS": "-p no:goldtrace",
        "GITHUB_STEP_SUMMARY": str(repository / "summary"),
    }
    failed = bash(action[TRAIN]["run"], repository, **given)
    assert failed.returncode == 4, failed.stdout
    lines = (repository / "summary").read_text().splitlines()
    assert [line for line in lines if line.startswith("~~~~")] == ["~~~~text", "~~~~"]
    assert len(lines) > 2


def test_the_action_installs_what_it_is_told_and_stops_where_that_fails(tmp_path):
    install = steps_of_the_action()["Install"]["run"]
    assert bash(install, tmp_path, INSTALL="").returncode == 0
    assert bash(install, tmp_path, INSTALL="touch one\ntouch 'two words'").returncode == 0
    assert (tmp_path / "two words").exists()
    assert bash(install, tmp_path, INSTALL="false\ntouch three").returncode == 1
    assert not (tmp_path / "three").exists()


def test_no_input_becomes_a_part_of_a_script():
    steps = steps_of_the_action()
    assert [name for name, step in steps.items() if "${{" in step.get("run", "")] == []
    inputs = load(ROOT / "action.yml")["inputs"]
    used = (ROOT / "action.yml").read_text()
    assert [name for name in inputs if f"inputs.{name} " not in used] == []
    assert all(value["description"].strip() for value in inputs.values())


def test_the_report_is_kept_whatever_happens(repository, goldtrace):
    goldtrace("init", "--github", "--gitlab")
    action = steps_of_the_action()
    assert "always()" in action["Keep the report"]["if"]
    steps = load(repository / GITHUB)["jobs"]["golden"]["steps"]
    assert steps[-1]["if"] == "${{ !cancelled() }}"
    assert load(repository / GITLAB)["golden"]["artifacts"]["when"] == "always"


def test_the_files_call_commands_and_options_that_exist(repository, goldtrace):
    goldtrace("init", "--github", "--gitlab")
    texts = [p.read_text() for p in (repository / GITHUB, repository / GITLAB, ROOT / "action.yml")]
    lines = [line for text in texts for line in text.splitlines() if "#" not in line]
    called = [
        found.split() for line in lines for found in re.findall(r"goldtrace ([a-z]+ -.*)", line)
    ]
    assert len(called) == 3
    for name, *arguments in called:
        options = {o for action in COMMANDS[name]._actions for o in action.option_strings}
        assert {a for a in arguments if a.startswith("--")} <= options


@pytest.mark.parametrize(
    ("files", "commands"),
    [
        ({}, ["pip install goldtrace"]),
        ({"pyproject.toml": "[tool.pytest.ini_options]\n"}, ["pip install goldtrace"]),
        (
            {"pyproject.toml": "[project]\nname = 'shop'\ndependencies = ['torch']\n"},
            ["pip install .", "pip install goldtrace"],
        ),
        (
            {"requirements.txt": "torch\n", "requirements-dev.txt": "goldtrace[cuda]>=0.1\n"},
            ["pip install -r requirements.txt", "pip install -r requirements-dev.txt"],
        ),
        (
            {"requirements.txt": "# not goldtrace\ntorch\n"},
            ["pip install -r requirements.txt", "pip install goldtrace"],
        ),
        (
            {"uv.lock": "", "pyproject.toml": "[dependency-groups]\ndev = ['goldtrace']\n"},
            [
                "pip install uv",
                "uv sync --locked --all-groups",
                'echo "$PWD/.venv/bin" >> "$GITHUB_PATH"',
            ],
        ),
    ],
)
def test_a_fresh_machine_is_told_to_install_what_the_project_lists(tmp_path, files, commands):
    for name, text in files.items():
        (tmp_path / name).write_text(text)
    assert list(install_commands(tmp_path, Service.GITHUB)) == commands


def test_several_commands_stay_in_one_block(repository, goldtrace):
    (repository / "requirements.txt").write_text("torch\n")
    goldtrace("init", "--github", "--gitlab")
    wanted = "pip install -r requirements.txt\npip install goldtrace\n"
    steps = {s.get("name"): s for s in load(repository / GITHUB)["jobs"]["golden"]["steps"]}
    assert steps["Install"]["run"] == wanted
    assert load(repository / GITLAB)["golden"]["script"][0] == wanted


def test_a_branch_of_any_name_stays_a_string(repository, goldtrace):
    (repository / ".git" / "refs" / "remotes" / "origin").mkdir(parents=True)
    head = repository / ".git" / "refs" / "remotes" / "origin" / "HEAD"
    head.write_text("ref: refs/remotes/origin/on: [x], '\"y\n")
    goldtrace("init", "--github")
    branch = load(repository / GITHUB)[True]["push"]["branches"]
    assert len(branch) == 1
    assert branch[0] in ("on: [x], '\"y", "main")  # git may refuse the name
