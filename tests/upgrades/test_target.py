"""A test's node id as the target of a bisection, trained by pytest under a given interpreter."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from goldtrace.bisect import target as targets
from goldtrace.bisect.target import BUILT_IN, Target
from goldtrace.errors import RunError, RunnerDiedError
from goldtrace.launch import child_environment
from goldtrace.model.spec import RunSpec
from goldtrace.packages.today import Today
from goldtrace.packages.workspace import tag_as_cache

AS_SOMEBODY = ("-c", "user.name=a", "-c", "user.email=a@b")

TESTS = """
import torch

def test_training(golden_run):
    weight = torch.nn.Parameter(torch.tensor([1.0, 2.0]))
    optimizer = torch.optim.SGD([weight], lr=0.5)
    for _ in range(3):
        loss = (weight ** 2).sum()
        loss.backward()
        optimizer.step()
        optimizer.zero_grad()
        golden_run.step(loss=loss)

def test_failing(golden_run):
    raise TypeError("no such argument")

def test_without_a_golden():
    pass
"""


@pytest.fixture(scope="module")
def project(tmp_path_factory):
    root = tmp_path_factory.mktemp("project")
    (root / "test_it.py").write_text(TESTS)
    return root


def train(project, name):
    target = Target(run=f"test_it.py::{name}", device="cpu", root=project)
    return target.train(Path(sys.executable))


def test_a_test_gives_its_trace_and_leaves_no_golden(project):
    before = sorted(project.rglob("*"))
    trace = train(project, "test_training")
    assert [step.scalars["loss"].value for step in trace.steps if step.scalars] == [5.0, 0.0, 0.0]
    assert sorted(p for p in project.rglob("*") if "__pycache__" not in p.parts) == before


def test_a_failing_test_is_told_by_its_exception(project):
    with pytest.raises(RunError) as caught:
        train(project, "test_failing")
    assert (caught.value.found or "").startswith("TypeError")


@pytest.mark.parametrize("name", ["test_without_a_golden", "test_missing"])
def test_what_records_nothing_is_no_training(project, name):
    with pytest.raises(RunnerDiedError):
        train(project, name)


def test_the_question_follows_the_code_and_the_spec(tmp_path):
    (tmp_path / "training.py").write_text("x = 1\n")
    spec = RunSpec(name="tiny", entry="training:train")
    target = Target(run=spec, device="cpu", root=tmp_path)
    before = target.question()
    assert target.question() == before
    (tmp_path / "training.py").write_text("x = 2\n")
    assert target.question() != before
    other = Target(
        run=RunSpec(name="tiny", entry="training:train", seed=1), device="cpu", root=tmp_path
    )
    assert other.question() != target.question()
    built_in = Target(run=BUILT_IN["operators"], device="cpu", root=tmp_path)
    asked = built_in.question()
    (tmp_path / "training.py").write_text("x = 3\n")
    assert built_in.question() == asked


def test_environments_and_caches_within_the_project_are_no_part_of_the_question(project):
    target = Target(run=RunSpec(name="tiny", entry="training:train"), device="cpu", root=project)
    before = target.question()
    tag_as_cache(project / "workspace")
    (project / "venv").mkdir()
    (project / "venv" / "pyvenv.cfg").touch()
    for folder in ("workspace", "venv", ".hidden"):
        (project / folder / "deep").mkdir(parents=True)
        (project / folder / "deep" / "module.py").touch()
    assert target.question() == before
    (project / "another.py").touch()
    assert target.question() != before


def test_what_the_answer_is_written_to_is_no_part_of_the_question(tmp_path):
    for command in (["init", "-q"], ["add", "."], [*AS_SOMEBODY, "commit", "-qm", "all"]):
        (tmp_path / "train.py").write_text("rate = 0.1\n")
        subprocess.run(["git", *command], cwd=tmp_path, check=True)  # noqa: S607
    page, answer = tmp_path / "page.md", tmp_path / "answer.json"
    target = Target(run="t.py::t", device="cpu", root=tmp_path, written=(page, answer))
    before = target.question()
    page.write_text("found")
    answer.write_text("{}")
    assert target.question() == before
    (tmp_path / "train.py").write_text("rate = 0.2\n")
    assert target.question() != before


@pytest.mark.parametrize("name", ["train.py", "config.yaml", "settings.toml"])
def test_outside_of_git_code_and_settings_are_part_of_the_question(tmp_path, name):
    target = Target(run="t.py::t", device="cpu", root=tmp_path, written=(tmp_path / "out.json",))
    before = target.question()
    (tmp_path / "out.json").write_text("{}")
    assert target.question() == before
    (tmp_path / name).write_text("0.1")
    assert target.question() != before


def test_another_project_that_is_installed_from_its_sources_is_part_of_the_question(
    tmp_path, monkeypatch
):
    root, other = tmp_path / "root", tmp_path / "other"
    root.mkdir()
    other.mkdir()
    today = Today(requirements=(), pins=(), editable=(other, root))
    monkeypatch.setattr(targets, "todays_environment", lambda: today)
    target = Target(run="t.py::t", device="cpu", root=root)
    before = target.question()
    (other / "layers.py").write_text("x = 1\n")
    assert target.question() != before


def test_packages_of_this_interpreter_do_not_stand_before_those_of_a_probe(project, monkeypatch):
    shadow = project / "shadow"
    shadow.mkdir()
    (shadow / "torch.py").write_text("raise SystemExit('the wrong torch')\n")
    monkeypatch.setenv("PYTHONPATH", str(shadow))
    assert train(project, "test_training").steps
    assert "PYTHONPATH" not in child_environment({}, interpreter="/another/python")
    assert child_environment({})["PYTHONPATH"] == str(shadow)
