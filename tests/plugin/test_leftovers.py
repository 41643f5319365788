"""What one golden test leaves behind is nothing to the next one."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from project import Project

pytest_plugins = ["pytester"]

TESTS = """
import contextlib
import torch

def train(golden_run, around=contextlib.nullcontext):
    model = torch.nn.Linear(13, 5)
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
    golden_run.watch(model=model, optimizer=optimizer)
    for _ in range(2):
        loss = model(torch.randn(7, 13)).square().mean()
        loss.backward()
        optimizer.step()
        optimizer.zero_grad()
        with around():
            golden_run.step(loss=loss)
    assert model.weight.dtype is torch.get_default_dtype()

def test_first(golden_run):
    FIRST

def test_second(golden_run):
    train(golden_run)
"""

UPDATE = ("--golden-update", "--golden-no-calibrate", "-p", "no:randomly")


@pytest.mark.parametrize(
    "first",
    [
        "torch.set_default_dtype(torch.float64); train(golden_run)",
        "train(golden_run); torch.set_default_device('meta')",
    ],
)
def test_defaults_end_with_the_test_that_set_them(project: Project, first: str) -> None:
    project.load_all_plugins()
    project.write("tests/test_both.py", TESTS.replace("FIRST", first))
    project.run(*UPDATE).assert_outcomes(passed=2)
    project.run("-k", "second").assert_outcomes(passed=1, deselected=1)


def test_a_project_may_have_another_default_dtype(project: Project) -> None:
    project.load_all_plugins()
    project.write("tests/conftest.py", "import torch\ntorch.set_default_dtype(torch.float64)\n")
    project.write("tests/test_both.py", TESTS.replace("FIRST", "train(golden_run)"))
    project.run(*UPDATE).assert_outcomes(passed=2)


def test_a_step_in_inference_mode_fails_alone(project: Project) -> None:
    project.load_all_plugins()
    project.write(
        "tests/test_both.py", TESTS.replace("FIRST", "train(golden_run, torch.inference_mode)")
    )
    result = project.run(*UPDATE)
    result.assert_outcomes(passed=1, failed=1)
    result.stdout.fnmatch_lines(["*golden_run.step was called in inference mode*"])
