"""A test's node id as the target of a bisection, trained by pytest under a given interpreter."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from goldtrace.bisect.target import BUILT_IN, Target
from goldtrace.errors import RunError, RunnerDiedError
from goldtrace.model.spec import RunSpec
from goldtrace.packages.workspace import tag_as_cache

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
