"""Imports that leave every random stream where it was.

Some modules draw random numbers while they are imported (``rich.style`` names its styles so). A
module is imported once in a process: whether a run would find its streams moved would depend on
what else the process had run before, and so would every number that the run draws afterwards.

Only imports of the thread that trains are seen to. To put the streams back from another thread
would undo what the training draws meanwhile: the thread that feeds the queue of a DataLoader's
worker imports modules while the worker draws the next sample.
"""

from __future__ import annotations

import importlib
import random
import sys
import threading
from contextlib import ExitStack, contextmanager
from importlib.abc import Loader, MetaPathFinder
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from importlib.machinery import ModuleSpec
    from types import ModuleType

_LIBRARIES = ("numpy.random", "torch")


@contextmanager
def imports_draw_nothing() -> Iterator[None]:
    """While the body runs, put the global streams back after each module that is imported.

    Python's ``random``, numpy's legacy generator and torch's CPU generator; a module that seeds
    them at its top level has no say either.
    """
    # Both now, or they could be found half imported: numpy puts its generators off.
    for name in _LIBRARIES:
        importlib.import_module(name)
    finder = _Finder()
    sys.meta_path.insert(0, finder)
    try:
        yield
    finally:
        sys.meta_path.remove(finder)


class _Finder(MetaPathFinder):
    """Has the other finders look, and wraps the loader that they found."""

    def __init__(self) -> None:
        self._thread = threading.local()
        self._training = threading.get_ident()

    def find_spec(
        self, fullname: str, path: Sequence[str] | None, target: ModuleType | None = None
    ) -> ModuleSpec | None:
        """The spec of a module as the first of the other finders has it."""
        if getattr(self._thread, "busy", False):
            return None  # another finder that asks all finders: it has been heard already
        # In the fork that a DataLoader worker is, whichever thread forked is the main one.
        if threading.get_ident() not in (self._training, threading.main_thread().ident):
            return None
        self._thread.busy = True
        try:
            for finder in [other for other in sys.meta_path if other is not self]:
                spec = finder.find_spec(fullname, path, target)
                if spec is not None:
                    break
            else:
                return None
        finally:
            self._thread.busy = False
        # Built-in and frozen modules have a class for a loader, and nothing to draw with.
        if isinstance(spec.loader, Loader) and not isinstance(spec.loader, _Restoring):
            spec.loader = _Restoring(spec.loader)
        return spec


class _Restoring(Loader):
    """Runs a module with its own loader, and puts the streams back."""

    def __init__(self, loader: Loader) -> None:
        self._loader = loader

    def __getattr__(self, name: str) -> Any:
        return getattr(self._loader, name)

    def create_module(self, spec: ModuleSpec) -> ModuleType | None:
        """The module, as its own loader makes it."""
        return self._loader.create_module(spec)

    def exec_module(self, module: ModuleType) -> None:
        """Execute the module, which sees nothing of this wrapper."""
        spec = module.__spec__
        if spec is not None:
            spec.loader = self._loader
        module.__loader__ = self._loader
        with ExitStack() as undo:
            _keep_streams(undo)
            self._loader.exec_module(module)


def _keep_streams(undo: ExitStack) -> None:
    numpy_random, torch = (sys.modules[name] for name in _LIBRARIES)
    undo.callback(random.setstate, random.getstate())
    undo.callback(numpy_random.set_state, numpy_random.get_state(legacy=False))
    # Called first: another kind of generator doesn't take the state.
    undo.callback(numpy_random.set_bit_generator, numpy_random.get_bit_generator())
    undo.callback(torch.set_rng_state, torch.get_rng_state())
