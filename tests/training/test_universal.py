from __future__ import annotations

import contextlib
import hashlib
import os
import subprocess
import sys
from typing import TYPE_CHECKING, Any

import pytest
import torch
from torch import nn
from torch.nn.functional import cross_entropy

from goldtrace.universal import UniversalMode, begin, end, in_force
from goldtrace.universal.rounding import round_gradient, round_state

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

NAN, INFINITE = float("nan"), float("inf")


class Net(nn.Module):
    """One of each: convolution with a useless bias, both norms, dropout, attention, embedding."""

    def __init__(self) -> None:
        super().__init__()
        self.conv = nn.Conv2d(3, 5, 3)
        self.norm = nn.BatchNorm2d(5)
        self.linear = nn.Linear(45, 24)
        self.attention = nn.MultiheadAttention(24, 3, batch_first=True)
        self.place = nn.Embedding(7, 24)
        self.last = nn.LayerNorm(24)
        self.head = nn.Linear(24, 7)

    def forward(self, images: torch.Tensor, labels: torch.Tensor) -> torch.Tensor:
        hidden = self.norm(self.conv(images)).relu_()
        hidden = nn.functional.dropout(self.linear(hidden.flatten(1)), 0.2, self.training)
        hidden = (hidden + 0.1 * self.place(labels * 0)).unsqueeze(0)
        hidden = hidden + self.attention(hidden, hidden, hidden)[0]
        logits: torch.Tensor = self.head(nn.functional.gelu(self.last(hidden)))[0]
        return logits


def train(
    optimizer: Callable[..., torch.optim.Optimizer], **options: Any
) -> tuple[Net, Any, list[float]]:
    """Ordinary code for float32, eight steps of it."""
    torch.manual_seed(3)
    model = Net()
    chosen = optimizer(model.parameters(), **options)
    losses = []
    for step in range(8):
        images = torch.rand(13, 3, 5, 5, generator=torch.Generator().manual_seed(step))
        labels = torch.arange(13) % 7
        loss = cross_entropy(model(images, labels), labels)
        loss.backward()
        nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        chosen.step()
        losses.append(loss.item())
        if step < 7:
            chosen.zero_grad()
    return model, chosen, losses


def kept(model: Net, optimizer: torch.optim.Optimizer) -> list[torch.Tensor]:
    state = [x for s in optimizer.state.values() for x in s.values() if isinstance(x, torch.Tensor)]
    gradients = [p.grad for p in model.parameters() if p.grad is not None]
    return [*model.state_dict().values(), *gradients, *state]


def digest(tensors: list[torch.Tensor]) -> str:
    return hashlib.sha256(b"".join(x.detach().numpy().tobytes() for x in tensors)).hexdigest()


OPTIMIZERS: dict[str, tuple[Callable[..., torch.optim.Optimizer], dict[str, Any]]] = {
    "sgd": (torch.optim.SGD, {"lr": 0.1, "momentum": 0.9, "weight_decay": 0.01}),
    "sgd fused": (torch.optim.SGD, {"lr": 0.1, "momentum": 0.9, "nesterov": True, "fused": True}),
    "adamw": (torch.optim.AdamW, {"lr": 0.01, "foreach": False}),
    "adamw foreach": (torch.optim.AdamW, {"lr": 0.01, "foreach": True}),
    "adamw fused": (torch.optim.AdamW, {"lr": 0.01, "fused": True, "amsgrad": True}),
    "rmsprop": (torch.optim.RMSprop, {"lr": 0.01, "centered": True}),
}


@pytest.fixture(autouse=True)
def threads() -> Iterator[Callable[[int], None]]:
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield torch.set_num_threads
    torch.set_num_threads(before)


@pytest.mark.parametrize("name", ["sgd", "adamw foreach"])
def test_every_bit_that_is_kept_is_the_same_with_any_number_of_threads(
    name: str, threads: Callable[[int], None]
) -> None:
    optimizer, options = OPTIMIZERS[name]

    digests = set()
    for count in (1, 2):
        threads(count)
        with UniversalMode():
            model, chosen, _ = train(optimizer, **options)
        digests.add(digest(kept(model, chosen)))

    assert len(digests) == 1
    assert {x.dtype for x in kept(model, chosen) if x.is_floating_point()} == {torch.float32}


def test_other_instruction_sets_give_the_same_bits() -> None:
    code = (
        f"import sys; sys.path.insert(0, {os.path.dirname(__file__)!r})\n"  # noqa: PTH120
        "from test_universal import *\n"
        "torch.set_num_threads(1)\n"
        "with UniversalMode():\n"
        "    runs = [train(f, **o)[:2] for f, o in OPTIMIZERS.values()]\n"
        "print(digest([x for run in runs for x in kept(*run)]))\n"
    )
    answers = [
        subprocess.run(
            [sys.executable, "-W", "ignore", "-c", code],
            env={**os.environ, **pins},
            capture_output=True,
            text=True,
            check=True,
        ).stdout
        for pins in ({}, {"ATEN_CPU_CAPABILITY": "default", "MKL_CBWR": "COMPATIBLE"})
    ]

    assert answers[0] == answers[1]


@pytest.mark.parametrize(
    "changed",
    [{"lr": 0.1001}, {"momentum": 0.9001}, {"weight_decay": 0.01001}, {"nesterov": True}],
    ids=str,
)
def test_a_change_of_behaviour_shows(changed: dict[str, Any]) -> None:
    optimizer, options = OPTIMIZERS["sgd"]
    with UniversalMode():
        model, chosen, _ = train(optimizer, **options)
        other = train(optimizer, **{**options, **changed})

    assert digest(kept(model, chosen)) != digest(kept(*other[:2]))


def test_rounding_noise_in_a_kernel_does_not_show(monkeypatch: pytest.MonkeyPatch) -> None:
    optimizer, options = OPTIMIZERS["sgd"]
    linear = nn.functional.linear
    with UniversalMode():
        model, chosen, _ = train(optimizer, **options)
    monkeypatch.setattr(
        nn.functional, "linear", lambda x, w, b=None: linear(x, w, b) * (1 + 2.0**-50)
    )
    with UniversalMode():
        other = train(optimizer, **options)

    assert digest(kept(model, chosen)) == digest(kept(*other[:2]))


@pytest.mark.parametrize("name", OPTIMIZERS)
def test_it_trains_as_float32_does(name: str) -> None:
    optimizer, options = OPTIMIZERS[name]
    torch.manual_seed(0)
    plain = train(optimizer, **options)[2]
    with UniversalMode():
        universal = train(optimizer, **options)[2]

    # Initial weights and dropout are other draws, so the losses are alike and no more.
    assert abs(universal[0] - plain[0]) < 0.5
    assert universal[-1] < universal[0]


def test_a_gradient_that_is_zero_in_exact_arithmetic_is_zero() -> None:
    optimizer, options = OPTIMIZERS["sgd"]
    with UniversalMode():
        model, _, _ = train(optimizer, **options)

    # The mean that batch norm takes away takes this bias with it.
    assert model.conv.bias is not None
    assert model.conv.bias.grad is not None
    assert model.conv.bias.grad.eq(0).all()


def test_evaluation_and_inference_mode_leave_the_state_alone() -> None:
    optimizer, options = OPTIMIZERS["sgd"]
    with UniversalMode():
        model, _, _ = train(optimizer, **options)
        before = digest(list(model.state_dict().values()))
        model.eval()
        images, labels = torch.rand(4, 3, 5, 5), torch.arange(4)
        with torch.inference_mode():
            one = model(images, labels)
        with torch.no_grad():
            two = model(images, labels)

        assert torch.equal(one, two)
    assert digest(list(model.state_dict().values())) == before


def test_gradients_are_rounded_to_eight_bits_and_noise_to_zero() -> None:
    values = torch.tensor([1 + 2.0**-20, -3.0, 1e-13, 0.0, -0.0, NAN, INFINITE], dtype=torch.double)

    rounded = round_gradient(values)

    assert rounded.dtype is torch.float32
    assert rounded[:5].tolist() == [1.0, -3.0, 0.0, 0.0, 0.0]
    assert rounded[5].isnan()
    assert rounded[6].isposinf()


def test_statistics_are_rounded_to_sixteen_bits() -> None:
    values = torch.tensor([1 + 2.0**-15, 1 + 2.0**-18, NAN, -INFINITE, 0.0], dtype=torch.double)

    rounded = round_state(values)

    assert rounded[:2].tolist() == [1 + 2.0**-15, 1.0]
    assert rounded[2].isnan()
    assert rounded[3:].tolist() == [-INFINITE, 0.0]


def test_draws_have_their_distributions_and_come_back_to_torchs_own() -> None:
    torch.manual_seed(1)
    own = torch.randn(50)
    with UniversalMode():
        torch.manual_seed(1)
        normal = torch.randn(200_001)
        uniform = torch.empty(100_000).uniform_(-2, 3)
        chosen = torch.zeros(100_000).bernoulli_(0.3)
        waiting = torch.empty(100_000).exponential_(2.0)
    torch.manual_seed(1)

    assert torch.equal(torch.randn(50), own)
    assert abs(float(normal.mean())) < 0.01
    assert abs(float(normal.std()) - 1) < 0.01
    assert float(uniform.min()) >= -2
    assert float(uniform.max()) < 3
    assert abs(float(uniform.mean()) - 0.5) < 0.02
    assert abs(float(chosen.mean()) - 0.3) < 0.01
    assert abs(float(waiting.mean()) - 0.5) < 0.01
    assert float(waiting.min()) > 0


def test_the_mode_nests_and_ends() -> None:
    begin()
    begin()
    end()
    assert in_force()
    end()
    assert not in_force()


@pytest.mark.parametrize("kind", [torch.optim.SGD, torch.optim.LBFGS])
def test_a_step_with_a_closure_trains_as_one_without(kind: Any) -> None:
    inputs = torch.arange(12.0).view(4, 3) / 12

    def losses(*, fails_first: bool = False) -> list[float]:
        torch.manual_seed(0)
        model = nn.Linear(3, 2)
        optimizer = kind(model.parameters(), lr=0.1)

        def closure() -> Any:
            optimizer.zero_grad()
            loss = model(inputs).square().mean()
            loss.backward()
            return loss

        if fails_first:
            with pytest.raises(ZeroDivisionError):
                optimizer.step(lambda: 1 // 0)
        return [optimizer.step(closure).item() for _ in range(4)]

    plain = losses()
    with UniversalMode():
        assert losses() == pytest.approx(plain, abs=1e-3)
        assert losses(fails_first=True) == losses()


class Lenient(torch.optim.SGD):
    """Goes on where its closure, or the optimizer within, fails."""

    def step(self, closure: Any = None) -> Any:
        with contextlib.suppress(ZeroDivisionError):
            closure()
        with contextlib.suppress(RuntimeError):
            torch.optim.SparseAdam(self.param_groups[0]["params"]).step()
        return super().step()


def test_a_step_that_fails_is_over() -> None:
    def weights_after(*, failures: bool) -> list[float]:
        torch.manual_seed(0)
        model = nn.Linear(3, 2)
        dense = list(model.parameters())
        optimizer = Lenient(dense, lr=0.1, momentum=0.9)
        for _ in range(4):
            model(torch.arange(12.0).view(4, 3) / 12).square().mean().backward()
            if failures:
                with pytest.raises(RuntimeError, match="does not support dense gradients"):
                    torch.optim.SparseAdam(dense).step()
            optimizer.step(lambda: 1 // 0 if failures else None)
            optimizer.zero_grad()
        return model.weight.flatten().tolist()

    with UniversalMode():
        assert weights_after(failures=True) == weights_after(failures=False)


def test_a_loss_scaler_unscales_and_a_fused_optimizer_with_one_is_refused() -> None:
    weight = nn.Parameter(torch.ones(3))
    with UniversalMode():
        for fused in (False, True):
            scaler = torch.amp.GradScaler("cpu", init_scale=1024.0, growth_interval=10**9)
            optimizer = torch.optim.AdamW([weight], lr=0.1, fused=fused)
            scaler.scale((weight * 2).sum()).backward()
            if fused:
                with pytest.raises(NotImplementedError, match="fused=False"):
                    scaler.step(optimizer)
            else:
                scaler.step(optimizer)
                assert weight.grad is not None
                assert weight.grad.tolist() == [2.0, 2.0, 2.0]
                assert float(weight.detach().max()) < 1
                optimizer.zero_grad()


def test_arguments_may_be_given_by_name() -> None:
    torch.manual_seed(0)
    images, kernel = torch.randn(2, 3, 5, 5), torch.randn(4, 3, 3, 3, requires_grad=True)
    one, other = torch.randn(5), torch.randn(5)

    def results() -> list[torch.Tensor]:
        return [
            nn.functional.conv2d(input=images, weight=kernel, padding=1),
            torch.add(input=one, other=other, alpha=2),
            torch.addcmul(one, tensor1=one, tensor2=other, value=0.5),
            torch.addcdiv(input=one, tensor1=one, tensor2=other),
            torch.lerp(one, end=other, weight=0.25),
            *torch._foreach_pow(0.9, [one.abs(), other.abs()]),
        ]

    plain = results()
    with UniversalMode():
        found = results()
    for one_, expected in zip(found, plain, strict=True):
        torch.testing.assert_close(one_.float(), expected, rtol=1e-5, atol=1e-6)
