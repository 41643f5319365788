"""How far two values of a tape are apart, in words that say what was measured."""

from __future__ import annotations

import dataclasses
import math

import pytest
import torch

from goldtrace.diagnose.magnitude import measure
from goldtrace.model.diagnosis import Cause
from goldtrace.recording.contents import Contents, _spread, positions


def value(tensor: torch.Tensor):
    contents = Contents()
    place = contents.place_of(tensor)
    return list(contents.values())[place]


def told(golden: torch.Tensor, now: torch.Tensor, op: str = "aten::_fft_r2c"):
    return measure([value(golden)], [value(now)], op=op, inputs=[value(golden)])


@pytest.mark.parametrize("dtype", [torch.complex64, torch.complex128])
def test_the_last_bits_of_complex_values_are_rounding_and_another_sign_is_behaviour(dtype):
    spectrum = torch.fft.fft(torch.arange(40.0)).to(dtype)
    eps = torch.finfo(spectrum.real.dtype).eps
    near = told(spectrum, spectrum * (1 + 2 * eps))
    assert near.cause is Cause.ROUNDING
    assert 1 <= near.most <= 5
    assert told(spectrum, -spectrum).cause is Cause.BEHAVIOUR
    assert told(spectrum, spectrum.conj().resolve_conj()).cause is Cause.BEHAVIOUR
    assert told(spectrum, spectrum * math.nan).cause is Cause.BEHAVIOUR


def test_a_distance_over_all_elements_is_told_as_one_and_a_sample_as_a_sample():
    few = torch.arange(1.0, 9.0)
    assert told(few, few * (1 + 2**-23)).what.startswith("at most ")
    many = torch.arange(1.0, 901.0)
    assert "in 8 of 900 elements" in told(many, many * (1 + 2**-23)).what


def test_what_no_statistic_shows_is_said_to_be_less_than_they_show():
    golden = value(torch.arange(1.0, 901.0))
    now = dataclasses.replace(golden, digest="0" * 16, sample="1" * 16)
    what = measure([golden], [now], op="aten::mul", inputs=[golden]).what
    assert what == "by less than sums and sketch of its elements show"


@pytest.mark.parametrize("dtype", [torch.float64, torch.float32, torch.float16, torch.bfloat16])
def test_the_smallest_and_the_largest_numbers_of_a_format_have_distances(dtype):
    bits = {2: torch.int16, 4: torch.int32, 8: torch.int64}[dtype.itemsize]
    subnormal = torch.tensor([2, 1, 0], dtype=bits).view(dtype)
    assert told(subnormal, subnormal.flip(0)).most == 2
    zero = torch.tensor([0.0, -0.0], dtype=dtype)
    assert told(zero, zero.flip(0)).most == 0
    largest = torch.full((40,), torch.finfo(dtype).max, dtype=dtype)
    for other in (-largest, torch.zeros_like(largest)):
        assert told(largest, other).cause is Cause.BEHAVIOUR
        assert told(other, largest).cause is Cause.BEHAVIOUR


def places_that_are_kept(count: int) -> set[int]:
    return set(_spread(len(positions(count))).tolist())


@pytest.mark.parametrize("dtype", [torch.complex64, torch.complex128])
def test_one_part_that_moved_by_rounding_beside_those_that_are_kept_is_rounding(dtype):
    spectrum = torch.fft.fft(torch.arange(40.0)).to(dtype)
    parts = torch.view_as_real(spectrum).clone()
    place = next(p for p in range(80) if p not in places_that_are_kept(80) and parts.view(-1)[p])
    moved = parts.clone()
    moved.view(-1)[place] *= 1 + torch.finfo(parts.dtype).eps
    golden = torch.view_as_complex(parts)
    assert told(golden, torch.view_as_complex(moved)).cause is Cause.ROUNDING
    moved.view(-1)[place] = math.nan
    assert told(golden, torch.view_as_complex(moved)).cause is Cause.BEHAVIOUR
    moved.view(-1)[place] = 1e6
    assert told(golden, torch.view_as_complex(moved)).cause is Cause.BEHAVIOUR


def test_masked_scores_are_judged_by_what_is_finite():
    scores = torch.arange(1.0, 65.0).view(8, 8).masked_fill(torch.ones(8, 8).triu(1) > 0, -math.inf)
    near = scores * (1 + 2**-23)
    assert told(scores, near, op="aten::_log_softmax").cause is Cause.ROUNDING
    assert told(scores, scores * 2, op="aten::_log_softmax").cause is Cause.BEHAVIOUR
    assert told(scores, scores.flip(1)).cause is Cause.BEHAVIOUR
    assert told(torch.ones(8), torch.full((8,), math.nan)).cause is Cause.BEHAVIOUR


@pytest.mark.parametrize("other", [math.inf, math.nan])
def test_another_infinity_beside_rounding_is_behaviour(other):
    golden = torch.tensor([1.0, -math.inf, 3.0, -math.inf])
    now = torch.tensor([1.0 + 2**-23, other, 3.0, -math.inf])
    assert told(golden, now).cause is Cause.BEHAVIOUR


def test_what_no_sampled_element_shows_is_of_unknown_size():
    golden = torch.ones(100_000)
    other = golden.clone()
    other[next(p for p in range(100_000) if p not in set(positions(100_000).tolist()))] = 1e6
    assert told(golden, other).cause is Cause.UNKNOWN


def test_formats_without_statistics_are_of_unknown_size_and_whole_numbers_never_round():
    sparse = torch.arange(5.0).to_sparse()
    assert told(sparse, sparse * (1 + 2**-22)).cause is Cause.UNKNOWN
    eighth = torch.arange(8.0).to(torch.float8_e4m3fn)
    assert told(eighth, (eighth.float() * 1.07).to(torch.float8_e4m3fn)).cause is Cause.UNKNOWN
    assert told(torch.arange(5), torch.arange(5).flip(0)).cause is Cause.BEHAVIOUR
