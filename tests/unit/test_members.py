"""What the models hold is looked up again whenever another look would find something else."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import nn

from goldtrace.recording.members import Members

Change = Callable[[nn.Module], object]


class Model(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.body = nn.Sequential(nn.Linear(2, 3), nn.BatchNorm1d(3), nn.Linear(3, 3, bias=False))
        self.head = nn.Linear(3, 1)
        self.tied = self.head
        self.register_buffer("mask", torch.ones(2))
        self.register_buffer("absent", None)


class Renaming(Model):
    def named_parameters(self, *args: Any, **kwargs: Any) -> Any:
        for name, parameter in super().named_parameters(*args, **kwargs):
            yield f"another.{name}", parameter


def seen(members: Members) -> tuple[list[tuple[str, int]], list[tuple[str, int]]]:
    return (
        [(name, id(each)) for name, each in members.parameters.items()],
        [(name, id(each)) for name, each in members.buffers.items()],
    )


def moved_to_the_buffers(model: nn.Module) -> None:
    """The last parameter becomes the first buffer: names and tensors keep their order."""
    head: Any = model.head
    bias = head.bias
    del head.bias
    head.register_buffer("bias", bias)


def renamed(model: Any) -> None:
    model.foot = model.head
    del model.head
    del model.tied


CHANGES: dict[str, Change] = {
    "a parameter": lambda m: setattr(m.body[0], "bias", nn.Parameter(torch.zeros(3))),
    "a parameter less": lambda m: setattr(m.body[0], "bias", None),
    "a parameter more": lambda m: m.register_parameter("scale", nn.Parameter(torch.ones(1))),
    "a buffer": lambda m: setattr(m.body[1], "running_mean", torch.ones(3)),
    "a buffer that was None": lambda m: setattr(m, "absent", torch.ones(1)),
    "a module": lambda m: setattr(m, "head", nn.Linear(3, 1)),
    "a module less": lambda m: m.body.pop(2),
    "a module more": lambda m: m.body.append(nn.PReLU()),
    "a module deep within": lambda m: m.body.__setitem__(2, nn.Sequential(m.body[2])),
    "another name": renamed,
    "a parameter that is a buffer now": moved_to_the_buffers,
    "a class": lambda m: setattr(m, "__class__", Renaming),
    "a table": lambda m: setattr(m.head, "_parameters", {"weight": nn.Parameter(torch.ones(1))}),
    "a parametrisation": lambda m: nn.utils.parametrize.register_parametrization(
        m.head, "weight", nn.Identity()
    ),
}


@pytest.mark.parametrize("change", CHANGES)
def test_a_change_is_seen(change: str) -> None:
    model = Model()
    members = Members.of({"": model})
    before = seen(members)
    assert members.are_current()
    CHANGES[change](model)
    assert not members.are_current()
    assert seen(Members.of({"": model})) != before


def test_a_module_that_hides_its_children_has_them_looked_at() -> None:
    class Hiding(nn.Sequential):
        def modules(self) -> Any:
            yield self

    model = Hiding(nn.Linear(1, 1))
    members = Members.of({"": model})
    assert members.are_current()
    model[0].weight = nn.Parameter(torch.zeros(1, 1))
    assert not members.are_current()


def test_training_changes_nothing() -> None:
    model = Model()
    members = Members.of({"": model})
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1, momentum=0.9)
    for _ in range(3):
        optimizer.zero_grad()
        model.head(model.body(torch.randn(4, 2))).sum().backward()
        optimizer.step()
    model.eval().load_state_dict(model.state_dict())
    assert members.are_current()
    assert seen(members) == seen(Members.of({"": model}))


def test_names_are_those_of_torch_with_the_key_of_the_model() -> None:
    models = {"a.": Model(), "b.": nn.Linear(1, 1)}
    members = Members.of(models)
    for kind, found in (
        ("named_parameters", members.parameters),
        ("named_buffers", members.buffers),
    ):
        assert list(found) == [
            prefix + name for prefix, m in models.items() for name, _ in getattr(m, kind)()
        ]


def test_a_compiled_model_has_the_names_of_its_own() -> None:
    model = Model()
    members = Members.of({"": torch.compile(model)})  # type: ignore[dict-item]
    assert seen(members) == seen(Members.of({"": model}))
    assert members.are_current()


def test_modules_that_look_in_their_own_way_are_asked_every_time() -> None:
    class Sharded(nn.Linear):
        def named_parameters(self, *args: Any, **kwargs: Any) -> Any:
            for name, parameter in super().named_parameters(*args, **kwargs):
                yield f"shard.{name}", parameter

    assert not Members.of({"": nn.Sequential(Sharded(1, 1))}).are_current()
    assert list(Members.of({"": Sharded(1, 1)}).parameters) == ["shard.weight", "shard.bias"]


@pytest.mark.filterwarnings("ignore::FutureWarning", "ignore::DeprecationWarning")
def test_a_traced_module_is_asked_every_time() -> None:
    traced = torch.jit.trace(nn.Linear(2, 1), torch.ones(1, 2))
    members = Members.of({"": traced})
    assert list(members.parameters) == ["weight", "bias"]
    assert not members.are_current()
