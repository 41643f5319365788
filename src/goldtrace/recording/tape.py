"""The tape recorder: every operator of chosen steps, without changing a bit of them."""

from __future__ import annotations

import threading
from collections.abc import Callable, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import torch
from torch._subclasses.fake_tensor import FakeTensor
from torch.utils._python_dispatch import (
    TorchDispatchMode,
    _get_current_dispatch_mode_stack,
    _pop_mode,
    _push_mode,
)

from goldtrace.determinism.refusal import ORIGIN
from goldtrace.model.tape import REGION, Call, Phase, TapedStep
from goldtrace.recording.compiled import is_compiled_backward, regions_watched
from goldtrace.recording.contents import Contents
from goldtrace.recording.operators import operator_of, split, tensors_in
from goldtrace.recording.origin import Origins

if TYPE_CHECKING:
    from collections.abc import Collection, Iterator
    from pathlib import Path

    from goldtrace.recording.compiled import Region

Observer = Callable[[int, Any, tuple[Any, ...], Mapping[str, Any]], Callable[[Any], None] | None]
"""Given place, operator and arguments before a call; what it returns is given the result."""


class Tape:
    """Records the operators of the steps ``numbers``; between ``begin`` and ``end`` it is on.

    ``root`` is the project's root, from which the lines of the user's code are named.
    ``observe`` is told of every call before it runs.
    """

    def __init__(
        self, numbers: Collection[int], *, root: Path, observe: Observer | None = None
    ) -> None:
        self._numbers = frozenset(numbers)
        self._root = root
        self._observe = observe
        self._recorder: _Recorder | None = None
        self._undo = ExitStack()
        self.steps: list[TapedStep] = []

    def begin(self, number: int, names: Callable[[], dict[int, str]]) -> None:
        """A step begins; ``names`` gives those of modules and parameters by their ``id``."""
        if number not in self._numbers:
            return
        self._recorder = _Recorder(number, names(), self._root, self._observe)
        self._undo.enter_context(self._recorder.on())

    def end(self) -> None:
        """The step has ended, and with it what was recorded of it."""
        recorder, self._recorder = self._recorder, None
        self._undo.close()
        if recorder is not None:
            self.steps.append(recorder.finish())

    def discard(self) -> None:
        """Take the tape off without keeping what is on it: the step did not end."""
        self._recorder = None
        self._undo.close()

    @contextmanager
    def paused(self) -> Iterator[None]:
        """What runs in this block is not the training's."""
        if self._recorder is None:
            yield
        else:
            with self._recorder.off():
                yield

    def optimizer_begins(self, optimizer: torch.optim.Optimizer, names: dict[int, str]) -> None:
        """The operators that follow are the optimizer's, until ``optimizer_ends``."""
        if self._recorder is not None:
            self._recorder.origins.optimizer_begins(optimizer, names)

    def optimizer_ends(self) -> None:
        """The optimizer has done its step."""
        if self._recorder is not None:
            self._recorder.origins.optimizer_ends()


class _Recorder(TorchDispatchMode):  # type: ignore[no-untyped-call]  # torch's, all of these
    """The dispatch mode of one step.

    The engine of autograd runs backward on threads of its own for other devices than the CPU, and
    takes the mode along, while the thread that called ``backward`` waits.
    """

    def __init__(
        self, number: int, names: dict[int, str], root: Path, observe: Observer | None
    ) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self._number = number
        self._observe = observe
        self._contents = Contents()
        self._calls: list[Call] = []
        self._place = -1
        self._lock = threading.RLock()
        self._regions_behind: set[int] = set()
        self._region: int | None = None
        self._wanted = False
        self.origins = Origins(names, root)

    @contextmanager
    def on(self) -> Iterator[None]:
        """Record what runs in this block, and count compiled regions as one call each."""
        self._wanted = True
        _put_under(self)
        with _memory_filled(), regions_watched(self._enter_region, self._leave_region):
            try:
                yield
            finally:
                self._wanted = False
                _take_out(self)

    @contextmanager
    def off(self) -> Iterator[None]:
        """Record nothing of what runs in this block."""
        wanted, self._wanted = self._wanted, False
        there = _take_out(self)
        try:
            yield
        finally:
            self._wanted = wanted
            if there:
                _put_under(self)

    def finish(self) -> TapedStep:
        """What was recorded."""
        return TapedStep(
            number=self._number,
            values=tuple(self._contents.values()),
            calls=tuple(self._calls),
        )

    def __torch_dispatch__(
        self,
        func: Any,
        types: Any,
        args: tuple[Any, ...] = (),
        kwargs: Mapping[str, Any] | None = None,
    ) -> Any:
        """Run the operator, and record it if it computes something."""
        del types
        kwargs = kwargs or {}
        operator = operator_of(func)
        if not operator.recorded:
            return func(*args, **kwargs)
        node = _current_node()
        if node is not None and is_compiled_backward(node):
            return self._in_compiled_backward(node, func, args, kwargs)
        arguments, read, written = split(operator, args, kwargs)
        if any(isinstance(tensor, FakeTensor) or tensor.is_meta for tensor in (*read, *written)):
            return func(*args, **kwargs)
        with self._lock:
            self._place += 1
            place = self._place
            inputs = self._inputs(read)
            phase, module, line = self.origins.of(node, read)
        after = self._observe(place, func, args, kwargs) if self._observe is not None else None
        try:
            result = func(*args, **kwargs)
        except RuntimeError as error:
            if line is not None:
                behind = ", in the backward pass" if phase is Phase.BACKWARD else ""
                setattr(error, ORIGIN, f"{line}{behind}")
            raise
        if after is not None:
            after(result)
        with self._lock:
            outputs = self._outputs(written, result)
            copied = operator.copies and _same(inputs, outputs, self._contents)
            if not copied and (phase is not Phase.DATA or operator.random):
                call = Call(
                    op=operator.name,
                    phase=phase,
                    place=place,
                    arguments=arguments,
                    inputs=inputs,
                    outputs=outputs,
                    random=operator.random,
                    module=module,
                    line=line,
                )
                self._calls.append(call)
        return result

    def _outputs(self, written: list[torch.Tensor], result: Any) -> tuple[int, ...]:
        """The places of the values that a call gave: what it returned and what it wrote to."""
        for tensor in written:
            self._contents.written(tensor)
        returned = [tensor for tensor in tensors_in(result) if not _among(tensor, written)]
        for tensor in returned:
            # Memory is used again, and what lies in it is new.
            self._contents.written(tensor)
        return tuple(map(self._contents.place_of, (*returned, *written)))

    def _in_compiled_backward(
        self, node: Any, func: Any, args: tuple[Any, ...], kwargs: Mapping[str, Any]
    ) -> Any:
        """One call for the whole node, at its first operator; the others are not told apart."""
        with self._lock:
            number = node._sequence_nr()  # noqa: SLF001 - tells two regions apart
            if number not in self._regions_behind:
                self._regions_behind.add(number)
                self._place += 1
                phase, module, line = self.origins.of(node, [])
                self._calls.append(
                    Call(op=REGION, phase=phase, place=self._place, module=module, line=line)
                )
            self._contents.forget()
        return func(*args, **kwargs)

    def _inputs(self, tensors: list[torch.Tensor]) -> tuple[int, ...]:
        """The places of what a call reads; what is new is what a compiled region has left."""
        known = len(self._contents)
        places = tuple(map(self._contents.place_of, tensors))
        new = tuple(place for place in places if place >= known)
        if new and self._region is not None:
            region = self._calls[self._region]
            self._calls[self._region] = replace(region, outputs=region.outputs + new)
        return places

    def _enter_region(self, region: Region) -> None:
        tensors = list(region.tensors)
        with self._lock:
            self._place += 1
            inputs = tuple(map(self._contents.place_of, tensors))
            phase, module, line = self.origins.of(_current_node(), tensors)
            call = Call(
                op=REGION,
                phase=phase,
                place=self._place,
                arguments={"function": region.name},
                inputs=inputs,
                module=module,
                line=line,
            )
            self._region = len(self._calls)
            self._calls.append(call)
        _take_out(self)

    def _leave_region(self) -> None:
        self._contents.forget()
        if self._wanted:
            _take_out(self)
            _put_under(self)


@contextmanager
def _memory_filled() -> Iterator[None]:
    """Fill new memory: no two processes would agree on what lies in it.

    Operators are given it (``rand_like``), or leave a part of a result unwritten: the workspace of
    an LSTM, ``log_alpha`` of a CTC loss.
    """
    deterministic: Any = torch.utils.deterministic
    before = deterministic.fill_uninitialized_memory
    deterministic.fill_uninitialized_memory = True
    try:
        yield
    finally:
        deterministic.fill_uninitialized_memory = before


def _current_node() -> Any:
    """The node of the graph that this thread runs, ``None`` outside of a backward pass."""
    if torch._C._current_graph_task_id() == -1:  # noqa: SLF001 - torch has no public name for it
        return None
    return torch._C._current_autograd_node()  # noqa: SLF001 - as above


def _among(tensor: torch.Tensor, tensors: list[torch.Tensor]) -> bool:
    return any(tensor is other for other in tensors)


def _same(inputs: tuple[int, ...], outputs: tuple[int, ...], contents: Contents) -> bool:
    """Whether a copy is one: its result is what it was given, dtype included."""
    return len(outputs) == 1 and any(contents.same_content(outputs[0], place) for place in inputs)


def _put_under(mode: TorchDispatchMode) -> None:
    """Put a mode under all others, so that the user's own are still popped in their order."""
    above = [_pop_mode() for _ in _get_current_dispatch_mode_stack()]
    mode.__enter__()  # type: ignore[no-untyped-call]
    for other in reversed(above):
        _push_mode(other)


def _take_out(mode: TorchDispatchMode) -> bool:
    """Take a mode out of the stack, wherever it is in it; whether it was there."""
    if not any(other is mode for other in _get_current_dispatch_mode_stack()):
        return False
    above = []
    while _get_current_dispatch_mode_stack()[-1] is not mode:
        above.append(_pop_mode())
    mode.__exit__(None, None, None)  # type: ignore[no-untyped-call]
    for other in reversed(above):
        _push_mode(other)
    return True
