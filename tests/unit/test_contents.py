from __future__ import annotations

import torch

from goldtrace.recording.contents import Contents


def test_what_comes_to_lie_where_something_computed_lay_is_still_a_source():
    """Found when two processes left different tapes of one run: freed memory was used again."""
    contents = Contents()
    for number in range(200):
        computed = torch.full((3,), float(number))
        contents.written(computed)
        del computed
    for number in range(200):
        contents.place_of(torch.full((5,), -1.0 - number))
    assert all(value.source for value in contents.values())


def test_what_an_operator_wrote_is_no_source():
    contents = Contents()
    given, computed = torch.ones(3), torch.zeros(3)
    contents.written(computed)
    contents.place_of(given)
    contents.place_of(computed)
    assert [value.source for value in contents.values()] == [True, False]
