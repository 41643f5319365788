"""How far two values of a tape are apart, in words that say what was measured."""

from __future__ import annotations

import dataclasses
import math

import pytest
import torch

from goldtrace.diagnose.magnitude import measure
from goldtrace.model.diagnosis import Cause
from goldtrace.recording.contents import Contents


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
