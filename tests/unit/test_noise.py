from __future__ import annotations

import math

import pytest
import torch
from torch import nn

from goldtrace.model.noise import Noise
from goldtrace.recording.digest import raw_bytes
from goldtrace.recording.noise import Perturbation

ULP = 2.0**-23


def perturbed(model: nn.Module, *optimizers: torch.optim.Optimizer, ulp: float = 4) -> Perturbation:
    perturbation = Perturbation(Noise(ulp=ulp, seed=1), optimizers)
    for optimizer in optimizers:
        optimizer.register_step_pre_hook(
            lambda optimizer, *_: perturbation.before_update(optimizer)
        )
    perturbation.before_pass()
    return perturbation


def test_the_passes_see_weights_that_are_off_by_as_many_ulps():
    model = nn.Linear(50, 40)
    true = model.weight.detach().clone()
    perturbed(model, torch.optim.SGD(model.parameters(), lr=0.1))
    share = (model.weight.detach() / true - 1).abs() / ULP
    assert 3 < float(share.min()) <= float(share.max()) < 5


def test_the_optimizer_updates_the_true_weights_with_gradients_that_are_off_by_as_many_ulps():
    model = nn.Linear(50, 40)
    true = model.weight.detach().clone()
    perturbed(model, torch.optim.SGD(model.parameters(), lr=1.0))
    model.weight.grad = torch.full_like(true, 0.5)
    true_gradient = model.weight.grad.clone()
    model.bias.grad = None
    used = {}
    optimizer = torch.optim.SGD([model.weight], lr=1.0)
    perturbation = Perturbation(Noise(ulp=4, seed=1), [optimizer])
    perturbation.before_pass()
    perturbation.restore()
    perturbation.before_update(optimizer)
    used["gradient"] = model.weight.grad.clone()
    share = ((used["gradient"] - true_gradient) / true_gradient / ULP).abs()
    assert set(share.flatten().tolist()) == {4.0}


def test_a_step_of_the_optimizer_starts_from_the_true_weights():
    model = nn.Linear(50, 40)
    true = model.weight.detach().clone()
    optimizer = torch.optim.SGD(model.parameters(), lr=1.0)
    perturbed(model, optimizer)
    model.weight.grad = torch.zeros_like(true)
    model.bias.grad = torch.zeros_like(model.bias)
    optimizer.step()
    assert torch.equal(model.weight, true)


def test_weights_that_no_optimizer_asked_for_are_put_back():
    one, other = nn.Linear(9, 9), nn.Linear(9, 9)
    true = [each.weight.detach().clone() for each in (one, other)]
    optimizers = [torch.optim.SGD(each.parameters(), lr=1.0) for each in (one, other)]
    perturbation = perturbed(one, *optimizers)
    optimizers[0].step()
    assert torch.equal(one.weight, true[0])
    assert not torch.equal(other.weight, true[1])
    perturbation.restore()
    assert torch.equal(other.weight, true[1])


def test_noise_is_the_same_for_the_same_seed_and_leaves_the_random_streams_alone():
    states = []
    for _ in range(2):
        torch.manual_seed(0)
        model = nn.Linear(20, 20)
        state = torch.get_rng_state()
        perturbed(model, torch.optim.SGD(model.parameters(), lr=1.0))
        assert torch.equal(torch.get_rng_state(), state)
        states.append(model.weight.detach().clone())
    assert torch.equal(*states)


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16, torch.float64, torch.complex64])
def test_an_ulp_is_one_of_the_tensors_own_format(dtype):
    weight = nn.Parameter(torch.full((100,), 1.0, dtype=dtype))
    Perturbation(Noise(ulp=1, seed=1), [torch.optim.SGD([weight], lr=1.0)]).before_pass()
    eps = torch.finfo(dtype).eps
    assert set((weight.detach().real.double() - 1).tolist()) == {eps, -eps}


def test_a_tensor_larger_than_the_signs_gets_noise_everywhere():
    weight = nn.Parameter(torch.ones(5_000_000))
    Perturbation(Noise(ulp=1, seed=1), [torch.optim.SGD([weight], lr=1.0)]).before_pass()
    assert bool((weight.detach() != 1).all())


def test_integers_and_sparse_gradients_are_left_alone():
    embedding = nn.Embedding(5, 3, sparse=True)
    optimizer = torch.optim.SparseAdam(embedding.parameters())
    perturbed(embedding, optimizer)
    embedding(torch.tensor([1, 2])).sum().backward()
    optimizer.step()


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16, torch.float32])
def test_no_noise_is_larger_than_a_sixteenth(dtype):
    parameter = nn.Parameter(torch.ones(1_000, dtype=dtype))
    optimizer = torch.optim.SGD([parameter], lr=0.0)
    noise = Perturbation(Noise(ulp=64, seed=1), [optimizer])
    noise.before_pass()
    assert 0 < float((parameter.detach().float() - 1).abs().max()) <= 2**-4
    noise.restore()


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64, torch.float16, torch.bfloat16])
@pytest.mark.parametrize("ulp", [1, 64])
def test_untouched_weights_are_put_back_bit_for_bit(dtype, ulp):
    info = torch.finfo(dtype)
    limits = [info.max, info.min, info.tiny, info.tiny / 4]
    special = [0.0, -0.0, math.inf, -math.inf, math.nan, *limits]
    true = torch.cat([torch.randn(10_000), torch.randn(1_000) * info.tiny * 8])
    true = torch.cat([true.double(), torch.tensor(special, dtype=torch.float64)]).to(dtype)
    parameter = nn.Parameter(true.clone())
    perturbation = Perturbation(Noise(ulp=ulp, seed=1), [torch.optim.SGD([parameter], lr=1.0)])
    perturbation.before_pass()
    assert not torch.equal(parameter, true)
    perturbation.restore()
    assert raw_bytes(parameter.detach()) == raw_bytes(true)


def test_two_parameters_that_share_their_memory_are_put_back():
    one = nn.Parameter(torch.randn(1_000))
    other = nn.Parameter(one.data)
    true = one.detach().clone()
    optimizer = torch.optim.SGD([one, other], lr=0.0)
    perturbation = Perturbation(Noise(ulp=64, seed=1), [optimizer])
    for put_back in (perturbation.restore, lambda: perturbation.before_update(optimizer)):
        perturbation.before_pass()
        put_back()
        assert torch.equal(one, true)


def clamp(model: nn.Module) -> None:
    model.weight.data.clamp_(-0.1, 0.1)


def load(model: nn.Module) -> None:
    model.load_state_dict({"weight": torch.ones(30, 20)})


def look_up(model: nn.Module) -> None:
    model.max_norm = 1.0
    model(torch.arange(30))  # which writes rows of that norm


@pytest.mark.parametrize("write", [clamp, load, look_up])
def test_what_is_written_to_the_weights_between_two_updates_stays(write):
    model, other = nn.Embedding(30, 20), nn.Embedding(30, 20)
    other.load_state_dict(model.state_dict())
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
    perturbation = Perturbation(Noise(ulp=4, seed=1), [optimizer])
    perturbation.before_pass()
    write(model)
    write(other)
    perturbation.before_update(optimizer)
    assert torch.allclose(model.weight, other.weight, atol=1e-5)


def test_an_update_that_no_optimizer_announced_stays():
    parameter = nn.Parameter(torch.randn(1_000))
    true = parameter.detach().clone()
    optimizer = torch.optim.SGD([parameter], lr=0.1)
    perturbation = Perturbation(Noise(ulp=4, seed=1), [optimizer])
    perturbation.before_pass()
    parameter.data = parameter.data - 1
    perturbation.restore()
    assert torch.allclose(parameter, true - 1)
