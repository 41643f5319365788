"""What only a GPU can show; skipped where there is none."""

from __future__ import annotations

import importlib.util
from dataclasses import replace
from typing import TYPE_CHECKING

import pytest
import torch
from interpreted_digests import cases
from torch import nn
from torch.nn.functional import cross_entropy

from goldtrace.model.environment import Environment
from goldtrace.model.spec import RunSpec
from goldtrace.model.trace import Header
from goldtrace.recording.digest import digest_tensor, start_digests
from goldtrace.recording.on_device import can_hash, to_host
from goldtrace.recording.recorder import GoldenRun
from goldtrace.recording.sketch import start_sketches

if TYPE_CHECKING:
    from goldtrace.model.trace import Trace

pytestmark = pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA device")
SPEC = RunSpec(name="a-run", entry="package.module:train")


def record(*, strict: bool) -> Trace:
    """A few steps; under ``strict``, anything that waits for the GPU within a step raises."""
    torch.manual_seed(0)
    header = Header(
        run=SPEC.name,
        device="cuda",
        platform="cuda-sm90",
        origin=SPEC.entry,
        settings=SPEC.settings(),
        spec_digest=SPEC.digest(),
        pins={},
        environment=Environment(),
    )
    run = GoldenRun(
        name=SPEC.name,
        seed=0,
        device="cuda",
        config={},
        header=lambda data: replace(header, data=data),
    )
    model = nn.Sequential(nn.Linear(5, 300), nn.BatchNorm1d(300), nn.Linear(300, 2)).cuda()
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1, momentum=0.9)
    batches = [(torch.randn(4, 5).cuda(), torch.tensor([0, 1, 0, 1]).cuda()) for _ in range(6)]
    run.watch(model=model, optimizer=optimizer)
    for number, (x, y) in enumerate(batches):
        loss = cross_entropy(model(x), y)
        loss.backward()
        torch.cuda.set_sync_debug_mode("error" if strict and number else "default")
        try:
            optimizer.step()
            run.step(loss=loss, batch=(x, y))
        finally:
            torch.cuda.set_sync_debug_mode("default")
        optimizer.zero_grad()
    return run.finish()


def test_digests_are_computed_on_this_gpu():
    assert importlib.util.find_spec("triton") is not None
    assert can_hash(torch.device("cuda", 0))


def test_digests_are_the_cpus_for_every_size_dtype_and_stride():
    found = start_digests({"": cases("cuda")})()[""]
    assert found == {name: digest_tensor(name, tensor) for name, tensor in cases().items()}


def test_a_digest_is_of_what_the_tensor_was_when_it_was_begun():
    tensor = torch.randn(5_000_000, device="cuda")
    expected = digest_tensor("w", tensor.cpu())
    begun, copied = start_digests({"": {"w": tensor}}), to_host(tensor)
    tensor.zero_()
    assert begun()[""]["w"] == expected
    assert digest_tensor("w", copied()) == expected


@pytest.mark.filterwarnings("ignore:Synchronization debug mode is a prototype:UserWarning")
def test_no_step_waits_for_the_gpu():
    assert record(strict=True) == record(strict=False)


def test_two_weights_that_change_places_are_seen():
    tensor = torch.arange(100_000, dtype=torch.float32, device="cuda")
    swapped = tensor.clone()
    swapped[[17, 90_000]] = swapped[[90_000, 17]]
    digests = start_digests({0: {"w": tensor}, 1: {"w": swapped}})()
    assert digests[0] != digests[1]


def test_sketches_agree_with_the_cpus_but_for_rounding():
    tensors = {name: torch.randn(size) for name, size in (("a", 7), ("b", 200_000), ("c", 0))}
    tensors["nan"] = torch.tensor([float("nan"), 1.0])
    host = start_sketches(tensors)()
    device = start_sketches({name: tensor.cuda() for name, tensor in tensors.items()})()
    for name in tensors:
        assert device[name] == pytest.approx(host[name], rel=1e-12, nan_ok=True)


def test_attention_and_convolutions_repeat_their_bits_under_the_pins():
    from goldtrace.determinism.profiles import PinKind, profile_for
    from goldtrace.determinism.switches import SWITCHES

    pins = [p for p in profile_for("cuda", "cuda").pins if p.kind is PinKind.TORCH]
    undo = [SWITCHES[pin.name].put(torch, pin.value) for pin in pins if pin.name != "torch.sqrt"]
    try:
        x = torch.randn(4, 3, 33, 16, device="cuda", dtype=torch.bfloat16, requires_grad=True)
        weight = torch.randn(7, 3, 3, 3, device="cuda", dtype=torch.bfloat16, requires_grad=True)

        def gradients() -> list[torch.Tensor]:
            mixed = nn.functional.scaled_dot_product_attention(x, x, x, is_causal=True)
            out = nn.functional.conv2d(x, weight).sum() + mixed.square().sum()
            return list(torch.autograd.grad(out, [x, weight]))

        first = gradients()
        assert all(
            torch.equal(a, b) for _ in range(5) for a, b in zip(first, gradients(), strict=True)
        )
    finally:
        for restore in reversed(undo):
            restore()


def test_float32_products_are_not_rounded_to_tf32_under_the_pins():
    from goldtrace.determinism.switches import SWITCHES

    names = ("torch.float32_matmul_precision", "torch.backends.cudnn.fp32_precision")
    torch.set_float32_matmul_precision("high")
    undo = [SWITCHES[n].put(torch, v) for n, v in zip(names, ("highest", "ieee"), strict=True)]
    try:
        a, b = torch.randn(512, 512, device="cuda"), torch.randn(512, 512, device="cuda")
        error = (a @ b - (a.double() @ b.double())).abs().max()
        assert error < 1e-3  # TF32 is off by some 1e-2 here
    finally:
        for restore in reversed(undo):
            restore()
        torch.set_float32_matmul_precision("highest")
