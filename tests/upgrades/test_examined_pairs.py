"""From a change point to its operator: real trainings under two releases of a package.

The package changes one operator of torch as soon as torch is imported, as another release of torch
would: so the operator also gives other bits when it is called alone.
"""

from __future__ import annotations

import json
import sysconfig

import pytest

from goldtrace.bisect.target import Target
from goldtrace.model.diagnosis import Cause
from goldtrace.model.spec import RunSpec
from goldtrace.report.document.upgrades import bisection_document
from goldtrace.report.markdown.upstream import render_bisection_markdown
from goldtrace.report.terminal.bisection import render_bisection
from goldtrace.workflow.bisecting import bisect_package
from goldtrace.workflow.means import Means

TRAINING = """
import torch

def train(run):
    model = torch.nn.Linear(3, 9)
    optimizer = torch.optim.SGD(model.parameters(), lr=0.5)
    run.watch(model=model, optimizer=optimizer)
    for step in range(3):
        optimizer.zero_grad()
        hidden = model(torch.ones(2, 3))
        loss = (torch.sinh(hidden) if step == 1 else hidden).square().mean()
        loss.backward()
        optimizer.step()
        run.step(loss=loss)
"""

CHANGED = """
import sys
from importlib.abc import MetaPathFinder
from importlib.machinery import PathFinder


class AfterTorch(MetaPathFinder):
    def find_spec(self, name, path=None, target=None):
        if name != "torch":
            return None
        spec = PathFinder.find_spec(name, path)
        execute = spec.loader.exec_module

        def exec_module(module):
            execute(module)
            library = module.library.Library("aten", "IMPL")
            library.impl("sinh", lambda x: ((x.exp() - (-x).exp()) / 2) * FACTOR, "CPU")
            module.kept = library

        spec.loader.exec_module = exec_module
        return spec


sys.meta_path.insert(0, AfterTorch())
"""


@pytest.fixture
def run(tmp_path) -> Target:
    """A run whose second step, which it does not tape, calls the operator."""
    (tmp_path / "training.py").write_text(TRAINING)
    spec = RunSpec(name="tiny", entry="training:train", tape=(0,))
    return Target(run=spec, device="cpu", root=tmp_path)


@pytest.fixture
def releases(index, today):
    """Two releases of an engine beside this environment's torch."""
    here = sysconfig.get_path("purelib")
    for version, factor in (("1.0", "1.0"), ("1.1", "(1.0 + 2.0**-23)")):
        code = CHANGED.replace("FACTOR", factor)
        index.add("engine", version, code, starts=f"{here}\nimport engine\n")
    today("engine==1.1")


def test_a_change_point_has_its_operator_and_a_reproducer_that_was_tried(run, releases, tmp_path):
    means = Means(directory=tmp_path / "workspace", ahead=False, keep=0)
    bisection = bisect_package(run, "engine", means, first="1.0", last="1.1")
    (point,) = bisection.change_points
    assert point.confirmed
    assert point.diagnosis is not None
    assert (point.diagnosis.step, point.diagnosis.op) == (1, "aten::sinh")
    assert point.diagnosis.cause is Cause.ROUNDING
    assert point.kind == "rounding"
    found = point.reproduction
    assert found is not None, point.note
    assert found.shown
    assert 1 <= found.ulp_median <= found.ulp_most <= 2
    assert 0 < found.differing <= found.elements == 18

    # The faces of the answer name it.
    shown = render_bisection(bisection)
    assert "aten::sinh gave other bits from identical inputs" in shown
    assert f"{found.differing} of 18 elements differ, by at most" in shown
    assert found.folder in shown
    page = render_bisection_markdown(bisection)
    assert "| engine | 1.0 | 1.1 | rounding | aten::sinh |" in page
    assert "import torch" in page
    (told,) = json.loads(json.dumps(bisection_document(bisection)))["change_points"]
    assert (told["op"], told["class"]) == ("aten::sinh", "rounding")
    assert told["reproducer"]["shown"]

    # Asking again trains nothing: not even the environments are there any more.
    (tmp_path / "workspace" / "environments").rename(tmp_path / "gone")
    again = bisect_package(run, "engine", means, first="1.0", last="1.1")
    assert again.change_points == bisection.change_points
    assert not (tmp_path / "workspace" / "environments").exists()
