from __future__ import annotations

import math
import warnings

import numpy as np
import pytest
import torch
from torch import nn

from goldtrace.recording import sketch as sketches
from goldtrace.recording.sketch import buckets_for, start_sketches


def norm(sketch: tuple[float, ...]) -> float:
    return math.hypot(*sketch)


def sketch(tensor: torch.Tensor, name: str = "weight") -> tuple[float, ...]:
    return start_sketches({name: tensor})()[name]


@pytest.mark.parametrize("size", [1, 63, 64, 65, 4_000, 65_536, 200_001])
def test_a_sketch_keeps_the_norm_of_a_tensor_within_its_few_buckets(size):
    torch.manual_seed(size)
    ratios = []
    for place in range(20):
        tensor = torch.randn(size)
        ratios.append((norm(sketch(tensor, f"layer{place}")) / float(tensor.norm())) ** 2)
    assert sum(ratios) / len(ratios) == pytest.approx(1, abs=0.5)


def test_equal_changes_of_all_elements_do_not_add_up():
    tensor = torch.ones(300_000)
    assert norm(sketch(tensor)) < 4 * float(tensor.norm())


def test_the_sketch_of_a_difference_is_the_difference_of_the_sketches():
    torch.manual_seed(0)
    one, other = torch.randn(70_000).double(), torch.randn(70_000).double()
    expected = [a - b for a, b in zip(sketch(one), sketch(other), strict=True)]
    assert sketch(one - other) == pytest.approx(expected, abs=1e-9)


def test_one_element_of_the_smallest_size_shows():
    tensor = torch.randn(100_000)
    changed = tensor.clone()
    changed[77_777] += 1e-3
    difference = [a - b for a, b in zip(sketch(tensor), sketch(changed), strict=True)]
    assert norm(tuple(difference)) == pytest.approx(1e-3, rel=1e-3)


def test_signs_depend_on_the_place_and_the_name_and_on_nothing_else():
    tensor = torch.randn(200_000)
    torch.manual_seed(1)
    first = sketch(tensor)
    torch.manual_seed(2)
    assert sketch(tensor) == first
    assert sketch(tensor.flip(0)) != first
    assert any(sketch(tensor, f"layer{place}") != first for place in range(9))


def test_strides_do_not_matter():
    images = torch.randn(3, 5, 7, 11)
    assert sketch(images.to(memory_format=torch.channels_last)) == sketch(images)


@pytest.mark.parametrize(
    "tensor",
    [
        torch.tensor([1.5, -2.0, 0.25]).bfloat16(),
        torch.tensor([1.5, -2.0, 0.25]).half(),
        torch.tensor([1.5, -2.0, 0.25]).double(),
        torch.tensor([1.5, -2.0, 0.25]).to(torch.float8_e4m3fn),
        torch.tensor([3, -4, 1]),
        torch.tensor([True, False, True]),
        torch.tensor([1.5 + 2j, -1j]),
        torch.tensor(0.5),
    ],
    ids=lambda tensor: str(tensor.dtype),
)
def test_every_format_is_sketched_by_its_values(tensor):
    wide = torch.view_as_real(tensor) if tensor.is_complex() else tensor
    assert norm(sketch(tensor)) > 0
    assert sketch(tensor) == sketch(wide.double().reshape(-1))


def test_an_empty_tensor_has_an_empty_sketch():
    assert set(sketch(torch.empty(0, 3))) == {0.0}


def test_a_nan_stays_a_nan():
    assert any(math.isnan(number) for number in sketch(torch.tensor([1.0, math.nan])))


def test_sparse_tensors_are_left_out():
    assert start_sketches({"a": torch.eye(3).to_sparse(), "b": torch.eye(3)})().keys() == {"b"}


@pytest.mark.parametrize(("tensors", "buckets"), [(1, 8), (64, 8), (65, 4), (128, 4), (5_000, 2)])
def test_many_tensors_get_fewer_buckets_each(tensors, buckets):
    assert buckets_for(tensors) == buckets


def test_sketching_draws_nothing_and_changes_nothing():
    model = nn.Linear(40, 30)
    state = torch.get_rng_state()
    before = model.weight.detach().clone()
    start_sketches(dict(model.named_parameters()))()
    assert torch.equal(torch.get_rng_state(), state)
    assert torch.equal(model.weight, before)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64, torch.bfloat16])
def test_packed_as_for_a_gpu_tensors_have_the_sketches_that_they_have_alone(monkeypatch, dtype):
    monkeypatch.setattr(sketches, "_PACKED", 3)
    monkeypatch.setattr(sketches, "_AT_ONCE", 2)
    torch.manual_seed(0)
    sizes = {"a": 7, "b": 200_000, "c": 0, "d": 65_536, "e": 65_537, "f": 1, "g": 300_001}
    flats = {name: torch.randn(size).to(dtype) for name, size in sizes.items()}
    flats["nan"] = torch.tensor([float("nan"), 1.0, float("inf")]).to(dtype)
    packed = sketches._packed_lanes(flats)
    for row, alone in zip(packed, sketches._each_lanes(flats), strict=True):
        assert row.tolist() == pytest.approx(alone.tolist(), rel=1e-12, abs=1e-9, nan_ok=True)
    assert sketches._packed_lanes({"a": torch.zeros(0)}).tolist() == [[0.0] * 64]


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64, torch.float16, torch.bfloat16])
def test_what_diverged_is_sketched_without_a_warning_or_an_error(dtype):
    limits = torch.finfo(dtype)
    halves = torch.tensor([math.inf, -math.inf, math.nan]).to(dtype).repeat(100_000)
    with np.errstate(all="raise"), warnings.catch_warnings():
        warnings.simplefilter("error")
        assert all(math.isnan(each) for each in sketch(halves))
        assert len(sketch(torch.full((100_000,), limits.max, dtype=dtype))) == 8
        tiny = sketch(torch.full((3,), limits.tiny / 2, dtype=dtype))
        assert sketch(torch.tensor([-0.0, 0.0], dtype=dtype)) == (0.0,) * 8
    assert norm(tiny) == pytest.approx(float(torch.tensor(limits.tiny).double()) / 2 * 3**0.5)


def test_what_is_only_marked_as_negated_or_conjugated_has_the_sketch_of_its_values():
    for numbers in (torch.tensor([1 + 2j]), torch.randn(5, dtype=torch.complex64)):
        negated = numbers.conj().imag
        assert negated.is_neg()
        assert sketch(negated) == sketch(-numbers.imag)
        assert sketch(numbers.conj()) == sketch(numbers.conj().resolve_conj())


def test_a_first_sketch_in_inference_mode_leaves_later_ones_usable():
    sketches._scratch.cache_clear()
    sketches._signs.cache_clear()
    tensor = torch.arange(100.0)
    with torch.inference_mode():
        first = sketch(tensor)
    assert sketch(tensor) == first
