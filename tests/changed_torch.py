"""A training that calls an operator, and a package that has torch compute it otherwise.

The package changes the operator as soon as torch is imported, as another release of torch would: so
it also gives other bits when it is called alone.
"""

from __future__ import annotations

_TRAINING = """
import torch

def train(run):
    model = torch.nn.Linear(3, 9)
    optimizer = torch.optim.SGD(model.parameters(), lr=0.5)
    run.watch(model=model, optimizer=optimizer)
    for step in range(3):
        optimizer.zero_grad()
        hidden = model(torch.ones(2, 3))
        loss = ACTIVATED.square().mean()
        THEN
        loss.backward()
        optimizer.step()
        run.step(loss=loss)
"""

_PACKAGE = """
import sys
from importlib.abc import MetaPathFinder
from importlib.machinery import PathFinder


class AfterTorch(MetaPathFinder):
    def find_spec(self, name, path=None, target=None):
        if name != "torch":
            return None
        spec = PathFinder.find_spec(name, path)
        execute = spec.loader.exec_module

        def exec_module(module):
            execute(module)
            library = module.library.Library("aten", "IMPL")
            library.impl("sinh", lambda x: ((x.exp() - (-x).exp()) / 2) * FACTOR, "CPU")
            module.kept = library

        spec.loader.exec_module = exec_module
        return spec


sys.meta_path.insert(0, AfterTorch())
"""


def training(*, activated: str = "torch.sinh(hidden)", then: str = "pass") -> str:
    """Three steps; ``then`` is line 12, between the loss and the backward pass."""
    return _TRAINING.replace("ACTIVATED", activated).replace("THEN", then)


def other_sinh(factor: str) -> str:
    """The source of a package whose import multiplies every ``aten::sinh`` by a factor."""
    return _PACKAGE.replace("FACTOR", factor)
