from __future__ import annotations

from dataclasses import replace

import pytest
from golden_samples import header, trace

from goldtrace.compare import compare_traces
from goldtrace.determinism.unportable import UNPORTABLE, unportable_among, warning
from goldtrace.errors import GoldenError
from goldtrace.model.header_codec import decode_header, encode_header


def test_each_operator_has_a_reason_and_stands_once() -> None:
    names = [operator.name for operator in UNPORTABLE]

    assert all(operator.reason for operator in UNPORTABLE)
    assert names == sorted(set(names))


@pytest.mark.parametrize(
    "name", ["aten::atan", "aten::atan_", "aten::atan.out", "aten::_foreach_atan"]
)
def test_every_overload_of_an_operator_is_meant(name: str) -> None:
    assert unportable_among(["aten::add.Tensor", name], "cpu-portable") == ("atan",)


def test_an_operator_that_only_begins_alike_is_not_meant() -> None:
    assert unportable_among(["aten::atan2", "aten::atanh"], "cpu-portable") == ()


@pytest.mark.parametrize("platform", ["universal", "cpu-native-avx2-mkl-t2", "cuda-sm90"])
def test_other_platforms_promise_nothing_about_other_cpus(platform: str) -> None:
    assert unportable_among(["aten::atan"], platform) == ()


def test_a_header_keeps_the_names_and_a_run_without_any_has_no_such_key() -> None:
    used = header(unportable=("asin", "atan"))

    assert decode_header(encode_header(used), where="header.json") == used
    assert "unportable" not in encode_header(header())


def test_a_header_whose_names_are_no_list_is_damaged() -> None:
    with pytest.raises(GoldenError, match="unportable"):
        decode_header({**encode_header(header()), "unportable": "atan"}, where="header.json")


def test_a_comparison_names_them() -> None:
    golden = trace()
    now = replace(golden, header=replace(golden.header, unportable=("atan",)))

    assert warning(["atan"]) in compare_traces(golden, now, tolerance={}).notes
    assert not any(
        "portable" in note for note in compare_traces(golden, golden, tolerance={}).notes
    )
