"""An operator without a deterministic implementation: what, where, and the ways out.

On the CPU torch refuses ``put_`` and ``max_unpool``, so these are the real errors.
"""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from torch.nn.functional import max_pool2d, max_unpool2d

from goldtrace.determinism import explained_refusal
from goldtrace.errors import NondeterministicOperatorError, error_from_json
from goldtrace.launch import launch
from goldtrace.model.spec import RunSpec
from goldtrace.recording.tape import Tape

HERE = Path(__file__)


@pytest.fixture(autouse=True)
def deterministic_algorithms():
    torch.use_deterministic_algorithms(mode=True)
    yield
    torch.use_deterministic_algorithms(mode=False)


def unpool() -> torch.Tensor:
    pooled, indices = max_pool2d(torch.rand(1, 2, 4, 6), 2, return_indices=True)
    return max_unpool2d(pooled, indices, 2)


def put() -> torch.Tensor:
    return torch.zeros(5).put_(torch.tensor([1]), torch.ones(1))


def line_of(text: str) -> int:
    lines = HERE.read_text(encoding="utf-8").splitlines()
    return next(number for number, line in enumerate(lines, 1) if text in line)


@pytest.mark.parametrize(
    ("call", "operator", "line"),
    [
        (put, "put_", line_of("return torch.zeros(5).put_(")),
        (unpool, "max_unpooling2d_forward_out", line_of("return max_unpool2d(")),
    ],
)
def test_the_operator_the_line_and_the_ways_out_are_named(call, operator, line):
    with pytest.raises(RuntimeError) as caught:
        call()
    for device in ("cpu", "cuda"):
        error = explained_refusal(caught.value, device, where="a-run")
        assert error is not None
        assert operator in error.what
        assert f"{HERE.name}:{line}: return " in str(error.where)
        assert "another implementation" in str(error.hint)
        assert "warn_only = true" in str(error.hint)
        assert ("this operator on the CPU" in str(error.hint)) == (device == "cuda")
        assert type(error_from_json(error.to_json())) is NondeterministicOperatorError


def test_the_implementations_that_are_recommended_are_deterministic():
    torch.zeros(5).index_put_((torch.tensor([1]),), torch.ones(1))
    torch.zeros(5).put_(torch.tensor([1]), torch.ones(1), accumulate=True)
    pooled, indices = max_pool2d(torch.rand(1, 2, 4, 6), 2, return_indices=True)
    flat = torch.zeros(1, 2, 24).scatter_(-1, indices.flatten(2), pooled.flatten(2))
    torch.use_deterministic_algorithms(mode=False)
    assert torch.equal(flat.view(1, 2, 4, 6), max_unpool2d(pooled, indices, 2))
    for numbers in (torch.rand(3, 7), torch.rand(3, 8)):
        middle = (numbers.shape[1] - 1) // 2
        assert torch.equal(numbers.sort(1).values[:, middle], numbers.median(1).values)


@pytest.mark.parametrize(
    "operator",
    ["median CUDA with indices output", "_histc_cuda with floating point input", "kthvalue CUDA"],
)
def test_operators_that_torch_describes_in_several_words_are_recognised(operator):
    # From libtorch_cuda.so: only a GPU raises these.
    refusal = RuntimeError(
        f"{operator} does not have a deterministic implementation, but you set "
        "'torch.use_deterministic_algorithms(True)'. You can turn off determinism"
    )
    error = explained_refusal(refusal, "cuda", where="a-run")
    assert error is not None
    assert error.found == operator
    assert ("sort has one" in str(error.hint)) == operator.startswith("median")


def test_an_operator_of_the_backward_pass_is_traced_to_the_line_that_went_forward():
    tape = Tape((0,), root=HERE.parent)
    weight = torch.rand(5, requires_grad=True)
    tape.begin(0, dict)
    try:
        torch.use_deterministic_algorithms(mode=False)
        out = weight.put(torch.tensor([1]), torch.ones(1))  # going forward
        torch.use_deterministic_algorithms(mode=True)
        with pytest.raises(RuntimeError, match="does not have a deterministic") as caught:
            out.sum().backward()
    finally:
        tape.discard()
    error = explained_refusal(caught.value, "cpu", where="a-run")
    assert error is not None
    line = line_of("# going forward")
    assert error.where == f"{HERE.name}:{line}, in the backward pass"


@pytest.mark.parametrize(
    "error",
    [
        RuntimeError("mat1 and mat2 shapes cannot be multiplied"),
        ValueError("put_ does not have a deterministic implementation, but you set"),
        KeyboardInterrupt(),
    ],
)
def test_other_errors_are_left_alone(error):
    assert explained_refusal(error, "cpu", where="a-run") is None


def test_a_declared_run_ends_with_the_explanation_and_its_own_frames(tmp_path):
    (tmp_path / "training.py").write_text(
        "import torch\n"
        "def train(run):\n"
        "    run.watch(model=torch.nn.Linear(2, 1))\n"
        "    torch.zeros(5).put_(torch.tensor([1]), torch.ones(1))\n"
    )
    spec = RunSpec(name="a-run", entry="training:train")
    with pytest.raises(NondeterministicOperatorError, match="the operator put_") as caught:
        launch(spec, "cpu", root=tmp_path)
    assert caught.value.where == "training.py:4"
    assert "training.py" in str(caught.value.traceback)
