"""The changes that the separation benchmark makes: those of rounding, and those of behaviour."""

from __future__ import annotations

import contextlib
import warnings
from collections.abc import Callable
from contextlib import AbstractContextManager, ExitStack, contextmanager
from typing import TYPE_CHECKING, Any
from unittest import mock

import torch
from torch import nn
from torch.nn import functional
from torch.overrides import TorchFunctionMode
from torch.utils.data import DataLoader

from goldtrace.recording import GoldenRun

if TYPE_CHECKING:
    from collections.abc import Iterator

Change = Callable[[], AbstractContextManager[object]]


# --- rounding only ---------------------------------------------------------------------------


@contextmanager
def threads(count: int) -> Iterator[None]:
    """Reductions in as many parts."""
    before = torch.get_num_threads()
    torch.set_num_threads(count)
    try:
        yield
    finally:
        torch.set_num_threads(before)


def onednn_off() -> AbstractContextManager[object]:
    """ATen's own convolutions and LSTM."""
    return torch.backends.mkldnn.flags(enabled=False)


def channels_last() -> AbstractContextManager[object]:
    """Other memory layout of images."""
    return _watching(lambda model, *_: model.to(memory_format=torch.channels_last))


class ReversedProducts(TorchFunctionMode):
    """Matrix products that add in the opposite order."""

    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        """Flip the summed dimension of both factors."""
        if func is functional.linear:
            bias = args[2] if len(args) > 2 else None
            return functional.linear(args[0].flip(-1), args[1].flip(-1), bias)
        if func is functional.conv2d or func is torch.conv2d:
            inputs, weight, *rest = args
            if inputs.shape[1] == weight.shape[1]:
                return func(inputs.flip(1), weight.flip(1), *rest, **(kwargs or {}))
        return func(*args, **(kwargs or {}))


# --- behaviour ------------------------------------------------------------------------------------


def optimizer_argument(**factors: Callable[[Any], Any]) -> Change:
    """An optimizer whose arguments are passed through functions."""

    @contextmanager
    def change() -> Iterator[None]:
        with ExitStack() as stack:
            for kind in (torch.optim.SGD, torch.optim.AdamW):
                stack.enter_context(mock.patch.object(kind, "__init__", _changed(kind, factors)))
            yield

    return change


def _changed(kind: type, factors: dict[str, Callable[[Any], Any]]) -> Any:
    original = kind.__init__

    def build(self: Any, params: Any, **given: Any) -> None:
        groups = list(params)
        for name, change in factors.items():
            if name in given:
                given[name] = change(given[name])
            elif name == "eps" and kind is torch.optim.AdamW:
                given[name] = change(1e-8)
            for group in groups:
                if isinstance(group, dict) and name in group:
                    group[name] = change(group[name])
        original(self, groups, **given)

    return build


@contextmanager
def schedule_off_by_one() -> Iterator[None]:
    """A scheduler that is a step ahead."""

    def ahead(_model: Any, _optimizer: Any, scheduler: Any) -> None:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            scheduler.step()

    with _watching(ahead):
        yield


@contextmanager
def label_smoothing(amount: float) -> Iterator[None]:
    """A loss with a little label smoothing."""
    import goldtrace.reference.resnet18
    import goldtrace.reference.transformer
    import separating.models

    def smoothed(logits: Any, labels: Any, **given: Any) -> Any:
        return functional.cross_entropy(logits, labels, **{**given, "label_smoothing": amount})

    with ExitStack() as stack:
        for module in (
            goldtrace.reference.resnet18,
            goldtrace.reference.transformer,
            separating.models,
        ):
            stack.enter_context(mock.patch.object(module, "cross_entropy", smoothed))
        yield


def modules(kind: type | tuple[type, ...], name: str, value: float) -> Change:
    """Another value of an attribute of all modules of a kind."""

    def change(model: nn.Module, *_: Any) -> None:
        for module in model.modules():
            if isinstance(module, kind):
                setattr(module, name, value)

    return lambda: _watching(change)


@contextmanager
def swapped_samples() -> Iterator[None]:
    """The first samples of the first two batches change places."""
    original = DataLoader.__iter__
    done = []

    def swapping(self: Any) -> Iterator[Any]:
        batches = iter(original(self))
        if done:
            yield from batches
            return
        done.append(True)
        first, second = next(batches), next(batches)
        for one, other in zip(first, second, strict=True):
            one[0], other[0] = other[0].clone(), one[0].clone()
        yield first
        yield second
        yield from batches

    with mock.patch.object(DataLoader, "__iter__", swapping):
        yield


class Precision(TorchFunctionMode):
    """Matrix products and convolutions whose factors have fewer bits, as on tensor cores."""

    _PRODUCTS = (
        functional.linear,
        functional.conv2d,
        torch.conv2d,
        torch.matmul,
        functional.scaled_dot_product_attention,
        torch.lstm,
        torch._VF.lstm,  # noqa: SLF001 - what nn.LSTM calls
    )

    def __init__(self, bits: int) -> None:
        super().__init__()
        self._bits = bits

    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        """Round the factors of a product."""
        if func in self._PRODUCTS:
            args = tuple(self._rounded(value) for value in args)
        return func(*args, **(kwargs or {}))

    def _rounded(self, value: Any) -> Any:
        if isinstance(value, (list, tuple)) and any(isinstance(v, torch.Tensor) for v in value):
            return type(value)(self._rounded(v) for v in value)
        if not (isinstance(value, torch.Tensor) and value.dtype is torch.float32):
            return value
        with torch._C.DisableTorchFunction():  # noqa: SLF001 - the rounding is no product
            shift = 23 - self._bits
            bits = value.detach().view(torch.int32)
            rounded = ((bits + (1 << (shift - 1))) >> shift) << shift
            return value + (rounded.view(torch.float32) - value).detach()


@contextmanager
def onednn_bf16() -> Iterator[None]:
    """Products in bf16 by oneDNN itself, on a processor that has them."""
    settings = [torch.backends.mkldnn.matmul, torch.backends.mkldnn.conv, torch.backends.mkldnn.rnn]
    before = [setting.fp32_precision for setting in settings]
    for setting in settings:
        setting.fp32_precision = "bf16"
    try:
        yield
    finally:
        for setting, precision in zip(settings, before, strict=True):
            setting.fp32_precision = precision


# --- the lists ------------------------------------------------------------------------------------

IMAGES = frozenset({"resnet18-synthetic", "resnet18-cifar10", "depthwise"})
DROPOUT = frozenset({"transformer", "lstm", "depthwise"})
ADAM = frozenset({"transformer", "lstm"})
EVERY = IMAGES | ADAM
SGD = EVERY - ADAM

ROUNDING: dict[str, tuple[Change, frozenset[str]]] = {
    "2 threads": (lambda: threads(2), EVERY),
    "4 threads": (lambda: threads(4), EVERY),
    "oneDNN off": (onednn_off, EVERY),
    "channels-last": (channels_last, IMAGES),
    "sums reversed": (ReversedProducts, EVERY),
}

BEHAVIOUR: dict[str, tuple[Change, frozenset[str]]] = {
    "learning rate +0.1 %": (optimizer_argument(lr=lambda v: v * 1.001), EVERY),
    "eps x2": (optimizer_argument(eps=lambda v: v * 2), ADAM),
    "weight decay +1 %": (optimizer_argument(weight_decay=lambda v: v * 1.01), EVERY),
    "beta2 +0.0001": (optimizer_argument(betas=lambda v: (v[0], v[1] + 1e-4)), ADAM),
    "momentum 0.9001": (optimizer_argument(momentum=lambda v: v + 1e-4), SGD),
    "schedule off by one": (schedule_off_by_one, EVERY),
    "label smoothing 1e-4": (lambda: label_smoothing(1e-4), EVERY),
    "batch norm momentum 0.101": (modules(nn.BatchNorm2d, "momentum", 0.101), IMAGES),
    "batch norm eps 1.1e-5": (modules(nn.BatchNorm2d, "eps", 1.1e-5), IMAGES),
    "dropout 0.101": (modules(nn.Dropout, "p", 0.101), DROPOUT),
    "one pair swapped": (swapped_samples, EVERY),
    "TF32 products": (lambda: Precision(10), EVERY),
    "bf16 products": (lambda: Precision(7), EVERY),
}


@contextmanager
def _watching(change: Callable[..., object]) -> Iterator[None]:
    """Change model, optimizer and scheduler just before the run watches them."""
    original = GoldenRun.watch

    def watch(self: GoldenRun, **given: Any) -> None:
        change(given["model"], given["optimizer"], given["scheduler"])
        original(self, **given)

    with mock.patch.object(GoldenRun, "watch", watch):
        yield


nothing: Change = contextlib.nullcontext
