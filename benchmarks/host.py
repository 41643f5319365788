"""What the host does for a step that is recorded on a GPU, measured where there is none.

Steps of ResNet-18 are recorded whose tensors lie on the CPU but are treated as a GPU's would be,
and what would be queued for the GPU is left out: launches, copies and norms. What remains is work
of one core in Python, which adds to a step wherever the GPU waits for the host.
"""

from __future__ import annotations

import statistics
import sys
import time
from contextlib import contextmanager
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any
from unittest.mock import patch

import torch

from goldtrace.recording import ladder, numbers, on_device
from goldtrace.recording.on_device import launch
from goldtrace.recording.recorder import GoldenRun
from goldtrace.reference import resnet18

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

BATCH = 15
STEPS = 400
WARM_UP = 40


def main() -> int:
    """Print the milliseconds of a recorded step: median and fastest."""
    torch.set_num_threads(1)
    with without_the_gpu():
        spent = record()
    print(
        f"the host's part of a recorded step of ResNet-18: {statistics.median(spent):.2f} ms, "
        f"at best {min(spent):.2f} (median and fastest of {len(spent)}, batch {BATCH})"
    )
    return 0


@contextmanager
def without_the_gpu() -> Iterator[None]:
    """Tensors of the CPU are taken for a GPU's, whose work is left out."""
    answers: dict[tuple[torch.Size, torch.dtype], torch.Tensor] = {}

    def to_host(tensor: torch.Tensor) -> Callable[[], torch.Tensor]:
        answer = answers.setdefault((tensor.shape, tensor.dtype), torch.zeros_like(tensor))
        return lambda: answer

    class Unlaunched:
        def __getitem__(self, grid: tuple[int]) -> Callable[..., None]:
            return lambda *_, **__: None

    kernel: Any = SimpleNamespace(hash_chunks=Unlaunched(), CONSTANTS=(0,))
    norms = torch.zeros(100, dtype=torch.float64)
    with (
        patch.dict(sys.modules, {"goldtrace.recording.on_device.kernel": kernel}),
        patch.object(on_device, "can_hash", lambda _: True),
        patch.object(ladder, "_norms", lambda tensors: norms[: len(tensors)]),
        patch.object(launch, "to_host", to_host),
        patch.object(ladder, "to_host", to_host),
        patch.object(numbers, "to_host", to_host),
    ):
        yield


def record() -> list[float]:
    """The milliseconds of each step: gradients before the optimizer, and the rest after it."""

    def no_header(_: object) -> Any:
        raise NotImplementedError

    run = GoldenRun(name="benchmark", seed=0, device="cpu", config={}, header=no_header)
    model = resnet18.build_model(zero_init_residual=False)
    optimizer = torch.optim.SGD(model.parameters(), lr=0.01, momentum=0.9, weight_decay=5e-4)
    run.watch(model=model, optimizer=optimizer)
    images, labels = torch.rand(BATCH, 3, 26, 26), torch.arange(BATCH) % 10
    loss = torch.tensor(1.0)
    for parameter in model.parameters():
        parameter.grad = torch.zeros_like(parameter)
    optimizer.step()
    spent = []
    for _ in range(WARM_UP + STEPS):
        for parameter in model.parameters():  # a new one at every step, as after zero_grad()
            parameter.grad = parameter.grad.detach()
        began = time.perf_counter()
        for hook in optimizer._optimizer_step_pre_hooks.values():  # noqa: SLF001 - no update
            hook(optimizer, (), {})
        run.step(loss=loss, batch=(images, labels))
        spent.append(1e3 * (time.perf_counter() - began))
    return spent[WARM_UP:]


if __name__ == "__main__":
    raise SystemExit(main())
