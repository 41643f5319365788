"""Which DataLoaders a run iterates over, and what decides their order."""

from __future__ import annotations

from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from torch.utils.data import BatchSampler, DataLoader, SequentialSampler

from goldtrace.determinism.seeding import stream_name

if TYPE_CHECKING:
    from collections.abc import Iterator


@contextmanager
def loaders_noted() -> Iterator[set[str]]:
    """Note each loader that is iterated over in the block, once for each kind."""
    noted: set[str] = set()
    original = DataLoader.__iter__

    def noting(loader: DataLoader[Any]) -> Any:
        noted.add(describe(loader))
        return original(loader)

    DataLoader.__iter__ = noting  # type: ignore[method-assign]
    try:
        yield noted
    finally:
        DataLoader.__iter__ = original  # type: ignore[method-assign]


def describe(loader: DataLoader[Any]) -> str:
    """One line: the workers, and where the order comes from."""
    workers = f"{loader.num_workers} worker{'' if loader.num_workers == 1 else 's'}"
    sampler = getattr(loader.batch_sampler, "sampler", None) or loader.sampler
    plain = loader.batch_sampler is None or type(loader.batch_sampler) is BatchSampler
    if plain and isinstance(sampler, SequentialSampler) and not loader.num_workers:
        return f"{workers}, in the order of the data"
    stream = loader.generator or getattr(sampler, "generator", None)
    if stream is None:
        return f"{workers}, drawing from the global generator"
    name = stream_name(stream)
    own = "a generator of its own" if name is None else f"the stream {name.partition(':')[2]!r}"
    return f"{workers}, drawing from {own}"
