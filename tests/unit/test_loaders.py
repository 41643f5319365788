from __future__ import annotations

import torch
from torch.utils.data import BatchSampler, DataLoader, RandomSampler, TensorDataset

from goldtrace.determinism import generator, seed_everything
from goldtrace.recording.loaders import describe, loaders_noted

DATA = TensorDataset(torch.arange(4.0))


def test_a_loader_is_described_by_its_workers_and_its_order() -> None:
    seed_everything(1)
    shuffle = generator("shuffle")
    own = torch.Generator()
    for expected, loader in {
        "0 workers, in the order of the data": DataLoader(DATA),
        "0 workers, drawing from the global generator": DataLoader(DATA, shuffle=True),
        "0 workers, drawing from the stream 'shuffle'": DataLoader(
            DATA, shuffle=True, generator=shuffle
        ),
        "0 workers, drawing from a generator of its own": DataLoader(
            DATA, sampler=RandomSampler(DATA, generator=own)
        ),
        # Its workers are seeded from the global generator, whatever the order.
        "1 worker, drawing from the global generator": DataLoader(DATA, num_workers=1),
        "2 workers, drawing from a generator of its own": DataLoader(
            DATA, num_workers=2, generator=own
        ),
    }.items():
        assert describe(loader) == expected


def test_a_batch_sampler_is_looked_through() -> None:
    sampler = BatchSampler(RandomSampler(DATA), batch_size=2, drop_last=False)
    loader = DataLoader(DATA, batch_sampler=sampler)
    assert describe(loader) == "0 workers, drawing from the global generator"


def test_only_loaders_that_are_iterated_over_are_noted() -> None:
    before = DataLoader.__iter__
    with loaders_noted() as noted:
        DataLoader(DATA)
        assert noted == set()
        for _ in range(2):
            assert len(list(DataLoader(DATA, shuffle=True))) == 4
    assert noted == {"0 workers, drawing from the global generator"}
    assert DataLoader.__iter__ is before
    list(DataLoader(DATA))
    assert len(noted) == 1


def test_noting_draws_no_number() -> None:
    seed_everything(1)
    plain = [batch[0].tolist() for batch in DataLoader(DATA, shuffle=True)]
    seed_everything(1)
    with loaders_noted():
        assert [batch[0].tolist() for batch in DataLoader(DATA, shuffle=True)] == plain
