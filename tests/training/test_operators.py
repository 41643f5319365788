"""The operators run: complete, repeatable, sensitive to one bit, independent of torch's sums."""

from __future__ import annotations

import math
from pathlib import Path

import pytest
import torch

from goldtrace.bisect.target import BUILT_IN
from goldtrace.compare import compare_traces
from goldtrace.launch import launch
from goldtrace.model.verdict import Rung, Verdict
from goldtrace.reference.atlas import cases
from goldtrace.reference.atlas.inputs import Definite, Index, Real
from goldtrace.reference.operators import relative_changes, statistics


@pytest.fixture(scope="module")
def traces():
    spec = BUILT_IN["operators"]
    return [launch(spec, "cpu", root=Path.cwd()) for _ in range(2)]


def test_the_run_repeats_itself_to_the_last_bit(traces):
    comparison = compare_traces(*traces, tolerance={})
    assert comparison.verdict is Verdict.IDENTICAL


def test_about_250_operators_are_computed_in_three_dtypes_forward_and_backward(traces):
    step = traces[0].steps[-1]
    results = {name for name in step.scalars if ".sketch" not in name}
    operators = {name.split(".")[0] for name in results}
    assert len(operators) > 240
    for dtype in ("float32", "float64", "bfloat16"):
        assert sum(f".{dtype}" in name for name in results) > 200
    assert sum(name.endswith(".grad") for name in results) > 400
    assert len(step.tensors[Rung.BUFFERS]) >= len(results) - 5


def test_names_are_unique():
    names = [case.name for case in cases()]
    assert len(names) == len(set(names))


def test_one_bit_of_one_element_shows():
    value = Real((7, 37)).make(1, torch.float32)
    other = value.clone()
    other[3, 5] = torch.nextafter(other[3, 5], torch.tensor(9.0))
    one, two = statistics("x", value), statistics("x", other)
    assert all(one[name] != two[name] for name in one)


def test_infinities_and_nans_are_counted():
    value = torch.tensor([1.0, math.nan, -math.inf, -0.0])
    assert statistics("x", value)["x"] == 1.0
    assert statistics("x", value)["x.not_finite"] == 2
    assert statistics("x", torch.zeros(0)) == {"x": 0.0, "x.sketch0": 0.0, "x.sketch1": 0.0}


def test_inputs_are_these_bits_whatever_torch_does():
    assert (
        Real((3,)).make(20, torch.float64).tolist() == Real((3,)).make(20, torch.float64).tolist()
    )
    drawn = Real((5, 7), -1.0, 1.0).make(3, torch.float64)
    assert drawn.min() >= -1
    assert drawn.max() < 1
    assert len(drawn.unique()) == 35
    index = Index((41,), 7).make(2, torch.bfloat16)
    assert set(index.tolist()) == set(range(7))
    definite = Definite(13).make(1, torch.float64)
    assert torch.equal(definite, definite.T)
    assert torch.linalg.eigvalsh(definite).min() > 0


def test_the_estimated_change_is_relative_to_the_norm(traces):
    scalars = traces[0].steps[-1].scalars
    moved = dict(scalars)
    from goldtrace.model.scalar import Scalar

    norm = scalars["exp.float32"].value
    sketch = scalars["exp.float32.sketch0"].value
    moved["exp.float32.sketch0"] = Scalar.of(sketch + norm * 1e-6)
    del moved["erf.float64"]
    changed = relative_changes(scalars, moved)
    assert changed.keys() == {"exp.float32", "erf.float64"}
    assert changed["exp.float32"] == pytest.approx(1e-6, rel=1e-6)
    assert changed["erf.float64"] is None
