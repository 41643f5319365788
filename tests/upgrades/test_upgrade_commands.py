"""The command line of try and bisect: what it refuses, and what it hands on."""

from __future__ import annotations

import argparse
import json
import subprocess
from pathlib import Path

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


@pytest.fixture
def engines(project, index, today, monkeypatch):
    """Releases that all give the same, and the command that bisects among them."""
    for minor in range(3):
        index.add("engine", f"1.{minor}", "VALUE = 1.0\n")
    today("engine==1.2")
    run = PrintedRun(root=project, modules=("engine",))
    monkeypatch.setattr(probing, "targets", lambda *_: [run])
    workspace = ["--workspace", str(project / "ws")]
    return lambda *words: (main([*words, *workspace]), run.trained)


@pytest.mark.parametrize(
    ("ends", "wrong", "nearest"),
    [
        ("--from 1.0 --to 2.99.0", "--to 2.99.0", "1.2"),
        ("--from 1.0 --to 2.99.0 --plan", "--to 2.99.0", "1.2"),
        ("--from 1.0 --to 1.1.5 --all", "--to 1.1.5", "1.1 and 1.2"),
        ("--from 0.9", "--from 0.9", "1.0"),
        ("--from 1.0 --to 1.2+cpu", "--to 1.2+cpu", "1.2"),
    ],
)
def test_an_end_that_is_no_release_is_refused_before_anything_is_tried(
    engines, capsys, ends, wrong, nearest
):
    assert engines("bisect", "tiny", "--package", "engine", *ends.split()) == (2, [])
    out, err = capsys.readouterr()
    option, version = wrong.split()
    assert f"{wrong}: engine has no release {version}\n" in err
    assert f"the nearest for this Python and platform: {nearest}\n" in err
    assert f"next:     {option} {nearest.split()[0]}\n" in err
    assert out == ""


def test_a_package_that_the_index_lacks_is_refused(engines, capsys):
    command = ("bisect", "tiny", "--package", "enginne", "--from", "1.0", "--to", "1.2")
    assert engines(*command) == (2, [])
    assert "enginne has no release 1.0" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("ends", "untried"),
    [
        ("--from 1.0 --to 1.9", "1.9"),
        ("--from 1.0 --to 1.9 --all", "1.9"),
        ("--from 0.1 --to 1.2", "0.1"),
    ],
)
def test_an_end_that_cannot_be_tried_here_leaves_the_question_open(
    engines, index, capsys, ends, untried
):
    for version in ("0.1", "1.9"):
        index.add("engine", version, "VALUE = 2.0\n", tag="cp27-cp27m-any")
    command = ("bisect", "tiny", "--package", "engine", *ends.split())
    status, trained = engines(*command, "--json", "answer.json", "--markdown", "page.md")
    assert status == 4
    assert trained
    out = capsys.readouterr().out
    assert f"engine {untried}, an end of the range, can't be tried: the requirements" in out
    assert "no change point" not in out
    assert not json.loads(Path("answer.json").read_text())["conclusive"]
    assert "Inconclusive." in Path("page.md").read_text()


@pytest.mark.parametrize(("wanted", "missing"), [("engine==2.99.0", True), ("engine==1.9", False)])
def test_trying_a_release_tells_a_misspelt_one_from_one_that_does_not_fit(
    engines, index, capsys, wanted, missing
):
    index.add("engine", "1.9", "VALUE = 2.0\n", tag="cp27-cp27m-any")
    assert engines("try", wanted) == (2 if missing else 4, [])
    err = capsys.readouterr().err
    if missing:
        assert "engine==2.99.0: engine has no release 2.99.0\n" in err
        assert "next:     engine==1.2\n" in err
    else:
        assert "the requirements can't be resolved" in err


def test_a_yanked_end_that_is_named_is_tried(engines, index, capsys):
    index.add("engine", "1.9", "VALUE = 2.0\n", yanked=True)
    command = ("bisect", "tiny", "--package", "engine", "--from", "1.0", "--to", "1.9")
    assert engines(*command, "--no-confirm")[0] == 1
    assert "engine 1.2 → 1.9" in capsys.readouterr().out


def test_a_change_is_found_although_an_end_cannot_be_tried(engines, index, capsys):
    index.add("engine", "1.8", "VALUE = 2.0\n")
    index.add("engine", "1.9", "VALUE = 2.0\n", tag="cp27-cp27m-any")
    command = ("bisect", "tiny", "--package", "engine", "--from", "1.0", "--to", "1.9")
    assert engines(*command, "--no-confirm")[0] == 1
    out = capsys.readouterr().out
    assert "engine 1.2 → 1.8" in out
    assert "engine 1.9, an end of the range, can't be tried" in out


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
