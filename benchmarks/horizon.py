"""How fast rounding noise grows in a declared run.

    python benchmarks/horizon.py golden/transformer/run.toml --repeats 3

Trains once as declared, and then ``--repeats`` times with every gradient element multiplied by
1 + 2**-23 or 1 - 2**-23, at random, before each optimizer step. Prints, for each step, the loss,
the largest difference of the loss, and the largest median over the tensors of
|W - W_golden| / |W_golden - W_initial|. ``--set KEY=VALUE`` tries another hyper-parameter.
"""

from __future__ import annotations

import argparse
import importlib
import os
import statistics
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

from goldtrace.determinism import deterministic, profile_for, seed_everything

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib

if TYPE_CHECKING:
    from collections.abc import Mapping

    import torch

NOISE = 2.0**-23


class Probe:
    """A run object that keeps losses and weights.

    Given a ``golden`` probe, it perturbs the gradients and keeps how far its weights are from
    the golden's instead of the weights.
    """

    def __init__(self, declared: Mapping[str, Any], golden: Probe | None, noise: int) -> None:
        self.name = "horizon"
        self.seed: int = declared["seed"]
        self.device = "cpu"
        self.config: dict[str, Any] = declared["config"]
        self.losses: list[float] = []
        self.weights: list[list[torch.Tensor]] = []
        self.spread: list[float] = []
        self.metrics: dict[str, float] = {}
        self._golden = golden
        self._noise = noise
        self._parameters: list[torch.Tensor] = []

    # The interface of goldtrace.GoldenRun, as far as the reference runs use it.

    def watch(self, *, model: Any, optimizer: Any, **_: Any) -> None:
        """Note the initial weights, and hook the noise in."""
        self._parameters = list(model.parameters())
        if self._golden is None:
            self._keep()
        else:
            optimizer.register_step_pre_hook(self._perturber(self._noise))

    def step(self, *, loss: torch.Tensor, **_: Any) -> None:
        """Note the loss and the weights after the step."""
        self.losses.append(loss.item())
        if self._golden is None:
            self._keep()
        else:
            start, there = self._golden.weights[0], self._golden.weights[len(self.losses)]
            self.spread.append(spread(start, there, self._parameters))

    def data(self, *_: Any) -> None:
        """Data is not looked at."""

    def metric(self, **values: Any) -> None:
        """Note the figures of the whole run."""
        self.metrics = {name: float(value) for name, value in values.items()}

    def _keep(self) -> None:
        self.weights.append([parameter.detach().clone() for parameter in self._parameters])

    def _perturber(self, seed: int) -> Any:
        import torch

        stream = torch.Generator().manual_seed(seed)

        def perturb(*_: Any) -> None:
            for parameter in self._parameters:
                if parameter.grad is not None:
                    sign = torch.randint(0, 2, parameter.shape, generator=stream) * 2.0 - 1.0
                    parameter.grad.mul_(1.0 + NOISE * sign)

        return perturb


def run(declared: Mapping[str, Any], *, golden: Probe | None = None, noise: int = 0) -> Probe:
    """Train once; given a ``golden``, with noise of this seed on the gradients."""
    module, _, function = declared["entry"].partition(":")
    probe = Probe(declared, golden, noise)
    with deterministic(declared.get("profile", "cpu-portable")):
        seed_everything(probe.seed)
        getattr(importlib.import_module(module), function)(probe)
    return probe


def spread(
    start: list[torch.Tensor], golden: list[torch.Tensor], noisy: list[torch.Tensor]
) -> float:
    """The median over tensors of the difference of weights, as a share of the way they went."""
    shares: list[float] = []
    for from_, there, here in zip(start, golden, noisy, strict=True):
        way = float((there - from_).norm())
        if way:
            shares.append(float((here.detach() - there).norm()) / way)
    return statistics.median(shares)


def overridden(config: Mapping[str, Any], settings: list[str]) -> dict[str, Any]:
    """The config with ``KEY=VALUE`` settings put in."""
    pairs = (setting.partition("=") for setting in settings)
    return {**config, **{key: tomllib.loads(f"v = {value}")["v"] for key, _, value in pairs}}


def main() -> None:
    """Measure the run that the command line names, and print a table."""
    parser = argparse.ArgumentParser(description="How fast rounding noise grows in a run.")
    parser.add_argument("declaration", type=Path, help="a run.toml")
    parser.add_argument("--repeats", type=int, choices=range(1, 10), default=1)
    parser.add_argument("--set", action="append", default=[], metavar="KEY=VALUE")
    arguments = parser.parse_args()
    declared = tomllib.loads(arguments.declaration.read_text())
    declared["config"] = overridden(declared["config"], arguments.set)

    pins = profile_for(declared.get("profile", "cpu-portable"), "cpu").environment()
    if any(os.environ.get(name) != value for name, value in pins.items()):
        # The pins must stand before the interpreter starts.
        os.execve(sys.executable, [sys.executable, *sys.argv], {**os.environ, **pins})  # noqa: S606

    before = time.perf_counter()
    golden = run(declared)
    seconds = time.perf_counter() - before
    noisy = [run(declared, golden=golden, noise=seed) for seed in range(1, arguments.repeats + 1)]
    print(f"{seconds:.1f} s; {golden.metrics}")
    print("| step | loss | loss difference | weights |")
    print("| ---: | ---: | ---: | ---: |")
    for step, loss in enumerate(golden.losses):
        difference = max(abs(other.losses[step] - loss) for other in noisy)
        weights = max(other.spread[step] for other in noisy)
        print(f"| {step} | {loss:.4f} | {difference:.0e} | {weights:.0e} |")


if __name__ == "__main__":
    main()
