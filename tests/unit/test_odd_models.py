"""Models, optimizers, numbers and batches that are not as usual, recorded all the same."""

from __future__ import annotations

import copy
import math
import weakref
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from small_training import HEADER
from torch import nn

from goldtrace.errors import RecordingError
from goldtrace.model.scalar import Scalar
from goldtrace.model.verdict import Rung
from goldtrace.recording.batch import start_batch
from goldtrace.recording.digest import digest_array, digest_tensor
from goldtrace.recording.recorder import GoldenRun
from goldtrace.recording.tape import Tape


def recorder(*, taped: tuple[int, ...] = ()) -> GoldenRun:
    return GoldenRun(
        name="odd",
        seed=0,
        device="cpu",
        config={},
        header=lambda data: replace(HEADER, data=data),
        tape=Tape(taped, root=Path.cwd()),
    )


@pytest.fixture
def run() -> GoldenRun:
    return recorder()


def backward(model: nn.Module) -> None:
    model.zero_grad()
    model(torch.ones(2, 3)).sum().backward()


# --- models ---------------------------------------------------------------------------------------


def test_gradients_of_replaced_layers_have_their_names_without_any_optimizer(run):
    model = nn.Sequential(nn.Linear(3, 3), nn.Linear(3, 3))
    run.watch(model=model)
    for _ in range(3):
        model[1] = nn.Linear(3, 3)
        backward(model)
        run.step(loss=1.0)
    assert {*run.finish().steps[-1].tensors[Rung.GRADIENTS]} == {
        *("0.weight", "0.bias", "1.weight", "1.bias")
    }


def test_a_new_parameter_never_gets_the_name_of_one_that_is_gone(run):
    model = nn.Sequential(nn.Identity(), nn.Identity())
    for _ in range(5):
        # From the second time on, the next layer lies where the last one lay.
        model[0] = nn.Identity()
        model[0] = nn.Linear(3, 3, bias=False)
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
    run.watch(model=model, optimizer=optimizer)
    optimizer.param_groups[0]["params"] = []
    model[0] = nn.Identity()
    model[1] = nn.Linear(3, 3, bias=False)
    optimizer.param_groups[0]["params"] = [model[1].weight]
    backward(model)
    optimizer.step()
    run.step(loss=1.0)
    assert [*run.finish().steps[-1].tensors[Rung.GRADIENTS]] == ["1.weight"]


def test_a_layer_that_is_gone_is_not_kept_in_memory(run):
    model = nn.Sequential(nn.Linear(3, 3))
    run.watch(model=model)
    storage = weakref.ref(model[0].weight.untyped_storage())
    model[0] = nn.Identity()
    for _ in range(2):
        run.step(loss=1.0)
    assert storage() is None


@pytest.mark.filterwarnings("ignore:.*prototype stage")
def test_buffers_without_elements_of_their_own_are_recorded(run):
    model = nn.Linear(3, 3)
    model.register_buffer("nested", torch.nested.nested_tensor([torch.ones(2), torch.ones(3)]))
    packed = getattr(torch, "float4_e2m1fn_x2", None)
    if packed is not None:
        model.register_buffer("packed", torch.zeros(3, dtype=torch.uint8).view(packed))
    run.watch(model=model)
    run.step(loss=1.0)
    assert "nested" in run.finish().steps[-1].tensors[Rung.BUFFERS]


@pytest.mark.filterwarnings("ignore:.*beta state")
def test_gradients_in_compressed_rows_have_a_norm(run):
    model = nn.Module()
    model.weight = nn.Parameter(torch.eye(3))
    run.watch(model=model)
    model.weight = nn.Parameter(torch.eye(3).to_sparse_csr())
    model.weight.grad = torch.diag(torch.tensor([0.0, 3.0, 4.0])).to_sparse_csr()
    run.step(loss=1.0)
    assert run.finish().steps[-1].grad_norm == Scalar.of(5.0)


@pytest.mark.parametrize("steps", [1, 2, 3, 4, 5, 6])
def test_what_happens_to_the_weights_after_the_last_step_shows_in_its_sketch(steps):
    sketches = []
    for factor in (1.0, 2.0):
        run, model = recorder(), nn.Linear(3, 3)
        nn.init.ones_(model.weight)
        run.watch(model=model)
        for _ in range(steps):
            run.step(loss=1.0)
        model.weight.data *= factor
        sketches.append(run.finish().steps[-1].sketches[Rung.WEIGHTS]["weight"])
    assert sketches[0] != sketches[1]


# --- optimizers -----------------------------------------------------------------------------------


class Configured(torch.optim.AdamW):
    """Takes its settings in a form of its own."""

    def __init__(self, params: Any, config: dict[str, float]) -> None:
        super().__init__(params, lr=config["rate"])


class Optional(torch.optim.AdamW):
    """Takes whatever AdamW takes."""

    def __init__(self, params: Any, **options: Any) -> None:
        super().__init__(params, **options)


class Own(torch.optim.Optimizer):
    """Begins the state of a parameter where there is none."""

    def __init__(self, params: Any, config: dict[str, float]) -> None:
        super().__init__(params, {"lr": config["rate"]})

    def step(self, closure: Any = None) -> None:
        del closure
        for parameter in self.param_groups[0]["params"]:
            if parameter not in self.state:
                self.state[parameter] = {"count": 0, 1: torch.zeros(1)}
            self.state[parameter]["count"] += 1


def rates(optimizer: torch.optim.Optimizer, model: nn.Module) -> dict[str, Scalar | str]:
    run = recorder()
    run.watch(model=model, optimizer=optimizer)
    backward(model)
    optimizer.step()
    run.step(loss=1.0)
    return dict(run.finish().steps[-1].hyperparameters)


def test_hyperparameters_are_recorded_whatever_the_constructor_calls_them():
    model = nn.Linear(3, 3)
    plain = rates(torch.optim.AdamW(model.parameters(), lr=0.1), model)
    assert plain["group0.lr"] == Scalar.of(0.1)
    assert rates(Configured(model.parameters(), {"rate": 0.1}), model) == plain
    assert rates(Optional(model.parameters(), lr=0.1), model) == plain
    assert rates(Own(model.parameters(), {"rate": 0.1}), model) == {"group0.lr": Scalar.of(0.1)}


def test_a_learning_rate_of_numpy_is_a_number():
    model = nn.Linear(3, 3)
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
    optimizer.param_groups[0]["lr"] = np.float32(0.25)
    assert rates(optimizer, model)["group0.lr"] == Scalar.of(0.25)


def with_setting(value: Any) -> dict[str, Scalar | str]:
    """The settings of an optimizer whose group has another one, ``decays``."""
    model = nn.Linear(3, 3)
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
    optimizer.param_groups[0]["decays"] = value
    return rates(optimizer, model)


@pytest.mark.parametrize(
    ("setting", "changed"),
    [
        (torch.tensor([0.5, 0.9]), torch.tensor([0.5, 0.8])),
        (np.array([0.5, 0.9]), np.array([0.5, 0.8])),
        ([torch.tensor(0.5), torch.ones(2, 3)], [torch.tensor(0.5), torch.ones(3, 2)]),
        (torch.tensor(0.5 + 1j), torch.tensor(0.5 - 1j)),
        ({"head": 0.5, 2: torch.ones(2)}, {"head": 0.5, 2: torch.zeros(2)}),
    ],
    ids=["tensor", "array", "list of tensors", "complex number", "mapping"],
)
def test_a_setting_of_several_numbers_is_recorded_by_its_values(setting, changed):
    recorded = with_setting(setting)
    assert recorded == with_setting(copy.deepcopy(setting))
    assert recorded != with_setting(changed)
    assert recorded["group0.lr"] == Scalar.of(0.1)


class Nested(torch.optim.SGD):
    """Keeps ``kept`` for its first parameter, or for itself."""

    def __init__(self, parameters: Any, kept: Any, *, own: bool) -> None:
        super().__init__(parameters, lr=0.1)
        self.kept, self.own = kept, own

    def step(self, closure: Any = None) -> Any:
        result = super().step(closure)
        place: Any = "average" if self.own else self.param_groups[0]["params"][0]
        self.state[place] = {"kept": self.kept}
        return result


@pytest.mark.parametrize("own", [False, True], ids=["of a parameter", "of its own"])
@pytest.mark.parametrize(
    ("kept", "changed"),
    [
        ({"left": torch.ones(2), 3: 1}, {"left": torch.zeros(2), 3: 1}),
        ({"left": {"deep": [0.0]}}, {"left": {"deep": [-0.0]}}),
        (np.array([0.5, math.nan]), np.array([0.5, 0.25])),
        (np.float32(0.5), np.float32(0.25)),
        ("warm", "cold"),
    ],
)
def test_the_state_of_an_optimizer_is_recorded_however_it_is_nested(kept, changed, own):
    def digest(value: Any) -> str:
        torch.manual_seed(0)
        model = nn.Linear(3, 3)
        run = recorder()
        optimizer = Nested(model.parameters(), value, own=own)
        run.watch(model=model, optimizer=optimizer)
        backward(model)
        optimizer.step()
        run.step(loss=1.0)
        return run.finish().steps[-1].ladder[Rung.OPTIMIZER]

    assert digest(kept) == digest(copy.deepcopy(kept))
    assert digest(kept) != digest(changed)


def test_the_state_of_two_optimizers_of_the_same_parameters_is_kept_apart():
    def digests(factor: float) -> list[str]:
        torch.manual_seed(0)
        model = nn.Linear(3, 3)
        both = {
            name: torch.optim.SGD(model.parameters(), lr=0.01, momentum=0.9) for name in ("a", "b")
        }
        run = recorder()
        run.watch(model=model, optimizer=both)
        backward(model)
        for optimizer in both.values():
            optimizer.step()
        for state in both["a"].state.values():
            state["momentum_buffer"].mul_(factor)
        run.step(loss=1.0)
        trace = run.finish()
        return [trace.steps[-1].ladder[Rung.OPTIMIZER], trace.end.final[Rung.OPTIMIZER]]

    assert digests(1.0) == digests(1.0)
    assert all(a != b for a, b in zip(digests(1.0), digests(0.5), strict=True))


def test_settings_in_a_list_have_a_name_each():
    found = with_setting([torch.tensor(0.5), (2, np.float32(0.25)), torch.ones(2).expand(3, 2)])
    assert found["group0.decays[0]"] == Scalar.of(0.5)
    assert found["group0.decays[1][0]"] == Scalar.of(2)
    assert found["group0.decays[1][1]"] == Scalar.of(0.25)
    assert found["group0.decays[2]"] == digest_tensor("group0.decays[2]", torch.ones(3, 2))


def test_a_tape_begins_no_state_of_an_optimizer():
    model = nn.Linear(3, 3)
    model.bias.requires_grad_(requires_grad=False)
    optimizer = torch.optim.AdamW(model.parameters())
    run = recorder(taped=(0,))
    run.watch(model=model, optimizer=optimizer)
    backward(model)
    optimizer.step()
    run.step(loss=1.0)
    assert [*optimizer.state] == [model.weight]


def test_an_optimizer_that_asks_whether_it_has_a_state_can_be_taped():
    model = nn.Linear(3, 3)
    optimizer = Own(model.parameters(), {"rate": 0.1})
    run = recorder(taped=(0,))
    run.watch(model=model, optimizer=optimizer)
    backward(model)
    optimizer.step()
    run.step(loss=1.0)
    assert {*run.finish().steps[-1].tensors[Rung.OPTIMIZER]} == {
        *("weight/1", "weight/count", "bias/1", "bias/count")
    }


def test_a_tape_never_takes_a_tensor_for_a_gradient_that_is_gone():
    tapes = []
    for _ in range(3):
        torch.manual_seed(0)
        run, model = (
            recorder(taped=(0,)),
            nn.Sequential(nn.Linear(3, 4), nn.Tanh(), nn.Linear(4, 2)),
        )
        optimizer = torch.optim.LBFGS(model.parameters(), line_search_fn="strong_wolfe")
        run.watch(model=model, optimizer=optimizer)

        def closure(model: nn.Module = model) -> torch.Tensor:
            model.zero_grad()
            loss = model(torch.arange(6.0).view(2, 3)).square().sum()
            loss.backward()
            return loss

        run.step(loss=optimizer.step(closure))
        tapes.append(run.finish().tape)
    assert tapes[0] == tapes[1] == tapes[2]
    assert not any(call.op == "aten::cat" and call.module for call in tapes[0][0].calls)


def test_each_optimizer_has_the_learning_rate_that_it_was_called_with(run):
    models = {"one": nn.Linear(3, 3), "other": nn.Linear(3, 3)}
    optimizers = {name: torch.optim.SGD(m.parameters(), lr=1.0) for name, m in models.items()}
    run.watch(model=models, optimizer=optimizers)
    for _ in range(2):
        for name, model in models.items():
            backward(model)
            optimizers[name].step()
            optimizers[name].param_groups[0]["lr"] /= 2  # as a scheduler does
        run.step(loss=1.0)
    for step, rate in zip(run.finish().steps[1:], (1.0, 0.5), strict=True):
        assert step.hyperparameters["one.group0.lr"] == Scalar.of(rate)
        assert step.hyperparameters["other.group0.lr"] == Scalar.of(rate)


def test_a_run_that_breaks_off_leaves_no_hook_behind(run):
    model = nn.Linear(3, 3)
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
    run.watch(model=model, optimizer=optimizer)
    run.close()
    assert not optimizer._optimizer_step_pre_hooks
    assert not optimizer._optimizer_step_post_hooks


# --- numbers and batches --------------------------------------------------------------------------


def test_a_loss_in_a_format_that_traces_lack_is_refused_at_its_step(run):
    with pytest.raises(RecordingError, match="step 0: loss is not a single real number"):
        run.step(loss=torch.tensor(1.0).to(torch.float8_e4m3fn))


def test_an_array_of_objects_is_refused_by_its_place():
    with pytest.raises(RecordingError, match=r"batch\['names'\] can't be digested") as caught:
        start_batch({"names": np.array(["a", "bc"], dtype=object)}, where="here")()
    assert "numpy.ndarray of object" in str(caught.value)


@pytest.mark.skipif(np.finfo(np.longdouble).nmant != 63, reason="long double without padding")
@pytest.mark.parametrize("dtype", [np.longdouble, np.clongdouble])
def test_what_lies_between_long_doubles_is_not_part_of_their_digest(dtype):
    one, other = np.arange(3).astype(dtype), np.arange(3).astype(dtype)
    one.view(np.uint8).reshape(-1, 16)[:, 10:] = 1
    other.view(np.uint8).reshape(-1, 16)[:, 10:] = 2
    digests = {start_batch(each, where="")().whole for each in (one, other, other + 1)}
    assert len(digests) == 2
    fields = [each.view([("wide", dtype)]) for each in (one, other, other + 1)]
    assert len({digest_array("x", each) for each in fields}) == 2


PART = np.dtype([("kind", "u1"), ("place", "i8")], align=True)


def assign(array: Any, value: int) -> None:
    """Write a number into every field, and nothing between them."""
    for name in array.dtype.names:
        if array[name].dtype.names is None:
            array[name] = value
        else:
            assign(array[name], value)


@pytest.mark.parametrize(
    "dtype",
    [
        np.dtype([("flag", "u1"), ("value", "f8")], align=True),
        np.dtype([("part", PART), ("label", "i2")]),
        np.dtype([("parts", PART, (2, 3))]),
        np.dtype({"names": ["x"], "formats": ["f4"], "itemsize": 12}),
    ],
    ids=["between fields", "within a field", "within a sub-array", "at the end"],
)
def test_the_padding_of_a_structured_array_is_not_part_of_its_digest(dtype):
    one, other, changed = (np.full(4 * dtype.itemsize, n, "u1").view(dtype) for n in (1, 2, 2))
    for array, value in ((one, 5), (other, 5), (changed, 6)):
        assign(array, value)
    assert one.tobytes() != other.tobytes()
    assert digest_array("x", one) == digest_array("x", other)
    assert digest_array("x", changed) != digest_array("x", other)


@pytest.mark.parametrize(
    ("fields", "digest"),
    [
        ([("id", "<i4"), ("mean", "<f8")], "7737975161c4a7778d4263b79c6869df"),
        (
            [("part", [("kind", "u1"), ("pair", "<i2", (2,))]), ("name", "S3")],
            "82d3ccc91a85d9440a89af164e38a295",
        ),
    ],
)
def test_a_structured_array_without_padding_has_the_digest_that_goldens_hold(fields, digest):
    dtype = np.dtype(fields)
    array = np.arange(5 * dtype.itemsize, dtype="u1").view(dtype)
    assert digest_array("x", array) == digest
