"""The digests of what a training loop holds: structure, gradients, state, weights, buffers."""

from __future__ import annotations

import hashlib
import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

import torch

from goldtrace.errors import RecordingError
from goldtrace.model.scalar import Scalar
from goldtrace.model.verdict import Rung
from goldtrace.recording import optimizer as optimizers
from goldtrace.recording.digest import combine, dense_parts, held, raw_bytes, start_digests
from goldtrace.recording.members import Members, own_name
from goldtrace.recording.on_device import to_host
from goldtrace.recording.sketch import has_numbers

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Sequence

    Settings = Mapping[str, Scalar | str]


@dataclass(frozen=True, slots=True)
class Gradients:
    """The gradients as an optimizer was about to use them; a GPU may still be at work on them."""

    tensors: Callable[[], Mapping[str, str]]
    norm: Callable[[], Scalar | None]


def together(calls: Sequence[tuple[Gradients, Settings, str]]) -> tuple[Gradients, Settings]:
    """What several calls of ``optimizer.step`` within one training step used, as one.

    Each comes with the settings of all optimizers as they were then, and its own one's prefix.
    """
    gradients, settings, _ = calls[-1]
    if len(calls) == 1:
        return gradients, settings

    def tensors() -> dict[str, str]:
        return {
            f"call{place}.{name}": digest
            for place, (each, *_) in enumerate(calls)
            for name, digest in each.tensors().items()
        }

    def norm() -> Scalar | None:
        found = [norm.value for each, *_ in calls if (norm := each.norm()) is not None]
        return Scalar.of(math.hypot(*found)) if found else None

    # A scheduler may have moved one optimizer's before another was called.
    settings = dict(settings)
    for _, then, prefix in calls:
        settings |= {name: each for name, each in then.items() if name.startswith(f"{prefix}group")}
    return Gradients(tensors, norm), settings


class Watched:
    """The models, optimizers, schedulers and loss scaler of a run, with names for every tensor.

    A single model or optimizer keeps its own names; of several, given as a mapping, each name
    is prefixed with the key.
    """

    def __init__(
        self,
        models: Mapping[str, torch.nn.Module],
        optimizers: Mapping[str, torch.optim.Optimizer],
        schedulers: Mapping[str, object],
        scaler: object | None,
    ) -> None:
        self.models = models
        self.optimizers = optimizers
        self.schedulers = schedulers
        self.scaler = scaler
        self._members = Members.of(models)
        self._names: dict[int, str] = {}
        self._named: list[torch.Tensor] = []
        self.refresh()

    def refresh(self) -> None:
        """Name the parameters again, if an optimizer was given new ones meanwhile."""
        if not self._names or any(id(p) not in self._names for p in self._optimized()):
            self._name(self.members().parameters)

    def _name(self, parameters: Mapping[str, torch.Tensor]) -> None:
        self._names = {id(p): name for name, p in parameters.items()}
        for prefix, optimizer in self.optimizers.items():
            for place, group in enumerate(optimizer.param_groups):
                for index, parameter in enumerate(group["params"]):
                    fallback = f"{prefix}group{place}.param{index}"
                    self._names.setdefault(id(parameter), fallback)
        # Held, or a parameter that is made later could get the id and the name of one that is gone.
        self._named = [*parameters.values(), *self._optimized()]

    def _forget(self, parameters: Mapping[str, torch.Tensor]) -> None:
        """Let go of what neither the models nor the optimizers have any more."""
        kept = {id(p): p for p in (*parameters.values(), *self._optimized())}
        self._named = [*kept.values()]
        self._names = {each: name for each, name in self._names.items() if each in kept}

    def _optimized(self) -> Iterator[torch.Tensor]:
        for optimizer in self.optimizers.values():
            for group in optimizer.param_groups:
                yield from group["params"]

    @property
    def names(self) -> dict[int, str]:
        """The name of each parameter by its ``id``."""
        return dict(self._names)

    def origins(self) -> dict[int, str]:
        """The names of modules and parameters by their ``id``; a single model has its class's."""
        modules = {
            id(module): prefix + own_name(name) or type(module).__name__
            for prefix, model in self.models.items()
            for name, module in model.named_modules()
        }
        return {**self._names, **modules}

    def members(self) -> Members:
        """The parameters and buffers that the models have now."""
        if not self._members.are_current():
            self._members = Members.of(self.models)
        return self._members

    def structure(self) -> dict[str, str]:
        """A readable line for every parameter, buffer, optimizer and scheduler."""
        groups: dict[int, list[str]] = {}
        lines: dict[str, str] = {}
        for prefix, optimizer in self.optimizers.items():
            lines[f"{prefix}optimizer"] = type(optimizer).__name__
            for place, group in enumerate(optimizer.param_groups):
                for parameter in group["params"]:
                    groups.setdefault(id(parameter), []).append(f"{prefix}group{place}")
        for prefix, scheduler in self.schedulers.items():
            lines[f"{prefix}scheduler"] = type(scheduler).__name__
        if self.scaler is not None:
            lines["scaler"] = type(self.scaler).__name__
        members = self.members()
        for name, parameter in members.parameters.items():
            trainable = "trainable" if parameter.requires_grad else "frozen"
            where = groups.get(id(parameter), ["in no optimizer"])
            lines[_beside(lines, name)] = " ".join([_shape(parameter), trainable, *where])
        for name, buffer in members.buffers.items():
            lines[_beside(lines, name)] = f"{_shape(buffer)} buffer"
        return lines

    @torch.no_grad()
    def buffer_norm(self) -> Callable[[], Scalar | None]:
        """The geometric mean of the norms of the floating-point buffers that are not zero.

        As float32: the last bits of a logarithm are not the same on every processor.
        """
        norms = _fetched_norms(
            buffer.detach().double()
            for buffer in self.members().buffers.values()
            if buffer.is_floating_point() and has_numbers(buffer) and buffer.numel()
        )

        def finish() -> Scalar | None:
            found = [norm for norm in norms().tolist() if norm]
            if not found:
                return None
            mean = math.exp(math.fsum(map(math.log, found)) / len(found))
            return Scalar.of(torch.tensor(mean, dtype=torch.float64).float().item(), "float32")

        return finish

    def gradients(self, parameters: Iterable[torch.Tensor] | None = None) -> Gradients:
        """The digest of each gradient that is there, and the norm of all of them together."""
        self.refresh()
        chosen = parameters
        if chosen is None:
            own = self.members().parameters
            if any(id(p) not in self._names for p in own.values()):
                self._name(own)
            chosen = own.values()
        named = {
            self._names.get(id(p)) or f"unnamed{place}": grad
            for place, p in enumerate(chosen)
            if (grad := p.grad) is not None
        }
        digests = start_digests({Rung.GRADIENTS: named})
        return Gradients(lambda: digests()[Rung.GRADIENTS], _norm(named.values()))

    def state(self) -> dict[Rung, Mapping[str, torch.Tensor | str]]:
        """What a step leaves behind, by rung: optimizer state, weights and buffers."""
        self.refresh()
        members = self.members()
        self._forget(members.parameters)
        return {
            Rung.OPTIMIZER: self._optimizer_state(),
            Rung.WEIGHTS: members.parameters,
            Rung.BUFFERS: members.buffers,
        }

    def _optimizer_state(self) -> dict[str, torch.Tensor | str]:
        found: dict[str, torch.Tensor | str] = {}
        for prefix, optimizer in self.optimizers.items():
            for name, value in optimizers.state_tensors(optimizer, self._names):
                # Two optimizers may share parameters.
                found[f"{prefix}{name}" if name in found else name] = value
        return found

    def hyperparameters(self) -> dict[str, Scalar | str]:
        """The hyper-parameters of every group, and the loss scale."""
        found: dict[str, Scalar | str] = {}
        for prefix, optimizer in self.optimizers.items():
            found.update(optimizers.hyperparameters(prefix, optimizer))
        get_scale = getattr(self.scaler, "get_scale", None)
        if get_scale is not None:
            found["scaler.scale"] = Scalar.of(float(get_scale()))
        return found

    def final_digests(self) -> dict[Rung, str]:
        """SHA-256 of the final weights, buffers and optimizer state, in the order of the names."""
        state = {
            name: value
            for name, value in self._optimizer_state().items()
            if isinstance(value, torch.Tensor)
        }
        return {
            Rung.OPTIMIZER: _sha256(state),
            Rung.WEIGHTS: _sha256(self.members().parameters),
            Rung.BUFFERS: _sha256(self.members().buffers),
        }


def named(kind: str, value: object, of: type | tuple[type, ...] | None) -> dict[str, object]:
    """``value`` as a mapping from prefix to object: one object has the empty prefix.

    Raises:
        RecordingError: something in it isn't an instance of ``of``.
    """
    if value is None:
        return {}
    entries = value.items() if isinstance(value, Mapping) else [("", value)]
    result: dict[str, object] = {}
    for key, entry in entries:
        if of is not None and not isinstance(entry, of):
            raise RecordingError(
                f"golden_run.watch({kind}=…) was given something else",
                expected=f"a {kind}, or a mapping from names to {kind}s",
                found=f"{type(entry).__module__}.{type(entry).__qualname__}",
            )
        result[f"{key}." if key else ""] = entry
    return result


def unwrapped(optimizers: Mapping[str, object]) -> dict[str, object]:
    """The optimizers that do the work: accelerate's, for one, is a shell without hooks."""
    return {
        name: optimizer
        if hasattr(optimizer, "_optimizer_step_pre_hooks")
        else getattr(optimizer, "optimizer", optimizer)
        for name, optimizer in optimizers.items()
    }


def rung_digests(tensors: Mapping[Rung, Mapping[str, str]]) -> dict[Rung, str]:
    """One digest for each rung that has tensors."""
    return {rung: combine(digests) for rung, digests in tensors.items()}


def _beside(lines: Mapping[str, str], name: str) -> str:
    """The name of a tensor, which may be that of another line: a parameter called ``optimizer``."""
    return f"tensor {name}" if name in lines else name


def _shape(tensor: torch.Tensor) -> str:
    nested = tensor.is_nested and tensor.layout is torch.strided  # which has no shape
    sizes = "nested" if nested else ",".join(map(str, tensor.shape))
    return f"{str(tensor.dtype).removeprefix('torch.')}[{sizes}]"


def _sha256(tensors: Mapping[str, torch.Tensor]) -> str:
    state = hashlib.sha256()
    for name in sorted(tensors):
        for part, dense in dense_parts(held(name, tensors[name]).detach()):
            state.update(f"{name}{part} {_shape(dense)}\n".encode())
            state.update(raw_bytes(dense))
    return state.hexdigest()


@torch.no_grad()
def _norm(gradients: Iterable[torch.Tensor]) -> Callable[[], Scalar | None]:
    """The Euclidean norm over all gradients; the sum over tensors is taken in float64."""
    own = (held("a gradient", gradient) for gradient in gradients)
    norms = _fetched_norms(map(_values, own))

    def finish() -> Scalar | None:
        found = norms()
        return Scalar.of(float(found.square().sum().sqrt().item())) if len(found) else None

    return finish


def _values(gradient: torch.Tensor) -> torch.Tensor:
    if gradient.is_sparse:
        return gradient.coalesce().values()
    return gradient if gradient.layout is torch.strided else gradient.values()


def _fetched_norms(tensors: Iterable[torch.Tensor]) -> Callable[[], torch.Tensor]:
    """The norm of each tensor as float64 on the host, by device."""
    alike: dict[torch.device, list[torch.Tensor]] = {}
    for tensor in tensors:
        alike.setdefault(tensor.device, []).append(tensor)
    fetched = [to_host(_norms(values)) for values in alike.values()]
    return lambda: torch.cat([torch.zeros(0), *(norms() for norms in fetched)])


def _norms(tensors: list[torch.Tensor]) -> torch.Tensor:
    """The norm of each tensor as float64."""
    if tensors[0].is_cuda and {t.dtype for t in tensors} in ({torch.float32}, {torch.float64}):
        # Two launches for all of them, instead of one each.
        return torch.stack(torch._foreach_norm(tensors)).double()  # noqa: SLF001 - as in clip_grad_norm_
    half = (torch.float16, torch.bfloat16)
    return torch.stack(
        [
            torch.linalg.vector_norm(t, dtype=torch.float32 if t.dtype in half else None).double()
            for t in tensors
        ]
    )
