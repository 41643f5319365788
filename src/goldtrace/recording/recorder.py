"""The object that a training loop talks to: ``golden_run`` in a test, ``run`` in an entry point."""

from __future__ import annotations

import functools
from collections import deque
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import torch

from goldtrace.determinism import rng_states
from goldtrace.determinism.unportable import unportable_among
from goldtrace.errors import RecordingError
from goldtrace.model.execution import Execution
from goldtrace.model.trace import INITIAL_STEP, End, StepRecord, Trace, is_early, is_sketched
from goldtrace.model.verdict import Rung
from goldtrace.recording.batch import start_batch
from goldtrace.recording.compiling import compile_in_place, require_compiled
from goldtrace.recording.digest import combine, digest_bytes, start_digests
from goldtrace.recording.ladder import Watched, named, rung_digests, together, unwrapped
from goldtrace.recording.noise import Perturbation
from goldtrace.recording.numbers import scalar_of, start_scalar, unchanged
from goldtrace.recording.sketch import Movement
from goldtrace.recording.tape import Tape
from goldtrace.universal.closure import around_closure

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from goldtrace.model.noise import Noise
    from goldtrace.model.scalar import Scalar
    from goldtrace.model.trace import Header
    from goldtrace.recording.ladder import Gradients, Settings
    from goldtrace.universal.closure import Step

# Named arguments of step() that are no metric.
_RESERVED = frozenset({"grad_norm", "buffer_norm"})


_Method = TypeVar("_Method", bound="Callable[..., Any]")


def _undisturbed(method: _Method) -> _Method:
    """Recording looks at tensors as they are, whatever mode the training runs under."""

    @functools.wraps(method)
    def outside(*args: Any, **kwargs: Any) -> Any:
        with torch._C.DisableTorchFunction():  # noqa: SLF001 - the public ones leave modes on
            return method(*args, **kwargs)

    return outside  # type: ignore[return-value]


class GoldenRun:
    """Records a training: ``watch`` once, ``step`` after every step, ``metric`` at the end.

    Attributes:
        name: the run's name, as in ``golden/<name>/``.
        seed: the seed that every generator has been given already.
        device: ``"cpu"`` or ``"cuda"``: where to put the model and the batches.
        config: the ``[config]`` table of ``run.toml``, or ``config=`` of the marker.
    """

    def __init__(
        self,
        *,
        name: str,
        seed: int,
        device: str,
        config: Mapping[str, Any],
        header: Callable[[Mapping[str, Mapping[str, str]]], Header],
        tape: Tape | None = None,
        rounding: Callable[[Scalar], Scalar] = unchanged,
        noise: Noise | None = None,
        progress: Callable[[int], None] | None = None,
        execution: Execution = Execution.EAGER,
    ) -> None:
        self.name = name
        self.seed = seed
        self.device = device
        self.config = config
        self._header = header
        self._tape = tape or Tape((), root=Path.cwd())
        self._rounding = rounding
        self._noise = noise
        self._progress = progress
        self._execution = execution
        self._perturbation: Perturbation | None = None
        self._movement: Movement | None = None
        self._data: dict[str, Mapping[str, str]] = {}
        self._watched: Watched | None = None
        self._hooks: list[Any] = []
        self._pending: list[tuple[Gradients, Settings, str]] = []
        self._steps: list[StepRecord] = []
        self._unfinished: deque[Callable[[], StepRecord]] = deque()
        self._next = 0
        self._latest: Mapping[Rung, Mapping[str, str]] = {}
        self._metrics: dict[str, Scalar] = {}
        self._trace: Trace | None = None

    @_undisturbed
    def watch(
        self,
        *,
        model: torch.nn.Module | Mapping[str, torch.nn.Module],
        optimizer: torch.optim.Optimizer | Mapping[str, torch.optim.Optimizer] | None = None,
        scheduler: object | Mapping[str, object] | None = None,
        scaler: object | None = None,
    ) -> None:
        """Say what is being trained, before the first step.

        Several models, optimizers or schedulers are given as mappings from names. Gradients and
        hyper-parameters are taken when ``optimizer.step()`` is called, after any clipping, so
        ``zero_grad`` may follow at once. ``scaler`` is a ``torch.amp.GradScaler``: its scale
        becomes part of the trace.

        Raises:
            RecordingError: called twice, after the first step, in inference mode, or with something
                else.
        """
        self._require_running("watch")
        self._require_no_inference("watch")
        if self._watched is not None or self._next:
            raise RecordingError(
                "golden_run.watch was called twice or after the first step",
                where=self.name,
                expected="one call before the first step; several models go in as a mapping",
            )
        models: Any = named("model", model, torch.nn.Module)
        optimizers: Any = unwrapped(named("optimizer", optimizer, torch.optim.Optimizer))
        watched = Watched(models, optimizers, named("scheduler", scheduler, None), scaler)
        self._watched = watched
        if self._execution is Execution.COMPILED:
            compile_in_place(watched.models.values())
        self._hooks = [
            hook
            for prefix, each in watched.optimizers.items()
            for hook in (
                each.register_step_pre_hook(
                    functools.partial(self._before_update, watched, prefix)
                ),
                each.register_step_post_hook(lambda *_: self._tape.optimizer_ends()),
            )
        ]
        members = watched.members()
        digests = start_digests({Rung.WEIGHTS: members.parameters, Rung.BUFFERS: members.buffers})
        structure = {Rung.STRUCTURE: watched.structure()}
        self._movement = Movement(watched)
        sketches = self._movement.start()
        self._begin_record(
            lambda: StepRecord(number=INITIAL_STEP, sketches=sketches()),
            lambda: {**structure, **digests()},
            keep_tensors=True,
        )
        self._perturb_next_pass()
        self._tape.begin(0, watched.origins)

    @_undisturbed
    def step(self, *, loss: Any = None, batch: Any = None, **scalars: Any) -> None:
        """Record one training step, after the optimizer and the scheduler have done theirs.

        ``loss`` and the further ``scalars`` are numbers or tensors with one element; ``batch`` is
        the nest of tensors that the model saw, as the loader gave it.

        Raises:
            RecordingError: nothing to record, a value that is no scalar, a step after the end or in
                inference mode.
        """
        self._require_running("step")
        self._require_no_inference("step")
        self._tape.end()
        where = f"{self.name}, step {self._next}"
        self._require_no_metrics(where)
        given = scalars if loss is None else {"loss": loss, **scalars}
        reserved = sorted(_RESERVED & given.keys())
        if reserved or not (given or batch is not None or self._watched):
            raise RecordingError(
                f"{reserved[0]} is recorded by itself" if reserved else "a step with nothing in it",
                where=where,
                expected="golden_run.step(loss=loss, batch=(x, y)), further scalars by name",
            )
        numbers = {name: start_scalar(name, v, where=where) for name, v in given.items()}
        batch_digest = None if batch is None else start_batch(batch, where=where)
        if self._perturbation is not None:
            self._perturbation.restore()
        gradients: Gradients | None = None
        hyperparameters: Mapping[str, Scalar | str] = {}
        digests = sketches = buffer_norm = None
        if self._watched is not None:
            gradients, hyperparameters = self._take_gradients(self._watched)
            digests = start_digests(self._watched.state())
            if is_early(self._next):
                buffer_norm = self._watched.buffer_norm()
            if self._movement is not None and is_sketched(self._next):
                sketches = self._movement.now()

        def record(number: int = self._next) -> StepRecord:
            found = None if batch_digest is None else batch_digest()
            norm = None if gradients is None else gradients.norm()
            return StepRecord(
                number=number,
                scalars={name: self._rounding(scalar()) for name, scalar in numbers.items()},
                hyperparameters=hyperparameters,
                grad_norm=None if norm is None else self._rounding(norm),
                buffer_norm=None if buffer_norm is None else buffer_norm(),
                ladder={} if found is None else {Rung.BATCH: found.whole},
                samples=None if found is None else found.samples,
                sketches={} if sketches is None else sketches(),
            )

        def tensors() -> Mapping[Rung, Mapping[str, str]]:
            if gradients is None or digests is None:
                return {}
            return {Rung.GRADIENTS: gradients.tensors(), **digests()}

        self._begin_record(record, tensors, keep_tensors=self._next == 0)
        self._next += 1
        if self._progress is not None:
            self._progress(self._next)
        self._perturb_next_pass()
        self._tape.begin(self._next, self._watched.origins if self._watched is not None else dict)

    @_undisturbed
    def metric(self, **values: Any) -> None:
        """Record figures of the whole run, such as an accuracy, after the last step.

        Raises:
            RecordingError: a value that is no scalar, or a name that was given before.
        """
        self._require_running("metric")
        if not torch.is_inference_mode_enabled():
            self._tape.discard()
        for name, value in values.items():
            if name in self._metrics:
                raise RecordingError(f"metric {name!r} was recorded before", where=self.name)
            self._metrics[name] = self._rounding(
                scalar_of(name, value, where=f"{self.name}, metrics")
            )

    def data(self, name: str, files: Mapping[str, str]) -> None:
        """Enter a data set into the trace: the SHA-256 of each of its files."""
        self._require_running("data")
        self._data[name] = dict(files)

    @_undisturbed
    def finish(self) -> Trace:
        """End the recording and return the trace; a second call returns the same one.

        Raises:
            RecordingError: no step was recorded.
        """
        if self._trace is not None:
            return self._trace
        self._tape.discard()
        if self._next == 0:
            raise RecordingError(
                "the run recorded no step",
                where=self.name,
                expected="golden_run.step(loss=…, batch=…) once for every training step",
                hint="is the data loader empty?",
            )
        if self._execution is Execution.COMPILED:
            require_compiled(self.name)
        self._unhook()
        if self._perturbation is not None:
            self._perturbation.restore()
        self._end_records()
        last = self._steps[-1]
        if last.number > 0:
            self._steps[-1] = replace(last, tensors=self._latest)
        if self._movement is not None:
            # Whatever happened since the last power of two, or after the last step, shows here.
            self._steps[-1] = replace(self._steps[-1], sketches=self._movement.now()())
        final = self._watched.final_digests() if self._watched is not None else {}
        header = self._header(self._data)
        called = (call.op for step in self._tape.steps for call in step.calls)
        self._trace = Trace(
            header=replace(header, unportable=unportable_among(called, header.platform)),
            steps=tuple(self._steps),
            end=End(metrics=dict(self._metrics), final=final),
            tape=tuple(self._tape.steps),
        )
        return self._trace

    def close(self) -> None:
        """Stop recording, whether or not the run came to its end; harmless when it did."""
        self._tape.discard()
        self._unhook()

    def _unhook(self) -> None:
        for hook in self._hooks:
            hook.remove()

    def _require_running(self, call: str) -> None:
        if self._trace is not None:
            raise RecordingError(f"golden_run.{call} after the end of the run", where=self.name)

    def _require_no_inference(self, method: str) -> None:
        """Leaving inference mode undoes what is done to dispatch within, and torch then fails."""
        if torch.is_inference_mode_enabled():
            raise RecordingError(
                f"golden_run.{method} was called in inference mode",
                where=f"{self.name}, step {self._next}",
                expected=f"golden_run.{method} outside of torch.inference_mode()",
                hint="torch.no_grad() around it is fine",
            )

    def _require_no_metrics(self, where: str) -> None:
        if self._metrics:
            raise RecordingError(
                "a step after the end of the run",
                where=where,
                expected="golden_run.metric(…) after the last step",
                found=f"metric {next(iter(self._metrics))!r} is recorded already",
                hint="pass figures of a single step to golden_run.step(…) by name",
            )

    def _perturb_next_pass(self) -> None:
        if self._noise is None or self._watched is None:
            return
        if self._perturbation is None:
            self._perturbation = Perturbation(self._noise, self._watched.optimizers.values())
        self._perturbation.before_pass()

    def _before_update(
        self,
        watched: Watched,
        prefix: str,
        optimizer: torch.optim.Optimizer,
        args: tuple[Any, ...],
        kwargs: dict[str, Any],
    ) -> Step | None:
        """Keep the gradients of a call of ``optimizer.step``: of the last one of its closure."""
        place = len(self._pending)

        # Lightning does all of a step in the closure; LBFGS evaluates it several times.
        def wrap(closure: Callable[[], Any]) -> Callable[[], Any]:
            @functools.wraps(closure)
            def observed() -> Any:
                self._tape.optimizer_ends()
                loss = closure()
                self._keep_gradients(place, watched, prefix, optimizer)
                return loss

            return observed

        changed = around_closure(args, kwargs, wrap)
        if changed is None:
            self._keep_gradients(place, watched, prefix, optimizer)
        return changed

    @_undisturbed
    def _keep_gradients(
        self, place: int, watched: Watched, prefix: str, optimizer: torch.optim.Optimizer
    ) -> None:
        cuda: Any = torch.cuda
        if cuda.is_initialized() and cuda.is_current_stream_capturing():
            return  # nothing is computed now, nor is this called when the graph is replayed
        if self._perturbation is not None:
            self._perturbation.before_update(optimizer)
        parameters = [p for group in optimizer.param_groups for p in group["params"]]
        with self._tape.paused():
            gradients, settings = watched.gradients(parameters), watched.hyperparameters()
        self._pending[place:] = [(gradients, settings, prefix)]
        self._tape.optimizer_begins(optimizer, watched.names)

    def _take_gradients(self, watched: Watched) -> tuple[Gradients, Settings]:
        """The gradients of this step's optimizer calls; without any call, those that are there."""
        pending, self._pending = self._pending, []
        return together(pending) if pending else (watched.gradients(), watched.hyperparameters())

    def _begin_record(
        self,
        record: Callable[[], StepRecord],
        tensors: Callable[[], Mapping[Rung, Mapping[str, str]]],
        *,
        keep_tensors: bool,
    ) -> None:
        """Queue a record that a GPU may still be at work on, and end the one before it.

        By now the GPU has long finished that one, so that nothing is waited for.
        """
        streams = {name: digest_bytes(state) for name, state in rng_states().items()}
        self._end_records()

        def end() -> StepRecord:
            step, self._latest = record(), tensors()
            ladder = {**step.ladder, Rung.RNG: combine(streams), **rung_digests(self._latest)}
            kept = self._latest if keep_tensors else {}
            return replace(step, ladder=ladder, rng=streams, tensors=kept)

        self._unfinished.append(end)

    def _end_records(self) -> None:
        """Fetch what the GPU computed for the records that are queued."""
        while self._unfinished:
            self._steps.append(self._unfinished.popleft()())
