from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import pytest
import torch
from golden_samples import header, trace

from goldtrace.compare import compare_traces
from goldtrace.determinism.unportable import UNPORTABLE, unportable_among, warning
from goldtrace.errors import GoldenError
from goldtrace.model.header_codec import decode_header, encode_header
from goldtrace.recording.recorder import GoldenRun
from goldtrace.recording.tape import Tape

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path


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


@pytest.mark.parametrize(("function", "named"), [(torch.atan, ("atan",)), (torch.tanh, ())])
def test_the_tape_of_a_run_names_them_in_its_header(
    function: Callable[[torch.Tensor], torch.Tensor], named: tuple[str, ...], tmp_path: Path
) -> None:
    weight = torch.nn.Parameter(torch.ones(3))
    model = torch.nn.ParameterList([weight])
    run = GoldenRun(
        name="tiny",
        seed=0,
        device="cpu",
        config={},
        header=lambda data: header(data=data),
        tape=Tape((0,), root=tmp_path),
    )

    run.watch(model=model, optimizer=torch.optim.SGD([weight], lr=0.1))
    loss = function(weight).sum()
    loss.backward()  # type: ignore[no-untyped-call]
    run.step(loss=loss)

    assert run.finish().header.unportable == named


def test_a_comparison_names_them() -> None:
    golden = trace()
    now = replace(golden, header=replace(golden.header, unportable=("atan",)))

    assert warning(["atan"]) in compare_traces(golden, now, tolerance={}).notes
    assert not any(
        "portable" in note for note in compare_traces(golden, golden, tolerance={}).notes
    )
