"""One run, eager and compiled: torch.compile's CPU backend stands in for the GPU's."""

from __future__ import annotations

import shutil

import pytest

from goldtrace.cli import main
from goldtrace.errors import RecordingError
from goldtrace.launch import launch
from goldtrace.model.execution import Execution
from goldtrace.model.spec import RunSpec
from goldtrace.model.verdict import Rung, Verdict
from goldtrace.workflow.pairing import compare_compiled

needs_a_compiler = pytest.mark.skipif(
    shutil.which("g++") is None, reason="torch.compile needs g++ on the CPU"
)
TRAINING = """
import torch
from torch import nn

class Net(nn.Module):
    def __init__(self):
        super().__init__()
        self.one, self.norm, self.drop = nn.Linear(19, 33), nn.LayerNorm(33), nn.Dropout(0.1)
        self.two = nn.Linear(33, 5)

    def forward(self, x):
        return self.two(self.drop(nn.functional.gelu(self.norm(self.one(x)))))

def train(run):
    model = Net()
    optimizer = torch.optim.SGD(model.parameters(), lr=0.05, momentum=0.9)
    run.watch(model=model, optimizer=optimizer)
    for _ in range(3):
        x, y = torch.randn(23, 19), torch.randint(0, 5, (23,))
        loss = nn.functional.cross_entropy(model(x), y)
        loss.backward()
        optimizer.step()
        optimizer.zero_grad()
        run.step(loss=loss, batch=(x, y))

def goes_round(run):
    model = Net()
    run.watch(model=model)
    run.step(loss=model.one(torch.randn(3, 19)).mean())
"""


@pytest.fixture
def project(tmp_path, monkeypatch):
    (tmp_path / "training.py").write_text(TRAINING)
    monkeypatch.setenv("TORCHINDUCTOR_CACHE_DIR", str(tmp_path / "inductor"))
    return tmp_path


@needs_a_compiler
def test_eager_and_compiled_draw_the_same_numbers_and_differ_by_rounding_alone(project):
    spec = RunSpec(name="tiny", entry="training:train", tape=())
    result = compare_compiled(spec, "cpu", root=project, calibrated=False)
    comparison = result.comparison
    assert comparison is not None
    assert comparison.steps_compared == 3
    # Nothing says how large rounding may be: any bit is drift, and it must not be a large one.
    assert result.verdict is Verdict.DRIFT
    assert {d.rung for d in comparison.divergences} <= {
        *(Rung.LOSS, Rung.GRADIENTS, Rung.OPTIMIZER, Rung.WEIGHTS)
    }
    losses = [d for d in comparison.divergences if d.rung is Rung.LOSS]
    assert all(d.ulp is not None and d.ulp < 100 for d in losses)
    assert [(c.what, c.now) for c in comparison.environment_changes] == [
        ("pin execution", "compiled")
    ]


def test_a_run_of_which_nothing_is_compiled_is_refused(project):
    spec = RunSpec(name="tiny", entry="training:goes_round", tape=())
    with pytest.raises(RecordingError, match="nothing of the run was compiled"):
        launch(spec, "cpu", root=project, execution=Execution.COMPILED)


def test_two_traces_or_one_run_are_asked_for(capsys):
    for arguments in (["a"], ["a", "b", "--paired", "tiny"], []):
        assert main(["diff", *arguments]) == 2
        assert "--paired RUN" in capsys.readouterr().err
