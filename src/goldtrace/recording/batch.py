"""The digest of a batch: whatever nest of tensors, arrays and plain values a loader yields."""

from __future__ import annotations

import copy
import dataclasses
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
import xxhash

from goldtrace.errors import RecordingError
from goldtrace.recording.digest import (
    combine,
    dense_parts,
    digest_array,
    digest_tensor,
    digest_text,
    held,
    raw_bytes,
)
from goldtrace.recording.numbers import WIDEST
from goldtrace.recording.on_device import to_host

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from typing import TypeGuard


_LEAVES = (torch.Tensor, np.ndarray, np.generic, bool, int, float, str, bytes)


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class BatchDigest:
    """The digest of a batch as it is, and that of its samples regardless of their order.

    ``samples`` is ``None`` when the leaves of the batch have no common first dimension. It is of
    their bytes alone: only ``whole`` tells apart samples of another shape or dtype.
    """

    whole: str
    samples: str | None


def start_batch(batch: Any, *, where: str) -> Callable[[], BatchDigest]:
    """Digest a nest of mappings, sequences, dataclasses, tensors, arrays, numbers and text.

    As it is now: what a GPU holds is fetched without waiting for it, and the call waits.

    Raises:
        RecordingError: the nest holds something else; the message names its place and type.
    """
    leaves = dict(_leaves("batch", batch, where))
    if not any(isinstance(leaf, torch.Tensor) and leaf.is_cuda for leaf in leaves.values()):
        digest = _digest(leaves)
        return lambda: digest
    fetched = {name: _kept(name, leaf) for name, leaf in leaves.items()}
    return lambda: _digest({name: leaf() for name, leaf in fetched.items()})


def _kept(name: str, leaf: Any) -> Callable[[], Any]:
    """A leaf that stays as it is whatever happens to the original."""
    if isinstance(leaf, torch.Tensor):
        leaf = held(name, leaf)
    if _has_rows(leaf):
        return to_host(leaf)
    kept = leaf.clone() if isinstance(leaf, torch.Tensor) else copy.copy(leaf)
    return lambda: kept


def _digest(leaves: Mapping[str, Any]) -> BatchDigest:
    digests = {name: _digest_leaf(name, leaf) for name, leaf in leaves.items()}
    return BatchDigest(whole=combine(digests), samples=_digest_samples(leaves))


def _leaves(name: str, value: Any, where: str) -> Iterator[tuple[str, Any]]:
    if value is None or (isinstance(value, _LEAVES) and not _holds_objects(value)):
        yield name, value
    elif isinstance(value, Mapping):
        for key in value:
            yield from _leaves(f"{name}[{key!r}]", value[key], where)
    elif isinstance(value, (list, tuple)):
        for place, item in enumerate(value):
            yield from _leaves(f"{name}[{place}]", item, where)
    elif dataclasses.is_dataclass(value) and not isinstance(value, type):
        for field in dataclasses.fields(value):
            yield from _leaves(f"{name}.{field.name}", getattr(value, field.name), where)
    else:
        raise RecordingError(
            f"{name} can't be digested",
            where=where,
            expected="tensors, arrays, numbers and text in tuples, lists, mappings or dataclasses",
            found=f"{type(value).__module__}.{type(value).__qualname__}{_of_objects(value)}",
            hint="pass the tensors that the model sees: golden_run.step(batch=(x, y), …)",
        )


def _holds_objects(value: Any) -> bool:
    """Whether an array holds references, in the place of bytes."""
    return isinstance(value, (np.ndarray, np.generic)) and value.dtype.hasobject


def _of_objects(value: Any) -> str:
    return f" of {value.dtype}" if _holds_objects(value) else ""


def _digest_leaf(name: str, leaf: Any) -> str:
    if isinstance(leaf, torch.Tensor):
        return digest_tensor(name, leaf)
    if isinstance(leaf, (np.ndarray, np.generic)):
        return digest_array(name, np.asarray(leaf))
    text = leaf.hex() if isinstance(leaf, (float, bytes)) else repr(leaf)
    return digest_text(name, f"{type(leaf).__name__} {text}")


def _digest_samples(leaves: Mapping[str, Any]) -> str | None:
    rows: list[tuple[bytes, memoryview, int]] = []
    count: int | None = None
    for name, leaf in leaves.items():
        tensor = torch.from_numpy(np.ascontiguousarray(leaf)) if _is_numeric_array(leaf) else leaf
        if not _has_rows(tensor) or count not in (None, len(tensor)):
            # What has no row for each sample may be what changed.
            return None
        count = len(tensor)
        if count == 0:
            return None
        ((_, dense),) = dense_parts(tensor.detach())
        data = raw_bytes(dense)
        rows.append((name.encode("utf-8", "surrogatepass"), data, data.nbytes // count))
    if not rows or count is None:
        return None
    samples = []
    for place in range(count):
        state = xxhash.xxh3_128()
        for label, data, size in rows:
            state.update(label)
            state.update(data[place * size : (place + 1) * size])
        samples.append(state.hexdigest())
    return combine({f"{place}": sample for place, sample in enumerate(sorted(samples))})


def _has_rows(leaf: Any) -> TypeGuard[torch.Tensor]:
    return (
        isinstance(leaf, torch.Tensor)
        and leaf.ndim > 0
        and leaf.layout is torch.strided
        and not leaf.is_quantized
        and not leaf.is_nested
    )


def _is_numeric_array(leaf: Any) -> bool:
    return (
        isinstance(leaf, np.ndarray)
        and leaf.dtype.kind in "biuf"
        and leaf.dtype.isnative
        and leaf.dtype.itemsize <= WIDEST
    )
