"""128-bit digests of tensors: name, dtype, shape and every byte.

The bytes are cut into chunks of ``CHUNK`` bytes, each chunk is hashed with XXH3-128 (xxHash
specification, https://github.com/Cyan4973/xxHash), and the chunk digests are hashed again behind
the tensor's name, dtype and shape. A device that holds the tensor can therefore hash the chunks
in parallel and hand over 16 bytes for every 16 KiB.
"""

from __future__ import annotations

import functools
import math
import operator
from collections.abc import Callable, Hashable
from itertools import islice
from typing import TYPE_CHECKING, Any, TypeVar

import torch
import xxhash
from torch._subclasses.fake_tensor import FakeTensor
from torch.nn.parameter import is_lazy

from goldtrace.errors import RecordingError
from goldtrace.override import array_of

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

CHUNK = 16 * 1024
"""Bytes that are hashed as one piece."""

_X87 = 63
"""Significand bits after the first of an 80-bit ``long double``."""

Group = TypeVar("Group", bound=Hashable)
Later = Callable[[], dict[Group, dict[str, str]]]
"""Digests by group and name that a GPU may still be computing: the call waits for them."""


def digest_tensor(name: str, tensor: torch.Tensor) -> str:
    """The digest of a tensor of any dtype, layout, stride and device, as 32 hexadecimal digits.

    Bits count: 0.0 and -0.0 differ, and so do two NaNs with different payloads. Strides and
    pending conjugation don't: a tensor and its contiguous copy have the same digest. A sparse
    tensor is digested in coalesced form.
    """
    state = xxhash.xxh3_128()
    for part, dense in dense_parts(held(name, tensor).detach()):
        state.update(_preamble(name + part, dense.dtype, dense.shape))
        _update_in_chunks(state, raw_bytes(dense))
    return state.hexdigest()


def start_digests(groups: Mapping[Group, Mapping[str, torch.Tensor | str]]) -> Later[Group]:
    """Begin to digest groups of tensors, and texts, as they are now; the call gives the digests.

    What lies on the host is digested at once. What lies on a GPU is hashed there by a kernel that
    is queued behind the training's own, all groups in one launch: nothing waits for it here.
    """
    from goldtrace.recording import on_device  # which needs this module

    done: dict[Group, dict[str, str]] = {}
    queues: dict[torch.device, _Queue] = {}
    queue = device = None
    for group, named in groups.items():
        digests = done[group] = dict.fromkeys(named, "")
        for name, value in named.items():
            if isinstance(value, str):
                digests[name] = digest_text(name, value)
                continue
            if value.device != device:
                device = value.device
                queue = queues.setdefault(device, _Queue()) if on_device.can_hash(device) else None
            if queue is None:
                digests[name] = digest_tensor(name, value)
            else:
                queue.add(digests, name, value)
    started = [(queue, on_device.start_hashing(queue.tensors)) for queue in queues.values()]

    def finish() -> dict[Group, dict[str, str]]:
        for queue, hashed in started:
            queue.finish(hashed())
        return done

    return finish


class _Queue:
    """Tensors that one GPU hashes, and the digests that their parts are for.

    A step has hundreds, and on a GPU what this process does for each is what recording costs.
    """

    def __init__(self) -> None:
        self.tensors: list[torch.Tensor] = []
        self._begins: list[bytes] = []
        self._parts: list[tuple[dict[str, str], str, int]] = []

    def add(self, digests: dict[str, str], name: str, tensor: torch.Tensor) -> None:
        if (
            type(tensor) in OWN
            and (dtype := tensor.dtype) in _PLAIN
            and tensor.layout is torch.strided
            and not (tensor.is_neg() or tensor.is_nested)
        ):
            # Its own only dense part, which is told in a quarter of the time of asking for it.
            self.tensors.append(tensor)
            self._begins.append(_begin(name, dtype, tensor.shape))
            self._parts.append((digests, name, 1))
            return
        parts = list(dense_parts(held(name, tensor).detach()))
        self.tensors += [dense for _, dense in parts]
        self._begins += [_begin(name + part, dense.dtype, dense.shape) for part, dense in parts]
        self._parts.append((digests, name, len(parts)))

    def finish(self, chunks: list[bytes]) -> None:
        """Enter the digests, given the digests of the chunks of each tensor."""
        contents = map(operator.add, self._begins, chunks)
        for digests, name, parts in self._parts:
            content = next(contents) if parts == 1 else b"".join(islice(contents, parts))
            digests[name] = xxhash.xxh3_128_hexdigest(content)


def digest_array(name: str, array: Any) -> str:
    """The digest of a numpy array, as ``digest_tensor`` gives it for a tensor of the same bytes."""
    import numpy as np

    contiguous = np.ascontiguousarray(array)
    dtype = contiguous.dtype.newbyteorder("=").name
    state = xxhash.xxh3_128(_text(name, dtype, *array.shape))
    if contiguous.dtype.hasobject:
        msg = f"an array of Python objects has no bytes to digest: {name}"
        raise TypeError(msg)
    data = contiguous.reshape(-1).view(np.uint8)
    counting = _counting(contiguous.dtype)
    if not counting.all():
        data = data.reshape(-1, counting.size)[:, counting].ravel()
    _update_in_chunks(state, data.data)
    return state.hexdigest()


def _counting(dtype: Any) -> Any:
    """Which bytes of an element of a numpy dtype hold its value: the others hold anything."""
    import numpy as np

    if dtype.subdtype is not None:
        element, shape = dtype.subdtype
        return np.tile(_counting(element), math.prod(shape))
    if dtype.names is not None:
        counting = np.zeros(dtype.itemsize, dtype=bool)
        for field, offset in (dtype.fields[name][:2] for name in dtype.names):
            counting[offset : offset + field.itemsize] |= _counting(field)
        return counting
    if dtype.kind in "fc" and np.finfo(dtype).nmant == _X87:
        width = np.dtype(np.longdouble).itemsize
        # Ten of twelve or sixteen bytes, of each of the two parts where it is complex.
        return np.tile(np.repeat([True, False], [10, width - 10]), dtype.itemsize // width)
    return np.ones(dtype.itemsize, dtype=bool)


def digest_content(data: memoryview) -> str:
    """The XXH3-64 of the bytes of a tensor in row-major order, 16 hexadecimal digits.

    Without name, dtype and shape: what two operators read is the same if the bytes are.
    """
    return xxhash.xxh3_64_hexdigest(data)


def digest_text(name: str, value: str) -> str:
    """The digest of a text under a name."""
    return xxhash.xxh3_128_hexdigest(_text(name, "text", value))


def digest_bytes(data: bytes) -> str:
    """The digest of plain bytes, such as the state of a random number generator."""
    return xxhash.xxh3_128_hexdigest(data)


def combine(digests: Mapping[str, str]) -> str:
    """One digest for many named ones, the ``_text`` of all; their order doesn't matter.

    The digests are hexadecimal: as many bytes as characters.
    """
    text = "".join(
        [f"{_counted(name)}{len(digests[name])}:{digests[name]}" for name in sorted(digests)]
    )
    return xxhash.xxh3_128_hexdigest(text.encode("utf-8", "surrogatepass"))


def dense_parts(tensor: torch.Tensor) -> Iterator[tuple[str, torch.Tensor]]:
    """The strided tensors that a tensor is made of, each with a suffix for its name."""
    if tensor.is_nested:
        parts = tensor.unbind()
        yield "#nested", torch.tensor([len(parts)], device=tensor.device)
        for place, item in enumerate(parts):
            yield from ((f"#{place}{part}", dense) for part, dense in dense_parts(item))
    elif tensor.is_quantized:
        yield "", tensor.int_repr()
        yield from _quantiser(tensor)
    elif tensor.layout is torch.strided:
        yield "", _plain(tensor)
    elif tensor.layout is torch.sparse_coo:
        coalesced = tensor.coalesce()
        yield f"#coo{list(tensor.shape)}.indices", coalesced.indices()
        yield "#values", _plain(coalesced.values())
    elif tensor.layout in (torch.sparse_csr, torch.sparse_bsr):
        yield f"#csr{list(tensor.shape)}.crow", tensor.crow_indices()
        yield "#col", tensor.col_indices()
        yield "#values", _plain(tensor.values())
    elif tensor.layout in (torch.sparse_csc, torch.sparse_bsc):
        yield f"#csc{list(tensor.shape)}.ccol", tensor.ccol_indices()
        yield "#row", tensor.row_indices()
        yield "#values", _plain(tensor.values())
    else:
        yield f"#{tensor.layout}", _plain(tensor.to_dense())


def held(name: str, tensor: torch.Tensor) -> torch.Tensor:
    """What this process holds of a tensor: of one that is spread over processes, its own shard.

    Raises:
        RecordingError: nothing, since the tensor has no values: meta, fake or not yet initialised.
    """
    if type(tensor) in OWN and not tensor.is_meta:
        return tensor
    if is_lazy(tensor):
        raise _no_values(name, "a lazy parameter", "run one forward pass before golden_run.watch")
    if tensor.is_meta or isinstance(tensor, FakeTensor):
        kind = "a meta tensor" if tensor.is_meta else "a fake tensor"
        raise _no_values(name, kind, "load or draw its values before golden_run.watch")
    to_local = getattr(tensor, "to_local", None)
    return held(name, to_local()) if to_local is not None else tensor


def _no_values(name: str, found: str, hint: str) -> RecordingError:
    return RecordingError(
        f"{name or 'a tensor'} has no values to record",
        expected="a tensor with values",
        found=found,
        hint=hint,
    )


def raw_bytes(tensor: torch.Tensor) -> memoryview:
    """The bytes of a strided tensor in row-major order, on the host."""
    flat = tensor.detach().contiguous().reshape(-1)
    # A single element is contiguous whatever its stride, and yet no view as bytes is allowed.
    data: memoryview = array_of(flat.as_strided(flat.shape, (1,)).view(torch.uint8).cpu()).data
    return data


def _quantiser(tensor: torch.Tensor) -> Iterator[tuple[str, torch.Tensor]]:
    """What turns the integers of a quantised tensor into numbers."""
    if tensor.qscheme() in (torch.per_tensor_affine, torch.per_tensor_symmetric):
        numbers = {"scale": [tensor.q_scale()], "zero": [float(tensor.q_zero_point())]}
        for part, values in numbers.items():
            yield f"#{part}", torch.tensor(values, dtype=torch.float64, device=tensor.device)
    else:
        yield f"#scales{tensor.q_per_channel_axis()}", tensor.q_per_channel_scales()
        yield "#zeros", tensor.q_per_channel_zero_points()


def _plain(tensor: torch.Tensor) -> torch.Tensor:
    """The same values without pending conjugation, negation or complex dtype."""
    tensor = tensor.resolve_conj().resolve_neg()
    return torch.view_as_real(tensor) if tensor.is_complex() else tensor


OWN = (torch.Tensor, torch.nn.Parameter)
"""What is no subclass, which may hold anything else behind the same methods."""

_PLAIN = frozenset(
    {
        *(torch.float64, torch.float32, torch.float16, torch.bfloat16),
        *(torch.int64, torch.int32, torch.int16, torch.int8, torch.uint8, torch.bool),
    }
)


@functools.lru_cache(maxsize=1 << 14)
def _begin(name: str, dtype: torch.dtype, shape: torch.Size) -> bytes:
    """What is hashed before the digests of the chunks: the preamble, and the number of bytes."""
    return b"%b%d;" % (_preamble(name, dtype, shape), math.prod(shape) * dtype.itemsize)


@functools.lru_cache(maxsize=1 << 14)
def _preamble(name: str, dtype: torch.dtype, shape: torch.Size) -> bytes:
    return _text(name, str(dtype).removeprefix("torch."), *shape)


def _text(*parts: object) -> bytes:
    """The parts, each with its length in front, so that no two lists of parts look alike."""
    encoded = [str(part).encode("utf-8", "surrogatepass") for part in parts]
    return b"".join(b"%d:%b" % (len(part), part) for part in encoded)


@functools.lru_cache(maxsize=1 << 14)
def _counted(name: str) -> str:
    """A name as ``_text`` has it: the same few hundred at every step."""
    return _text(name).decode("utf-8", "surrogatepass")


def _update_in_chunks(state: xxhash.xxh3_128, data: memoryview) -> None:
    state.update(b"%d;" % data.nbytes)
    starts = range(0, data.nbytes, CHUNK)
    state.update(b"".join([xxhash.xxh3_128_digest(data[s : s + CHUNK]) for s in starts]))
