# ruff: noqa: NPY002, S311 - the legacy generators are what is tested
from __future__ import annotations

import random
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
import torch

from goldtrace.determinism import (
    generator,
    register_generator,
    rng_states,
    seed_everything,
    seed_worker,
    seeding,
)
from goldtrace.errors import UsageError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator


@pytest.fixture(autouse=True)
def unseeded(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """No test sees the streams or the libraries of another, and the global generators come back."""
    monkeypatch.setattr(seeding, "_streams", seeding._Streams())
    monkeypatch.setattr(seeding, "_libraries", {})
    monkeypatch.delenv("RANK", raising=False)
    python, legacy, cpu = random.getstate(), np.random.get_state(), torch.get_rng_state()
    yield
    random.setstate(python)
    np.random.set_state(legacy)
    torch.set_rng_state(cpu)


def draws() -> tuple[float, float, float]:
    return random.random(), float(np.random.rand()), float(torch.rand(()))


def test_one_seed_fixes_python_numpy_and_torch() -> None:
    seed_everything(1)
    first = draws()
    seed_everything(1)

    assert draws() == first
    seed_everything(2)
    assert all(a != b for a, b in zip(draws(), first, strict=True))


def test_the_seed_of_each_stream_is_returned_for_the_header() -> None:
    assert seed_everything(2**40 + 5) == {
        "python": 2**40 + 5,
        "numpy": (2**40 + 5) % 2**32,
        "torch": 2**40 + 5,
    }


def test_each_rank_has_a_seed_of_its_own(monkeypatch: pytest.MonkeyPatch) -> None:
    assert seed_everything(10, rank=3)["torch"] == 13
    monkeypatch.setenv("RANK", "2")
    assert seed_everything(10)["torch"] == 12
    assert seed_everything(10, rank=0)["torch"] == 10


@pytest.mark.parametrize("seed", [-1, 2**63, 1.0, True, "1", None])
def test_a_seed_that_is_no_whole_number_in_range_is_an_error(seed: Any) -> None:
    with pytest.raises(UsageError, match="a seed is a whole number"):
        seed_everything(seed)


def test_named_streams_are_independent_of_each_other_and_of_the_global_one() -> None:
    seed_everything(0)
    augmentation = torch.rand(4, generator=generator("augmentation"))
    seed_everything(0)
    torch.rand(100)
    torch.rand(100, generator=generator("shuffle"))

    assert torch.equal(torch.rand(4, generator=generator("augmentation")), augmentation)
    seed_everything(0)
    assert not torch.equal(torch.rand(4, generator=generator("shuffle")), augmentation)


def test_a_name_gives_one_object_until_everything_is_seeded_again() -> None:
    seed_everything(0)
    first = generator("data")

    assert generator("data") is first
    seed_everything(0)
    assert generator("data") is not first
    assert generator("data").initial_seed() == first.initial_seed()


def test_named_streams_differ_by_seed_and_by_rank() -> None:
    seeds = set()
    for seed, rank in ((0, 0), (1, 0), (0, 1)):
        seed_everything(seed, rank)
        seeds.add(generator("data").initial_seed())

    assert len(seeds) == 3


def test_a_named_stream_before_any_seed_is_an_error() -> None:
    with pytest.raises(UsageError, match="'data' has no seed"):
        generator("data")


class Dice:
    def __init__(self) -> None:
        self.value = -1

    def seed(self, seed: int) -> None:
        self.value = seed

    def state(self) -> bytes:
        return str(self.value).encode()


def test_a_registered_library_is_seeded_and_recorded_with_the_others() -> None:
    dice = Dice()
    register_generator("dice", seed=dice.seed, state=dice.state)

    assert seed_everything(7, rank=1)["dice"] == 8
    assert rng_states()["dice"] == b"8"


def test_a_library_registered_after_seeding_is_seeded_at_once() -> None:
    dice = Dice()
    seed_everything(7)
    register_generator("dice", seed=dice.seed, state=dice.state)

    assert dice.value == 7


@pytest.mark.parametrize("name", ["torch", "cuda:0", "generator:x", "python"])
def test_the_name_of_a_known_generator_is_taken(name: str) -> None:
    with pytest.raises(UsageError, match="goldtrace's own"):
        register_generator(name, seed=print, state=bytes)


@pytest.mark.parametrize(
    ("stream", "draw"),
    [
        ("python", random.random),
        ("python", lambda: random.gauss(0, 1)),
        ("numpy", np.random.rand),
        ("numpy", np.random.randn),
        ("torch", lambda: torch.rand(())),
        ("torch", lambda: torch.randn(())),
        ("generator:data", lambda: torch.rand((), generator=generator("data"))),
    ],
)
def test_a_draw_changes_the_state_of_its_stream_and_of_no_other(
    stream: str, draw: Callable[[], object]
) -> None:
    seed_everything(3)
    generator("data")
    before = rng_states()
    draw()
    after = rng_states()

    assert {name for name in before if before[name] != after[name]} == {stream}


@pytest.fixture
def numpys_generator() -> Iterator[None]:
    """Put numpy's own kind of generator back."""
    kept, state = np.random.get_bit_generator(), np.random.get_state(legacy=False)
    yield
    np.random.set_bit_generator(kept)
    np.random.set_state(state)


@pytest.mark.usefixtures("numpys_generator")
@pytest.mark.parametrize(
    "kind",
    [np.random.PCG64, np.random.PCG64DXSM, np.random.Philox, np.random.SFC64, np.random.MT19937],
)
def test_a_generator_of_another_kind_has_a_state_too(kind: type) -> None:
    np.random.set_bit_generator(kind(1))
    seed_everything(3)
    states = [rng_states()["numpy"]]
    for draw in (np.random.rand, np.random.randn, np.random.randn):
        draw()
        states.append(rng_states()["numpy"])
    assert len({*states}) == 4

    np.random.set_bit_generator(kind(1))
    seed_everything(3)
    assert rng_states()["numpy"] == states[0]


@pytest.mark.usefixtures("numpys_generator")
def test_a_state_names_the_kind_of_its_generator() -> None:
    states = set()
    for kind in (np.random.PCG64, np.random.PCG64DXSM):
        np.random.set_bit_generator(kind(1))
        states.add(rng_states()["numpy"])
    assert len(states) == 2


def test_a_pending_gaussian_counts_as_state() -> None:
    seed_everything(3)
    np.random.randn()
    random.gauss(0, 1)
    pending = rng_states()
    np.random.randn()  # takes the pending one and draws nothing
    random.gauss(0, 1)
    taken = rng_states()

    assert pending["numpy"] != taken["numpy"]
    assert pending["python"] != taken["python"]


def test_a_worker_seeds_python_numpy_and_its_named_streams_from_torch() -> None:
    seed_everything(5)
    stream = generator("augmentation")
    numbers = []
    for worker in range(2):
        torch.manual_seed(1000 + worker)
        seed_worker(worker)
        assert generator("augmentation") is stream
        numbers.append((random.random(), np.random.rand(), float(torch.rand((), generator=stream))))

    assert all(a != b for a, b in zip(*numbers, strict=True))
    torch.manual_seed(1000)
    seed_worker(0)
    again = (random.random(), np.random.rand(), float(torch.rand((), generator=stream)))
    assert again == numbers[0]


class Samples(torch.utils.data.Dataset[torch.Tensor]):
    def __len__(self) -> int:
        return 8

    def __getitem__(self, index: int) -> torch.Tensor:
        draw = torch.rand((), dtype=torch.float64, generator=generator("augmentation"))
        return torch.tensor([random.random(), np.random.rand(), float(draw)], dtype=torch.float64)


def test_worker_processes_draw_numbers_that_repeat_and_are_their_own() -> None:
    epochs = []
    for _ in range(2):
        seed_everything(5)
        generator("augmentation")
        loader = torch.utils.data.DataLoader(
            Samples(), batch_size=2, num_workers=2, worker_init_fn=seed_worker
        )
        epochs.append(torch.cat(list(loader)))

    assert torch.equal(epochs[0], epochs[1])
    assert len(set(epochs[0].flatten().tolist())) == epochs[0].numel()
