"""The digests of what a training loop holds: structure, gradients, state, weights, buffers."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

import torch

from goldtrace.errors import RecordingError
from goldtrace.model.scalar import Scalar
from goldtrace.model.verdict import Rung
from goldtrace.recording import optimizer as optimizers
from goldtrace.recording.digest import combine, dense_parts, digest_tensor, digest_text, raw_bytes

if TYPE_CHECKING:
    from collections.abc import Iterable

# torch.compile wraps a module and prefixes its names; the parameters are the same ones.
_COMPILED = "_orig_mod."


@dataclass(frozen=True, slots=True)
class Gradients:
    """The gradients as an optimizer was about to use them."""

    tensors: Mapping[str, str]
    norm: Scalar | None


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
        self._names: dict[int, str] = {}
        self.refresh()

    def refresh(self) -> None:
        """Name the parameters again: modules may have been added or replaced meanwhile."""
        self._names = {id(p): name for name, p in self.parameters().items()}
        for prefix, optimizer in self.optimizers.items():
            for place, group in enumerate(optimizer.param_groups):
                for index, parameter in enumerate(group["params"]):
                    fallback = f"{prefix}group{place}.param{index}"
                    self._names.setdefault(id(parameter), fallback)

    @property
    def names(self) -> dict[int, str]:
        """The name of each parameter by its ``id``."""
        return dict(self._names)

    def origins(self) -> dict[int, str]:
        """The names of modules and parameters by their ``id``; a single model has its class's."""
        modules = {
            id(module): prefix + name.replace(_COMPILED, "") or type(module).__name__
            for prefix, model in self.models.items()
            for name, module in model.named_modules()
        }
        return {**self._names, **modules}

    def parameters(self) -> dict[str, torch.nn.Parameter]:
        """Every parameter of the models by its name, tied ones once."""
        return {
            prefix + name.replace(_COMPILED, ""): parameter
            for prefix, model in self.models.items()
            for name, parameter in model.named_parameters()
        }

    def buffers(self) -> dict[str, torch.Tensor]:
        """Every buffer of the models by its name."""
        return {
            prefix + name.replace(_COMPILED, ""): buffer
            for prefix, model in self.models.items()
            for name, buffer in model.named_buffers()
        }

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
        for name, parameter in self.parameters().items():
            trainable = "trainable" if parameter.requires_grad else "frozen"
            where = groups.get(id(parameter), ["in no optimizer"])
            lines[name] = " ".join([_shape(parameter), trainable, *where])
        for name, buffer in self.buffers().items():
            lines[name] = f"{_shape(buffer)} buffer"
        return lines

    def weights(self) -> dict[str, str]:
        """The digest of each parameter."""
        return {name: digest_tensor(name, p) for name, p in self.parameters().items()}

    def buffer_digests(self) -> dict[str, str]:
        """The digest of each buffer."""
        return {name: digest_tensor(name, buffer) for name, buffer in self.buffers().items()}

    def gradients(self, parameters: Iterable[torch.Tensor] | None = None) -> Gradients:
        """The digest of each gradient that is there, and the norm of all of them together."""
        chosen = self.parameters().values() if parameters is None else parameters
        named = {
            self._names.get(id(p), f"unnamed{place}"): p.grad
            for place, p in enumerate(chosen)
            if p.grad is not None
        }
        digests = {name: digest_tensor(name, gradient) for name, gradient in named.items()}
        return Gradients(digests, _norm(named.values()))

    def optimizer_state(self) -> dict[str, str]:
        """The digest of each tensor of optimizer state."""
        digests: dict[str, str] = {}
        for optimizer in self.optimizers.values():
            for name, value in optimizers.state_tensors(optimizer, self._names):
                digest = digest_text(name, value) if isinstance(value, str) else None
                digests[name] = digest or digest_tensor(name, value)  # type: ignore[arg-type]
        return digests

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
            for optimizer in self.optimizers.values()
            for name, value in optimizers.state_tensors(optimizer, self._names)
            if isinstance(value, torch.Tensor)
        }
        return {
            Rung.OPTIMIZER: _sha256(state),
            Rung.WEIGHTS: _sha256(self.parameters()),
            Rung.BUFFERS: _sha256(self.buffers()),
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


def _shape(tensor: torch.Tensor) -> str:
    sizes = ",".join(map(str, tensor.shape))
    return f"{str(tensor.dtype).removeprefix('torch.')}[{sizes}]"


def _sha256(tensors: Mapping[str, torch.Tensor]) -> str:
    state = hashlib.sha256()
    for name in sorted(tensors):
        for part, dense in dense_parts(tensors[name].detach()):
            state.update(f"{name}{part} {_shape(dense)}\n".encode())
            state.update(raw_bytes(dense))
    return state.hexdigest()


@torch.no_grad()
def _norm(gradients: Iterable[torch.Tensor]) -> Scalar | None:
    """The Euclidean norm over all gradients; the sum over tensors is taken in float64."""
    squares = []
    for gradient in gradients:
        values = gradient.coalesce().values() if gradient.is_sparse else gradient
        wide = torch.float32 if values.dtype in (torch.float16, torch.bfloat16) else None
        squares.append(torch.linalg.vector_norm(values, dtype=wide).double().cpu().square())
    if not squares:
        return None
    return Scalar.of(float(torch.stack(squares).sum().sqrt().item()))
