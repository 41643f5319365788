"""From a change point to its operator: real trainings under two releases of a package."""

from __future__ import annotations

import json
import sysconfig

import pytest
from changed_torch import other_sinh, training

from goldtrace.bisect.target import Target
from goldtrace.model.diagnosis import Cause
from goldtrace.model.spec import RunSpec
from goldtrace.report.document.upgrades import bisection_document
from goldtrace.report.markdown.upstream import render_bisection_markdown
from goldtrace.report.terminal.bisection import render_bisection
from goldtrace.workflow.bisecting import bisect_package
from goldtrace.workflow.means import Means


@pytest.fixture
def run(tmp_path) -> Target:
    """A run whose second step, which it does not tape, calls the operator."""
    (tmp_path / "training.py").write_text(
        training(activated="(torch.sinh(hidden) if step == 1 else hidden)")
    )
    spec = RunSpec(name="tiny", entry="training:train", tape=(0,))
    return Target(run=spec, device="cpu", root=tmp_path)


@pytest.fixture
def releases(index, today):
    """Two releases of an engine beside this environment's torch."""
    here = sysconfig.get_path("purelib")
    for version, factor in (("1.0", "1.0"), ("1.1", "(1.0 + 2.0**-23)")):
        index.add("engine", version, other_sinh(factor), starts=f"{here}\nimport engine\n")
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
