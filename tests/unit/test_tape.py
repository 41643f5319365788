"""The tape: it sees every operator, and the training doesn't see it."""

from __future__ import annotations

import functools
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
import torch
from torch import nn
from torch.nn.functional import cross_entropy
from torch.utils._python_dispatch import TorchDispatchMode, _get_current_dispatch_mode_stack

from goldtrace.determinism import generator, seed_everything
from goldtrace.model.tape import REGION, SAMPLE, Phase
from goldtrace.recording.contents import Contents, positions
from goldtrace.recording.tape import Tape

if TYPE_CHECKING:
    from collections.abc import Callable

    from goldtrace.model.tape import Call, TapedStep, Value


class Net(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.body = nn.Sequential(nn.Conv2d(3, 5, 3), nn.BatchNorm2d(5), nn.ReLU(inplace=True))
        self.drop = nn.Dropout(0.25)
        self.head = nn.Linear(5 * 7 * 7, 4)

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        left, right = self.body(images).flatten(1).split([100, 145], dim=1)
        return self.head(self.drop(torch.cat([left, right], dim=1)))


def train(
    steps: int, *, tape: Tape | None, optimizer: Callable[..., Any], wrap: Any = lambda m: m
) -> list[torch.Tensor]:
    """All that a training leaves behind: losses, weights, buffers, state, generator."""
    torch.manual_seed(3)
    model = Net()
    names = {id(module): name for name, module in model.named_modules()}
    names |= {id(parameter): name for name, parameter in model.named_parameters()}
    chosen = optimizer(model.parameters())
    wrapped = wrap(model)
    if tape is not None:
        chosen.register_step_pre_hook(lambda each, *_: tape.optimizer_begins(each, names))
        chosen.register_step_post_hook(lambda *_: tape.optimizer_ends())
    losses = []
    for number in range(steps):
        if tape is not None:
            tape.begin(number, functools.partial(dict, names))
        images, labels = torch.randn(6, 3, 9, 9), torch.arange(6) % 4
        loss = cross_entropy(wrapped(images), labels)
        loss.backward()
        nn.utils.clip_grad_norm_(model.parameters(), 0.5)
        chosen.step()
        chosen.zero_grad()
        if tape is not None:
            tape.end()
        losses.append(loss.detach())
    state = [value for group in chosen.state.values() for value in group.values()]
    tensors = [value for value in state if isinstance(value, torch.Tensor)]
    return [*losses, *model.parameters(), *model.buffers(), *tensors, torch.get_rng_state()]


SGD = functools.partial(torch.optim.SGD, lr=0.05, momentum=0.9, weight_decay=1e-3)
ADAMW = functools.partial(torch.optim.AdamW, lr=1e-3)
OPTIMIZERS = {
    "SGD": SGD,
    "AdamW": ADAMW,
    "AdamW foreach": functools.partial(ADAMW, foreach=True),
    "AdamW fused": functools.partial(ADAMW, fused=True),
}


def tape_of(*numbers: int) -> Tape:
    return Tape(numbers, root=Path(__file__).parents[2])


def record(function: Callable[[], object]) -> TapedStep:
    tape = tape_of(0)
    tape.begin(0, dict)
    function()
    tape.end()
    (step,) = tape.steps
    return step


def ops(step: TapedStep) -> list[str]:
    return [call.op for call in step.calls]


def outputs(step: TapedStep, call: Call) -> list[Value]:
    return [step.values[place] for place in call.outputs]


def same_bits(one: list[torch.Tensor], other: list[torch.Tensor]) -> bool:
    return len(one) == len(other) and all(map(torch.equal, one, other))


@pytest.mark.parametrize("optimizer", OPTIMIZERS.values(), ids=OPTIMIZERS)
def test_the_tape_changes_no_bit(optimizer):
    without = train(4, tape=None, optimizer=optimizer)
    with_tape = train(4, tape=tape_of(0, 1, 3), optimizer=optimizer)
    assert same_bits(without, with_tape)


def test_the_same_training_leaves_the_same_tape():
    tapes = []
    for _ in range(2):
        tape = tape_of(0, 2)
        train(3, tape=tape, optimizer=SGD)
        tapes.append(tape.steps)
    assert [step.number for step in tapes[0]] == [0, 2]
    assert tapes[0] == tapes[1]


def test_forward_backward_and_optimizer_are_told_apart_and_named():
    tape = tape_of(0)
    train(1, tape=tape, optimizer=SGD)
    (step,) = tape.steps
    called = {(call.op, call.phase, call.module) for call in step.calls}
    assert ("aten::convolution", Phase.FORWARD, "body.0") in called
    assert ("aten::native_batch_norm", Phase.FORWARD, "body.1") in called
    assert ("aten::relu_", Phase.FORWARD, "body.2") in called
    assert ("aten::addmm", Phase.FORWARD, "head") in called
    assert ("aten::convolution_backward", Phase.BACKWARD, "body.0") in called
    assert ("aten::mm", Phase.BACKWARD, "head") in called
    assert ("aten::add_.Tensor", Phase.OPTIMIZER, "body.0.weight") in called
    assert ("aten::linalg_vector_norm", Phase.OTHER, None) in called
    bernoulli = next(call for call in step.calls if call.op == "aten::bernoulli_.float")
    assert bernoulli.random
    assert bernoulli.arguments == {"p": "0.75"}
    assert bernoulli.module == "drop"


def test_lines_are_those_of_the_users_code_and_of_the_forward_operator_in_backward():
    tape = tape_of(0)
    train(1, tape=tape, optimizer=SGD)
    (step,) = tape.steps
    source = Path(__file__).read_text(encoding="utf-8").splitlines()
    for name, text in (("aten::cat", "torch.cat"), ("aten::mm", "self.head(")):
        line = next(call.line for call in step.calls if call.op == name)
        assert line is not None
        file, _, number = line.rpartition(":")
        assert file == "tests/unit/test_tape.py"
        assert text in source[int(number) - 1]


def test_views_and_copies_are_not_operators_that_compute():
    x = torch.randn(3, 4)

    def views() -> None:
        x.t().contiguous().view(6, 2)[1:].clone().expand(5, 2).unbind()
        torch.empty(3).copy_(x[:, 0])
        x.add(1)

    assert ops(record(views)) == ["aten::add.Tensor"]


def test_a_conversion_to_another_format_is_an_operator():
    x = torch.randn(3, 4)
    assert ops(record(lambda: x.to(torch.bfloat16))) == ["aten::_to_copy"]


def test_what_an_in_place_operator_writes_is_its_output():
    x, y = torch.ones(5), torch.ones(5)

    def call() -> None:
        x.mul_(3)
        torch.add(x, y, out=y)
        torch._foreach_mul_([x, y], 2.0)

    first, second, third = (step := record(call)).calls
    assert [value.elements for value in outputs(step, first)] == [("40400000",) * 5]
    assert [value.elements for value in outputs(step, second)] == [("40800000",) * 5]
    assert [value.elements[0] for value in outputs(step, third)] == ["40c00000", "41000000"]
    assert second.inputs != second.outputs


def test_memory_that_is_written_through_a_view_is_looked_at_again():
    x = torch.zeros(64, 64)

    def call() -> None:
        x.sum()
        x.view(-1)[5:6].fill_(1)
        x.sum()

    step = record(call)
    sums = [call for call in step.calls if call.op == "aten::sum"]
    assert sums[0].inputs != sums[1].inputs


def test_lists_scalars_none_and_empty_tensors_are_taken_as_they_come():
    table = nn.Embedding(7, 3, sparse=True)

    def call() -> None:
        torch._foreach_add([torch.ones(2), torch.empty(0)], 1)
        torch.ones(3).unbind()
        torch.tensor([1.0, 2.0]).sum().item()
        torch.nonzero(torch.tensor([0, 1]))
        table(torch.tensor([1, 1])).sum().backward()
        torch.tensor([1 + 1j]).abs()
        torch.ones(2, dtype=torch.bfloat16) * 2

    step = record(call)
    assert {"aten::_foreach_add.Scalar", "aten::nonzero", "aten::abs"} <= set(ops(step))


@pytest.mark.parametrize(
    ("value", "elements"),
    [
        (torch.tensor([float("nan"), 1.0]), ("7fc00000", "3f800000")),
        (torch.tensor([float("-inf"), -0.0]), ("ff800000", "80000000")),
        (torch.tensor([5e-324], dtype=torch.float64), ("0000000000000001",)),
        (torch.tensor([1.5], dtype=torch.bfloat16), ("3fc0",)),
        (torch.tensor([True, False]), ("01", "00")),
        (torch.tensor(7), ("0000000000000007",)),
        (torch.empty(0), ()),
    ],
)
def test_elements_are_kept_to_the_bit(value, elements):
    contents = Contents()
    contents.place_of(value)
    (found,) = contents.values()
    assert found.elements == elements
    assert found.shape == tuple(value.shape)


def test_the_statistics_are_those_of_the_tensor_in_float64():
    value = torch.linspace(-3, 5, 600, dtype=torch.float32)
    contents = Contents()
    contents.place_of(value)
    (found,) = contents.values()
    assert found.statistics is not None
    assert found.statistics.count == 600
    assert found.statistics.total == pytest.approx(value.double().sum().item(), rel=1e-12)
    assert found.statistics.absolute == pytest.approx(value.double().abs().sum().item(), rel=1e-12)


def test_a_sample_is_spread_over_the_tensor_and_has_its_end():
    for count in (1, SAMPLE, SAMPLE + 1, 5000, 1 << 22):
        chosen = positions(count).tolist()
        assert chosen == sorted(set(chosen))
        assert len(chosen) == min(count, SAMPLE)
        assert chosen[-1] == count - 1
        assert (
            max(b - a for a, b in zip([-1, *chosen], chosen, strict=False))
            <= 3 * count / SAMPLE + 3
        )


def test_a_named_stream_is_an_argument_by_its_name():
    seed_everything(1)
    stream = generator("shuffle")
    (call,) = record(lambda: torch.randperm(5, generator=stream)).calls
    assert call.random
    assert call.arguments["generator"] == "generator:shuffle"


def test_a_step_that_is_not_chosen_has_no_mode_on_the_stack():
    tape = tape_of(1)
    tape.begin(0, dict)
    assert _get_current_dispatch_mode_stack() == []
    tape.end()
    assert tape.steps == []


def test_a_step_that_ends_in_an_error_leaves_no_mode_behind():
    tape = tape_of(0)
    tape.begin(0, dict)
    with pytest.raises(RuntimeError):
        torch.ones(2) @ torch.ones(3)
    tape.discard()
    assert _get_current_dispatch_mode_stack() == []
    assert tape.steps == []


class Counting(TorchDispatchMode):
    """A mode of the user's own, such as a profiler of floating-point operations."""

    count = 0

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        self.count += 1
        return func(*args, **(kwargs or {}))


def test_a_mode_of_the_users_may_end_while_the_tape_is_on():
    tape = tape_of(0)
    with Counting() as mode:
        tape.begin(0, dict)
        torch.ones(3).add(1)
    torch.ones(3).add(1)
    tape.end()
    assert mode.count == 2
    assert ops(tape.steps[0]).count("aten::add.Tensor") == 2
    assert _get_current_dispatch_mode_stack() == []


@pytest.mark.filterwarnings("ignore:Guards may run slower on Python 3.13.0:RuntimeWarning")
@pytest.mark.parametrize("backend", ["eager", "aot_eager"])
def test_a_compiled_region_gives_the_bits_of_a_run_without_tape_and_is_one_call(backend):
    calls = []

    def wrap(model: nn.Module) -> Any:
        torch._dynamo.reset()
        calls.append(compiled := torch.compile(model, backend=backend))
        return compiled

    without = train(2, tape=None, optimizer=SGD, wrap=wrap)
    tape = tape_of(0, 1)
    with_tape = train(2, tape=tape, optimizer=SGD, wrap=wrap)
    assert same_bits(without, with_tape)
    for step in tape.steps:
        regions = [c for c in step.calls if c.op == REGION and c.phase is Phase.FORWARD]
        assert len(regions) == 1
        assert regions[0].arguments == {"function": "Net"}
        assert len(regions[0].inputs) > 5
        assert regions[0].outputs
        assert "aten::convolution" not in ops(step)


@pytest.mark.filterwarnings("ignore:.*torch.cpu.amp.autocast:FutureWarning")  # torch 2.4 itself
def test_checkpointed_backward_is_recorded_as_backward():
    from torch.utils.checkpoint import checkpoint

    layer = nn.Sequential(nn.Linear(3, 3), nn.Tanh(), nn.Linear(3, 3))
    x = torch.randn(2, 3, requires_grad=True)

    def call() -> None:
        checkpoint(layer, x, use_reentrant=False).sum().backward()

    phases = [c.phase for c in record(call).calls if c.op == "aten::addmm"]
    assert phases == [Phase.FORWARD, Phase.FORWARD, Phase.BACKWARD]
