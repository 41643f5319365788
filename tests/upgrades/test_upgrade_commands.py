"""The command line of try and bisect: what it refuses, and what it hands on."""

from __future__ import annotations

import argparse
import json
import subprocess

import pytest
from fake_packages import PrintedRun

from goldtrace.cli import main, probing
from goldtrace.cli.try_ import requirement
from goldtrace.errors import UsageError


@pytest.fixture
def project(tmp_path, monkeypatch):
    declared = tmp_path / "golden" / "tiny" / "run.toml"
    declared.parent.mkdir(parents=True)
    declared.write_text('entry = "package.training:train"\n')
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.mark.parametrize(
    ("text", "expected"), [("20GB", 20 * 10**9), ("1.5 gb", 15 * 10**8), ("0", 0), ("7k", 7000)]
)
def test_a_size_is_read(text, expected):
    assert probing.size(text.replace("7k", "7kB")) == expected


@pytest.mark.parametrize("text", ["", "GB", "-1GB", "1 parsec"])
def test_what_is_no_size_is_refused(text):
    with pytest.raises(argparse.ArgumentTypeError):
        probing.size(text)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["bisect", "tiny"], "what is to be bisected"),
        (["bisect", "tiny", "--package", "torch"], "what is to be bisected"),
        (["bisect", "tiny", "--from-lock", "a"], "what is to be bisected"),
        (["bisect", "tiny", "--package", "x", "--from", "1", "--from-date", "y"], "bisected"),
        (["bisect", "tiny", "--from-lock", "a", "--to-lock", "b"], "can't be read"),
        (["bisect", "tiny", "--from-date", "2025-03-01"], "can't be read"),
        (["bisect", "tinny", "--package", "x", "--from", "1"], "no run 'tinny'"),
        (["bisect", "tiny", "--package", "x", "--from", "one"], "no version"),
        (["bisect", "tiny", "--plan"], "what is to be bisected"),
        (["try"], "nothing to try"),
        (["try", "tinny!"], "neither a requirement nor a run"),
    ],
)
def test_what_cannot_be_carried_out_is_a_usage_error(project, capsys, arguments, message):
    assert main(arguments) == 2
    shown = capsys.readouterr()
    assert message in shown.err


def test_bisecting_writes_json_and_markdown_and_exits_with_drift(
    project, index, today, monkeypatch, capsys
):
    for minor in range(5):
        index.add("engine", f"1.{minor}", f"VALUE = {minor // 3}.0\n")
    today("engine==1.4")
    run = PrintedRun(root=project, modules=("engine",))
    monkeypatch.setattr(probing, "targets", lambda *_: [run])
    command = ["bisect", "tiny", "--package", "engine", "--workspace", str(project / "ws")]
    command += ["--json", "answer.json", "--markdown", "answer.md", "--no-confirm"]
    assert main([*command, "--from", "1.0", "--to", "1.4"]) == 1
    document = json.loads((project / "answer.json").read_text())
    assert [(p["good"], p["bad"]) for p in document["change_points"]] == [("1.2", "1.3")]
    assert "| engine | 1.2 | 1.3 |" in (project / "answer.md").read_text()
    assert "engine 1.2 → 1.3" in capsys.readouterr().out
    assert main([*command, "--from", "1.0", "--to", "1.2"]) == 0


def test_two_locks_and_a_revision_of_one_are_planned(project, capsys):
    git = ["git", "-c", "user.name=a", "-c", "user.email=a@b.c", "-c", "commit.gpgsign=false"]
    lock = project / "requirements.lock"
    lock.write_text("alpha==1.0\nbeta==1.0\nsame==3.0\n")
    for command in (["init", "-q"], ["add", "."], ["commit", "-q", "-m", "old"]):
        subprocess.run([*git, *command], cwd=project, check=True)
    lock.write_text("alpha==2.0\nsame==3.0\n")
    arguments = ["bisect", "tiny", "--from-lock", "HEAD:requirements.lock"]
    arguments += ["--to-lock", "requirements.lock", "--plan", "--json", "plan.json"]
    assert main(arguments) == 0
    assert "2 package changes: alpha 1.0 → 2.0, beta 1.0 → absent" in capsys.readouterr().out
    planned = json.loads((project / "plan.json").read_text())
    assert planned["candidates"] == ["alpha 1.0 → 2.0", "beta 1.0 → absent"]
    assert planned["probes"] == 2 + 1 + 4


def test_words_are_told_into_requirements_and_runs(project):
    golden = project / "golden"
    assert probing.is_run("tiny", golden)
    assert probing.is_run("operators", golden)
    assert probing.is_run("tests/test_a.py::test_b", golden)
    assert not probing.is_run("torch==2.15.0", golden)


def test_a_mistyped_run_is_not_taken_for_a_package(tmp_path):
    (tmp_path / "transformer").mkdir()
    (tmp_path / "transformer" / "run.toml").touch()
    with pytest.raises(UsageError, match="no run, and no package") as raised:
        requirement("transfomer", tmp_path)
    assert "transformer" in (raised.value.found or "")
    assert requirement("numpy", tmp_path) == "numpy"
    assert requirement("transfomer>=0", tmp_path) == "transfomer>=0"
