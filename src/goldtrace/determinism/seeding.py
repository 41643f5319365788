"""One place that seeds every random number generator, and independent named streams."""

from __future__ import annotations

import hashlib
import os
import random
import sys
from array import array
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from goldtrace.errors import UsageError

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    import torch

_SEED_LIMIT = 2**63
_NUMPY_LIMIT = 2**32
_ACCELERATORS = ("cuda", "xpu")
_RESERVED = frozenset({"python", "numpy", "torch", "generator", *_ACCELERATORS})


@dataclass(frozen=True, slots=True)
class _Library:
    seed: Callable[[int], object]
    state: Callable[[], bytes]


@dataclass(slots=True)
class _Streams:
    """What ``seed_everything`` last did in this process."""

    seed: int | None = None
    rank: int = 0
    generators: dict[str, torch.Generator] = field(default_factory=dict)


_streams = _Streams()
_libraries: dict[str, _Library] = {}


def seed_everything(seed: int, rank: int | None = None) -> Mapping[str, int]:
    """Seed every random number generator of this process with ``seed + rank``.

    Python's ``random``, numpy's legacy generator, torch on the CPU and on every accelerator, and
    the libraries of ``register_generator``. Named streams start anew. ``rank`` is taken from the
    process group, or from ``RANK``, unless given. Returns the seed of each stream by its name.

    Raises:
        UsageError: a seed that is not a whole number from 0 to 2**63 - 1.
    """
    import numpy as np
    import torch

    rank = _rank() if rank is None else rank
    if type(seed) is not int or not 0 <= seed + rank < _SEED_LIMIT:
        raise UsageError(
            "a seed is a whole number", expected="0 to 2**63 - 1", found=f"{seed!r} on rank {rank}"
        )
    own = seed + rank
    random.seed(own)
    np.random.seed(own % _NUMPY_LIMIT)  # noqa: NPY002 - seeding the legacy generator is the task
    torch.manual_seed(own)
    seeds = {"python": own, "numpy": own % _NUMPY_LIMIT, "torch": own}
    for name, library in _libraries.items():
        library.seed(own)
        seeds[name] = own
    _streams.seed, _streams.rank = seed, rank
    _streams.generators.clear()
    return seeds


def generator(name: str) -> torch.Generator:
    """The independent stream of random numbers with this name, on the CPU.

    Its seed is derived from the seed, the rank and the name, so that no stream depends on how
    much another one has drawn. Until the next ``seed_everything`` the same name gives the same
    object.

    Raises:
        UsageError: nothing has been seeded yet.
    """
    import torch

    if _streams.seed is None:
        raise UsageError(
            f"the stream {name!r} has no seed", hint="call goldtrace.seed_everything(seed) first"
        )
    if name not in _streams.generators:
        stream = torch.Generator()
        stream.manual_seed(_derive(_streams.seed, _streams.rank, name))
        _streams.generators[name] = stream
    return _streams.generators[name]


def stream_name(stream: torch.Generator) -> str | None:
    """The name under which ``rng_states`` knows a generator; ``None`` if it doesn't."""
    # An operator is handed another Python object for the same generator.
    for name, known in _streams.generators.items():
        if getattr(known, "_cdata", known) == getattr(stream, "_cdata", stream):
            return f"generator:{name}"
    return None


def seed_worker(worker_id: int) -> None:  # noqa: ARG001 - DataLoader passes it
    """Seed a DataLoader's worker process; pass it as ``worker_init_fn``.

    torch seeds itself in each worker from the loader's own stream. This carries that seed over
    to Python, numpy, the registered libraries and the named streams, which would otherwise draw
    the same numbers in every worker.
    """
    import numpy as np
    import torch

    own = torch.initial_seed()
    random.seed(own)
    np.random.seed(own % _NUMPY_LIMIT)  # noqa: NPY002 - seeding the legacy generator is the task
    for library in _libraries.values():
        library.seed(own)
    _streams.seed = own
    for name, stream in _streams.generators.items():
        stream.manual_seed(_derive(own, _streams.rank, name))


def register_generator(
    name: str, *, seed: Callable[[int], object], state: Callable[[], bytes]
) -> None:
    """Have a library's generator seeded with the others, and its state recorded at every step.

    ``seed`` gets a whole number from 0 to 2**64 - 1. ``state`` is called once a step; it returns
    the same bytes for the same state in every process. A name registered again is replaced. After
    ``seed_everything`` the library is seeded at once.

    Raises:
        UsageError: the name is taken by a generator that goldtrace knows itself.
    """
    if name.partition(":")[0] in _RESERVED:
        raise UsageError(f"the name {name!r} belongs to a generator of goldtrace's own")
    _libraries[name] = _Library(seed, state)
    if _streams.seed is not None:
        seed(_streams.seed + _streams.rank)


def rng_states() -> dict[str, bytes]:
    """The state of every generator by its name; bytes that are equal exactly if the states are.

    ``python``, ``numpy``, ``torch``, an accelerator as ``cuda:0`` (the current one, and others
    once they were drawn from), named streams as ``generator:NAME``, and registered libraries.
    Costs some ten microseconds a stream.
    """
    states = {"python": _python_state()}
    if "numpy" in sys.modules:
        states["numpy"] = _numpy_state()
    torch = sys.modules.get("torch")
    if torch is not None:
        states["torch"] = _bytes(torch.get_rng_state())
        states.update(_accelerator_states(torch))
    for name, stream in _streams.generators.items():
        states[f"generator:{name}"] = _bytes(stream.get_state())
    for name, library in _libraries.items():
        states[name] = bytes(library.state())
    return states


def _rank() -> int:
    torch = sys.modules.get("torch")
    if (
        torch is not None
        and torch.distributed.is_available()
        and torch.distributed.is_initialized()
    ):
        return int(torch.distributed.get_rank())
    declared = os.environ.get("RANK", "")
    return int(declared) if declared.isdecimal() else 0


def _derive(seed: int, rank: int, name: str) -> int:
    text = f"{seed}\0{rank}\0{name}".encode()
    return int.from_bytes(hashlib.sha256(text).digest()[:8], "big") >> 1


def _python_state() -> bytes:
    version, words, gauss = random.getstate()
    return array("I", words).tobytes() + f"{version} {gauss!r}".encode()


def _numpy_state() -> bytes:
    import numpy as np

    state: Any = np.random.get_state(legacy=False)  # noqa: NPY002 - the legacy generator's state
    if state["bit_generator"] != "MT19937":
        # Set by numpy.random.set_bit_generator; each kind has entries of its own.
        return _exact(state).encode()
    inner = state["state"]
    rest = f"{inner['pos']} {state['has_gauss']} {float(state['gauss']).hex()}"
    return bytes(inner["key"].tobytes()) + rest.encode()


def _exact(state: Any) -> str:
    """Numbers, text and arrays in dictionaries, in full: ``repr`` shortens an array."""
    if isinstance(state, dict):
        return repr({key: _exact(value) for key, value in sorted(state.items())})
    return repr(state.tolist() if hasattr(state, "tolist") else state)


def _accelerator_states(torch: Any) -> dict[str, bytes]:
    states = {}
    for kind in _ACCELERATORS:
        module = getattr(torch, kind, None)
        if module is None or not module.is_initialized():
            continue
        current = module.current_device()
        for index in range(module.device_count()):
            state = _bytes(module.get_rng_state(index))
            # Eight bytes of seed, eight of offset: a card that was never drawn from says nothing.
            if index == current or any(state[8:]):
                states[f"{kind}:{index}"] = state
    return states


def _bytes(state: torch.Tensor) -> bytes:
    return bytes(state.numpy().tobytes())
