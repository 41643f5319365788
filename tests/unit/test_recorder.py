from __future__ import annotations

import math
import weakref
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import nn
from torch.nn.functional import cross_entropy

from goldtrace.errors import RecordingError
from goldtrace.model.environment import Environment
from goldtrace.model.scalar import Scalar
from goldtrace.model.spec import RunSpec
from goldtrace.model.tape import Phase
from goldtrace.model.trace import INITIAL_STEP, Header
from goldtrace.model.verdict import Rung
from goldtrace.recording import batch as batches
from goldtrace.recording import ladder, numbers
from goldtrace.recording.batch import start_batch
from goldtrace.recording.digest import digest_tensor
from goldtrace.recording.on_device import to_host
from goldtrace.recording.recorder import GoldenRun
from goldtrace.recording.tape import Tape

SPEC = RunSpec(name="a-run", entry="package.module:train")
HEADER = Header(
    run=SPEC.name,
    device="cpu",
    platform="cpu-portable",
    origin=SPEC.entry,
    settings=SPEC.settings(),
    spec_digest=SPEC.digest(),
    pins={},
    environment=Environment(),
)


@pytest.fixture
def run() -> GoldenRun:
    torch.manual_seed(0)
    return GoldenRun(
        name=SPEC.name,
        seed=0,
        device="cpu",
        config={},
        header=lambda data: replace(HEADER, data=data),
    )


@pytest.fixture
def model() -> nn.Module:
    return nn.Sequential(nn.Linear(5, 3), nn.BatchNorm1d(3), nn.Linear(3, 2))


def train_a_step(model: nn.Module, optimizer: torch.optim.Optimizer) -> torch.Tensor:
    optimizer.zero_grad()
    loss = cross_entropy(model(torch.randn(4, 5)), torch.tensor([0, 1, 0, 1]))
    loss.backward()
    optimizer.step()
    return loss


def test_a_loss_is_recorded_exactly_in_its_own_dtype(run):
    run.step(loss=torch.tensor(0.1), other=0.1, count=np.int64(3), half=torch.tensor(0.1).half())
    scalars = run.finish().steps[0].scalars
    assert scalars["loss"] == Scalar(float(np.float32(0.1)).hex(), "float32")
    assert scalars["other"] == Scalar((0.1).hex(), "float64")
    assert scalars["count"] == Scalar("3", "int64")
    assert scalars["half"].dtype == "float16"


@pytest.mark.parametrize("value", [math.nan, -math.nan, math.inf, -math.inf, -0.0, 5e-324])
def test_special_values_survive(run, value):
    run.step(loss=value, tensor=torch.tensor(value, dtype=torch.float64))
    scalars = run.finish().steps[0].scalars
    assert scalars["loss"] == scalars["tensor"]
    assert np.float64(scalars["loss"].value).tobytes() == np.float64(value).tobytes()


def test_a_bfloat16_loss_keeps_its_format(run):
    run.step(loss=torch.tensor(1.0078125, dtype=torch.bfloat16))
    assert run.finish().steps[0].scalars["loss"] == Scalar((1.0078125).hex(), "bfloat16")


class Spread(torch.Tensor):
    """A tensor whose values lie on a GPU, a part of them in this process: as a DTensor."""

    is_cuda = True

    def to_local(self) -> torch.Tensor:
        return self.as_subclass(torch.Tensor)


def test_a_loss_and_a_batch_that_are_spread_over_gpus_are_recorded(run, monkeypatch):
    def copied(tensor):
        assert type(tensor) is torch.Tensor  # no DTensor goes into a buffer of the host
        return to_host(tensor)

    monkeypatch.setattr(numbers, "to_host", copied)
    monkeypatch.setattr(batches, "to_host", copied)
    loss, batch = torch.tensor(0.5), torch.rand(3, 2)
    run.step(loss=loss.as_subclass(Spread), batch=batch.as_subclass(Spread))
    (step,) = run.finish().steps
    assert step.scalars["loss"] == Scalar.of(0.5, "float32")
    assert step.ladder[Rung.BATCH] == start_batch(batch, where="")().whole


@pytest.mark.parametrize(
    "loss", [torch.ones(2), torch.empty(0), torch.tensor(1j), "0.5", np.ones(3), [0.5], object()]
)
def test_a_loss_that_is_no_scalar_is_an_error_that_says_what_it_is(run, loss):
    with pytest.raises(RecordingError, match="loss is not a single real number") as caught:
        run.step(loss=loss)
    assert caught.value.where == "a-run, step 0"
    assert caught.value.found


def test_a_run_without_steps_is_an_error(run):
    with pytest.raises(RecordingError, match="recorded no step"):
        run.finish()


def test_a_step_after_the_end_is_an_error(run):
    run.step(loss=1.0)
    run.metric(accuracy=0.5)
    with pytest.raises(RecordingError, match="after the end"):
        run.step(loss=1.0)
    run.finish()
    for call in (lambda: run.step(loss=1.0), lambda: run.metric(f1=1.0)):
        with pytest.raises(RecordingError, match="after the end"):
            call()


def test_a_metric_given_twice_is_an_error(run):
    run.step(loss=1.0)
    run.metric(accuracy=0.5)
    with pytest.raises(RecordingError, match="'accuracy' was recorded before"):
        run.metric(accuracy=0.6)


def test_a_step_with_nothing_in_it_is_an_error(run):
    with pytest.raises(RecordingError, match="nothing in it"):
        run.step()


def test_watching_something_else_is_an_error(run, model):
    with pytest.raises(RecordingError, match=r"watch\(model=…\)"):
        run.watch(model=model.parameters())
    with pytest.raises(RecordingError, match=r"watch\(optimizer=…\)"):
        run.watch(model=model, optimizer=model)


def test_watching_a_lazy_model_says_to_run_it_first(run):
    with pytest.raises(RecordingError, match="weight has no values") as caught:
        run.watch(model=nn.LazyLinear(2))
    assert "forward pass" in str(caught.value.hint)


def test_watching_twice_or_late_is_an_error(run, model):
    run.watch(model=model)
    with pytest.raises(RecordingError, match="called twice or after the first step"):
        run.watch(model=model)


def test_gradients_are_those_of_the_optimizer_call_although_zero_grad_follows(run, model):
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
    run.watch(model=model, optimizer=optimizer)
    loss = train_a_step(model, optimizer)
    expected = torch.stack([p.grad.double().norm() for p in model.parameters()]).norm()
    optimizer.zero_grad()
    run.step(loss=loss)
    step = run.finish().steps[1]
    assert set(step.tensors[Rung.GRADIENTS]) == {name for name, _ in model.named_parameters()}
    assert step.grad_norm is not None
    assert step.grad_norm.value == pytest.approx(expected.item(), rel=1e-6)


def test_the_learning_rate_is_the_one_that_the_optimizer_used(run, model):
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
    scheduler = torch.optim.lr_scheduler.StepLR(optimizer, step_size=1, gamma=0.5)
    run.watch(model=model, optimizer=optimizer, scheduler=scheduler)
    for _ in range(2):
        loss = train_a_step(model, optimizer)
        scheduler.step()
        run.step(loss=loss)
    rates = [step.hyperparameters["group0.lr"].value for step in run.finish().steps[1:]]
    assert rates == [0.1, 0.05]


def test_switches_of_the_implementation_are_no_hyperparameters(run, model):
    plain = torch.optim.AdamW(model.parameters(), lr=0.1, foreach=False)
    run.watch(model=model, optimizer=plain)
    run.step(loss=train_a_step(model, plain))
    found = run.finish().steps[1].hyperparameters
    assert set(found) == {
        "group0.lr",
        "group0.betas[0]",
        "group0.betas[1]",
        "group0.eps",
        "group0.weight_decay",
    }


def test_the_state_before_the_first_step_is_a_record_of_its_own(run, model):
    optimizer = torch.optim.SGD([model[0].weight], lr=0.1)
    run.watch(model=model, optimizer=optimizer)
    run.step(loss=train_a_step(model, optimizer))
    initial = run.finish().steps[0]
    assert initial.number == INITIAL_STEP
    structure = initial.tensors[Rung.STRUCTURE]
    assert structure["optimizer"] == "SGD"
    assert structure["0.weight"] == "float32[3,5] trainable group0"
    assert structure["2.bias"] == "float32[2] trainable in no optimizer"
    assert structure["1.running_mean"] == "float32[3] buffer"


def test_single_tensors_are_kept_at_the_first_and_the_last_step(run, model):
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1, momentum=0.9)
    run.watch(model=model, optimizer=optimizer)
    for _ in range(4):
        run.step(loss=train_a_step(model, optimizer))
    steps = run.finish().steps
    assert [bool(step.tensors) for step in steps] == [True, True, False, False, True]
    assert steps[-1].tensors[Rung.WEIGHTS].keys() == dict(model.named_parameters()).keys()
    assert "0.weight/momentum_buffer" in steps[-1].tensors[Rung.OPTIMIZER]


def test_a_parameter_that_is_called_like_another_line_of_the_structure_hides_none(run):
    model = nn.Module()
    model.optimizer = nn.Parameter(torch.zeros(2))
    model.register_buffer("scheduler", torch.zeros(3))
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
    scheduler = torch.optim.lr_scheduler.StepLR(optimizer, 3)
    run.watch(model=model, optimizer=optimizer, scheduler=scheduler)
    run.step(loss=1.0)
    structure = run.finish().steps[0].tensors[Rung.STRUCTURE]
    assert structure == {
        "optimizer": "SGD",
        "scheduler": "StepLR",
        "tensor optimizer": "float32[2] trainable group0",
        "tensor scheduler": "float32[3] buffer",
    }


def test_two_models_and_optimizers_keep_their_names_apart(run):
    models = {"generator": nn.Linear(2, 2), "critic": nn.Linear(2, 1)}
    optimizers = {name: torch.optim.SGD(m.parameters(), lr=0.1) for name, m in models.items()}
    run.watch(model=models, optimizer=optimizers)
    for name, each in models.items():
        each(torch.randn(3, 2)).sum().backward()
        optimizers[name].step()
    run.step(loss=0.0)
    step = run.finish().steps[1]
    assert {"generator.group0.lr", "critic.group0.lr"} <= step.hyperparameters.keys()
    assert set(step.tensors[Rung.GRADIENTS]) == {
        "call0.generator.weight",
        "call0.generator.bias",
        "call1.critic.weight",
        "call1.critic.bias",
    }


def test_gradient_accumulation_records_what_has_been_accumulated(run, model):
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
    run.watch(model=model, optimizer=optimizer)
    model(torch.randn(4, 5)).sum().backward()
    run.step(loss=0.0)
    assert len(run.finish().steps[1].tensors[Rung.GRADIENTS]) == 6


@pytest.mark.filterwarnings("ignore:Sparse invariant checks:UserWarning")
def test_sparse_gradients_are_recorded(run):
    table = nn.Embedding(7, 3, sparse=True)
    optimizer = torch.optim.SGD(table.parameters(), lr=0.1)
    run.watch(model=table, optimizer=optimizer)
    table(torch.tensor([1, 1, 5])).sum().backward()
    optimizer.step()
    run.step(loss=0.0)
    norm = run.finish().steps[1].grad_norm
    assert norm is not None
    assert norm.value == pytest.approx(math.sqrt(3 * 4 + 3))


def test_a_compiled_models_names_are_those_of_the_model(run, model):
    compiled = torch.compile(model, backend="eager")
    run.watch(model=compiled)
    run.step(loss=0.0)
    assert "0.weight" in run.finish().steps[0].tensors[Rung.STRUCTURE]


def test_recording_draws_no_random_number_and_changes_no_bit(run, model):
    optimizer = torch.optim.AdamW(model.parameters(), lr=0.1)
    torch.manual_seed(1)
    weights = [p.detach().clone() for p in model.parameters()]
    state = torch.get_rng_state()
    run.watch(model=model, optimizer=optimizer)
    run.step(loss=1.0, batch=(torch.ones(2, 2), {"label": torch.arange(2)}))
    assert torch.equal(torch.get_rng_state(), state)
    assert all(torch.equal(a, b) for a, b in zip(model.parameters(), weights, strict=True))


def test_data_is_part_of_the_header(run):
    run.data("cifar10", {"train.bin": "ab"})
    run.step(loss=1.0)
    assert run.finish().header.data == {"cifar10": {"train.bin": "ab"}}


def test_a_batch_in_another_order_has_the_same_samples():
    images, labels = torch.randn(6, 3, 2), torch.arange(6)
    order = torch.tensor([1, 0, 2, 3, 5, 4])
    one = start_batch((images, labels), where="here")()
    other = start_batch((images[order], labels[order]), where="here")()
    mixed = start_batch((images[order], labels), where="here")()
    assert one.whole != other.whole
    assert one.samples == other.samples
    assert mixed.samples not in (None, one.samples)


@pytest.mark.parametrize(
    "batch",
    [
        torch.empty(0, 3),
        {"x": np.arange(3.0), "y": "text", "z": None},
        [torch.tensor(1.0), 2, math.nan, b"bytes"],
        (),
        torch.tensor([[1.0, 0.0]]).to_sparse(),
    ],
)
def test_every_nest_of_plain_values_has_a_digest(batch):
    assert len(start_batch(batch, where="here")().whole) == 32


def test_a_batch_of_something_else_is_an_error_that_names_its_place():
    with pytest.raises(RecordingError, match=r"batch\[1\]\['x'\] can't be digested") as caught:
        start_batch((1, {"x": object()}), where="a-run, step 3")()
    assert "builtins.object" in str(caught.value)


@pytest.mark.parametrize("by_name", [True, False])
def test_gradients_that_a_closure_computes_within_the_optimizers_step_are_recorded(
    run, model, by_name
):
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
    run.watch(model=model, optimizer=optimizer)
    batch = torch.randn(4, 5)
    seen = []

    def closure():
        optimizer.zero_grad()
        loss = cross_entropy(model(batch), torch.tensor([0, 1, 0, 1]))
        loss.backward()
        seen.append({n: digest_tensor(n, p.grad) for n, p in model.named_parameters()})
        return loss

    for _ in range(2):
        loss = optimizer.step(closure=closure) if by_name else optimizer.step(closure)
        run.step(loss=loss)
    trace = run.finish()
    assert trace.steps[1].tensors[Rung.GRADIENTS] == seen[0]
    assert trace.steps[2].tensors[Rung.GRADIENTS] == seen[1]
    assert trace.steps[1].grad_norm is not None


def test_of_several_evaluations_of_a_closure_the_last_is_recorded(run, model):
    optimizer = torch.optim.LBFGS(model.parameters(), lr=0.1, max_iter=3)
    run.watch(model=model, optimizer=optimizer)
    batch, labels = torch.randn(4, 5), torch.tensor([0, 1, 0, 1])
    seen = []

    def closure():
        optimizer.zero_grad()
        loss = cross_entropy(model(batch), labels)
        loss.backward()
        seen.append({n: digest_tensor(n, p.grad) for n, p in model.named_parameters()})
        return loss

    run.step(loss=optimizer.step(closure))
    assert len(seen) > 1
    assert run.finish().steps[1].tensors[Rung.GRADIENTS] == seen[-1]


def test_the_optimizer_in_a_shell_without_hooks_is_the_one_that_is_watched(run, model):
    class Shell(torch.optim.Optimizer):
        """As accelerate's: an optimizer by name that was never initialised as one."""

        def __init__(self, optimizer):
            self.optimizer = optimizer

        def step(self, closure=None):
            return self.optimizer.step(closure)

        def zero_grad(self):
            self.optimizer.zero_grad()

    shell = Shell(torch.optim.SGD(model.parameters(), lr=0.1))
    run.watch(model=model, optimizer=shell)
    run.step(loss=train_a_step(model, shell))
    record = run.finish().steps[1]
    assert record.tensors[Rung.GRADIENTS]
    assert "group0.lr" in record.hyperparameters


def test_operators_of_a_closure_are_no_optimizers(model):
    taped = GoldenRun(
        name=SPEC.name,
        seed=0,
        device="cpu",
        config={},
        header=lambda data: replace(HEADER, data=data),
        tape=Tape((0,), root=Path(__file__).parents[2]),
    )
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
    taped.watch(model=model, optimizer=optimizer)

    def closure():
        loss = cross_entropy(model(torch.ones(4, 5)), torch.tensor([0, 1, 0, 1]))
        loss.backward()
        return loss

    taped.step(loss=optimizer.step(closure))
    phases = {call.op: call.phase for call in taped.finish().tape[0].calls}
    assert phases["aten::native_batch_norm"] is Phase.FORWARD
    assert phases["aten::native_batch_norm_backward"] is Phase.BACKWARD
    assert phases["aten::add_.Tensor"] is Phase.OPTIMIZER


def test_parameters_that_an_optimizer_is_given_later_have_names(run):
    model = nn.ModuleDict({"body": nn.Linear(3, 4), "head": nn.Linear(4, 2)})
    optimizer = torch.optim.SGD(model["body"].parameters(), lr=0.1, momentum=0.9)
    run.watch(model=model, optimizer=optimizer)
    for step in range(3):
        if step == 1:
            model["late"] = nn.Linear(4, 2)
            optimizer.add_param_group({"params": model["head"].parameters()})
            optimizer.add_param_group({"params": model["late"].parameters()})
        hidden = model["body"](torch.ones(5, 3))
        loss = sum(layer(hidden).sum() for name, layer in model.items() if name != "body")
        loss.backward()
        optimizer.step()
        optimizer.zero_grad()
        run.step(loss=loss)
    kept = run.finish().steps[-1].tensors[Rung.OPTIMIZER]
    assert "head.weight/momentum_buffer" in kept
    assert "late.bias/momentum_buffer" in kept


def test_the_norm_is_of_the_gradients_of_all_optimizers(run):
    models = {"one": nn.Linear(1, 1, bias=False), "other": nn.Linear(1, 1, bias=False)}
    optimizers = {name: torch.optim.SGD(m.parameters(), lr=0.1) for name, m in models.items()}
    run.watch(model=models, optimizer=optimizers)
    models["one"](torch.full((1, 1), 3.0)).sum().backward()
    models["other"](torch.full((1, 1), 4.0)).sum().backward()
    for optimizer in optimizers.values():
        optimizer.step()
    run.step(loss=1.0)
    assert run.finish().steps[-1].grad_norm == Scalar.of(5.0)


def test_arrays_of_any_stride_are_batches_and_numbers_without_a_common_format_are_refused(run):
    rows = np.arange(6.0).reshape(3, 2)
    assert start_batch(rows[::-1], where="")().samples == start_batch(rows, where="")().samples
    assert start_batch(rows[::-1], where="")().whole != start_batch(rows, where="")().whole
    assert start_batch(rows.astype(np.longdouble), where="")().samples is None
    with pytest.raises(RecordingError, match="loss is not a single real number"):
        run.step(loss=np.longdouble(1.5))


def test_samples_are_not_called_the_same_where_something_has_no_rows():
    rows = torch.arange(6.0).view(3, 2)
    assert start_batch((rows, ["cat", "dog", "cow"]), where="")().samples is None
    assert start_batch((rows, torch.tensor(0.5)), where="")().samples is None


def test_a_default_device_does_not_reach_what_is_recorded_within_a_step(run, model, monkeypatch):
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
    run.watch(model=model, optimizer=optimizer)
    made = []

    def to_host(tensor):
        made.append(torch.empty(0).device.type)  # the buffer of a copy from a GPU
        return lambda: tensor

    monkeypatch.setattr(ladder, "to_host", to_host)
    loss = cross_entropy(model(torch.randn(4, 5)), torch.tensor([0, 1, 0, 1]))
    loss.backward()
    with torch.device("meta"):
        optimizer.step()
    assert made == ["cpu"]


def test_an_update_that_a_cuda_graph_captures_is_left_alone(run, model, monkeypatch):
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
    run.watch(model=model, optimizer=optimizer)
    train_a_step(model, optimizer)
    gradient = model[0].weight.grad
    run.step(loss=1.0)
    with monkeypatch.context() as capturing:
        # Nothing that is launched now is computed, and no hook is called when it is replayed.
        capturing.setattr(torch.cuda, "is_initialized", lambda: True)
        capturing.setattr(torch.cuda, "is_current_stream_capturing", lambda: True)
        optimizer.step()
    gradient.fill_(2.0)
    run.step(loss=1.0)
    name = "0.weight"
    expected = digest_tensor(name, torch.full_like(gradient, 2.0))
    assert run.finish().steps[-1].tensors[Rung.GRADIENTS][name] == expected


@pytest.mark.parametrize("view", [lambda z: z.conj(), lambda z: z.conj().imag])
def test_what_is_copied_has_nothing_pending(view):
    complex_ = torch.complex(torch.rand(5), torch.rand(5))
    fetched = to_host(view(complex_))()
    assert not fetched.is_conj()
    assert not fetched.is_neg()
    assert torch.equal(fetched, view(complex_))


def test_a_training_may_resize_what_was_recorded(run, model):
    model.register_buffer("seen", torch.zeros(0))
    run.watch(model=model)
    for count in range(1, 4):
        model.seen.resize_(count * 1000).fill_(count)  # as observers of quantisation and FSDP do
        run.step(loss=float(count))
    assert run.finish().steps[-1].sketches[Rung.BUFFERS]["seen"]


def test_of_two_states_of_one_name_none_is_lost(run):
    shared = nn.Linear(2, 1)
    optimizer = torch.optim.SGD(shared.parameters(), lr=0.1)
    optimizer.state[shared.weight] = {1: torch.zeros(1), "1": torch.ones(1)}
    run.watch(model=shared, optimizer={"a": optimizer})
    run.step(loss=1.0)
    optimizer.state[shared.weight][1].fill_(2.0)
    run.step(loss=1.0)
    first, second = run.finish().steps[1:]
    assert first.ladder[Rung.OPTIMIZER] != second.ladder[Rung.OPTIMIZER]


def test_a_parameter_that_only_an_optimizer_had_is_let_go(run, model):
    extra = nn.Parameter(torch.ones(2))
    optimizer = torch.optim.SGD([*model.parameters(), extra], lr=0.1)
    run.watch(model=model, optimizer=optimizer)
    run.step(loss=1.0)
    gone = weakref.ref(extra)
    del extra, optimizer.param_groups[0]["params"][-1]
    run.step(loss=1.0)
    assert gone() is None
