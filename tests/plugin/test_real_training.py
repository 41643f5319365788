"""Golden tests that train with torch: recorded, repeated, caught."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import pytest
    from project import Project

pytest_plugins = ["pytester"]

TRAINING = """
import os, sys
import pytest

LR = float(os.environ.get("LR", 0.1))

@pytest.fixture
def model():
    import torch
    return torch.nn.Linear(3, 1)  # before golden_run, and seeded all the same

@pytest.mark.parametrize("lr", [0.1, 0.2])
def test_training(model, golden_run, lr):
    import torch
    assert torch.get_num_threads() == 1
    assert torch.are_deterministic_algorithms_enabled()
    optimizer = torch.optim.SGD(model.parameters(), lr=lr * LR)
    golden_run.watch(model=model, optimizer=optimizer)
    for _ in range(3):
        x, y = torch.randn(5, 3), torch.randn(5, 1)
        loss = torch.nn.functional.mse_loss(model(x), y)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        golden_run.step(loss=loss, batch=(x, y))
    golden_run.metric(final=loss)

def test_plain():
    assert "torch" not in sys.modules
"""


def test_training_is_recorded_repeated_and_caught_when_it_moves(
    project: Project, monkeypatch: pytest.MonkeyPatch
) -> None:
    project.load_all_plugins()
    project.write("tests/test_training.py", TRAINING)
    project.run("--golden-update").assert_outcomes(passed=3)
    assert {path.split("/")[0] for path in project.goldens()} == {
        "tests.test_training--test_training[0.1]",
        "tests.test_training--test_training[0.2]",
    }
    # another order, other neighbours, a worker of xdist: the same bits
    project.run("-n1", "-k", "0.2").assert_outcomes(passed=1)
    monkeypatch.setenv("LR", "0.1001")
    moved = project.run("-k", "0.1", "--golden-report=report")
    moved.assert_outcomes(failed=1, deselected=2)
    moved.stdout.fnmatch_lines(["*drift (* ulp) from step 0*", "*first*group0.lr  0.01 → 0.01001*"])
    [run] = project.report().values()
    assert run["first_divergence"]["rung"] == "lr"


def test_in_process_fails_closed_and_names_the_pin(project: Project) -> None:
    project.write("tests/test_training.py", TRAINING)
    result = project.run("--golden-in-process", "-k", "0.1")
    result.assert_outcomes(errors=1, deselected=2)
    result.stdout.fnmatch_lines(
        ["*PYTHONHASHSEED*", "*next: *env *PYTHONHASHSEED=0*python -m pytest*"]
    )


def test_an_operator_that_is_not_deterministic_is_named_with_the_ways_out(
    project: Project,
) -> None:
    project.write(
        "test_it.py",
        "import torch\n"
        "def test_training(golden_run):\n"
        "    torch.zeros(5).put_(torch.tensor([1]), torch.ones(1))\n",
    )
    result = project.run("--golden-report", "report")
    result.assert_outcomes(failed=1)
    result.stdout.fnmatch_lines(
        ["*test_it.py:3: *the operator put_ has no deterministic implementation on cpu*"]
    )
    result.stdout.fnmatch_lines(["*warn_only = true*"])
    [run] = project.report().values()
    assert "put_" in json.dumps(run)
