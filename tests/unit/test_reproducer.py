"""An operator that is called again by its script, in a process that has torch alone."""

from __future__ import annotations

import json
import subprocess
import sys
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

import pytest
import torch

from goldtrace.diagnose.reproducer import EXPECTED, SCRIPT, expected, script
from goldtrace.model.diagnosis import Cause, Culprit
from goldtrace.recording.capture import CALL, capturing

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

aten = torch.ops.aten
on_a_gpu = pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA device")
Call = tuple[Any, tuple[Any, ...], dict[str, Any]]


def convolution(device: str) -> Call:
    images, weight = torch.rand(3, 5, 9, 9), torch.rand(7, 5, 3, 3)
    layout = torch.channels_last
    images, weight = images.to(device, memory_format=layout), weight.to(device)
    return (
        aten.convolution.default,
        (images, weight, None, [1, 1], [1, 1], [1, 1], False, [0], 1),
        {},
    )


def product(device: str) -> Call:
    return aten.mm.default, (torch.rand(33, 65).to(device), torch.rand(65, 17).to(device)), {}


def expanded(device: str) -> Call:
    row, columns = torch.rand(1, 300).to(device), torch.rand(300, 8).to(device)[:, ::2]
    return aten.matmul.default, (row.expand(4, 300), columns), {}


def scattered(device: str) -> Call:
    places = torch.arange(1000).remainder(3).to(device)
    return (
        aten.index_add.default,
        (torch.zeros(3).to(device), 0, places, torch.rand(1000).to(device)),
        {},
    )


def dropout(device: str) -> Call:
    return aten.native_dropout.default, (torch.rand(1000).to(device), 0.5, True), {}


def drawn(device: str) -> Call:
    return aten.rand.default, ([100],), {"device": torch.device(device)}


def drawn_from_a_stream(device: str) -> Call:
    stream = torch.Generator(device).manual_seed(3)
    return aten.bernoulli.p, (torch.zeros(100).to(device), 0.3), {"generator": stream}


def with_a_scalar_of_the_host(device: str) -> Call:
    return aten.mul.Tensor, (torch.rand(100).to(device), torch.tensor(0.3)), {}


CALLS = [convolution, product, expanded, scattered, dropout, drawn, drawn_from_a_stream]
CALLS += [with_a_scalar_of_the_host]


def captured(call: Call, folder: Path) -> None:
    """The files of a reproducer, for a call that is made now."""
    function, args, kwargs = call
    finish = capturing(0, folder)(0, function, args, kwargs)
    assert finish is not None
    finish(function(*args, **kwargs))


def run_alone(folder: Path, *, warn_only: bool = False) -> subprocess.CompletedProcess[str]:
    """The script for the call in ``folder``, in a process of its own."""
    shapes = [SimpleNamespace(sample="none", shape=())] * 2
    (folder / EXPECTED).write_text(expected(shapes, shapes))
    text = script(
        Culprit(op="aten::op", cause=Cause.ROUNDING, what="other bits"),
        run="a-run",
        step=0,
        pins={"CUBLAS_WORKSPACE_CONFIG": ":4096:8"},
        warn_only=warn_only,
        golden="torch 1",
        now="torch 2",
    )
    (folder / SCRIPT).write_text(text)
    return subprocess.run(
        [sys.executable, "-I", folder / SCRIPT, folder / "report.json"],
        capture_output=True,
        text=True,
        check=False,
    )


@pytest.mark.parametrize("device", ["cpu", pytest.param("cuda", marks=on_a_gpu)])
@pytest.mark.parametrize("call", CALLS)
def test_a_call_gives_its_bits_again(
    call: Callable[[str], Call], device: str, tmp_path: Path
) -> None:
    torch.manual_seed(5)
    torch.set_deterministic_debug_mode("error")
    try:
        captured(call(device), tmp_path)
    finally:
        torch.set_deterministic_debug_mode("default")
    done = run_alone(tmp_path)
    assert done.returncode == 0, done.stderr
    outputs = json.loads((tmp_path / "report.json").read_text())["outputs"]
    assert outputs
    assert all(output["now"] for output in outputs), done.stdout


def test_what_a_run_was_refused_its_reproducer_is_refused(tmp_path: Path) -> None:
    args = (torch.zeros(5), torch.tensor([1]), torch.ones(1))
    captured((aten.put.default, args, {}), tmp_path)
    refused = run_alone(tmp_path)
    assert "put_ does not have a deterministic implementation" in refused.stderr
    warned = run_alone(tmp_path, warn_only=True)
    assert warned.returncode == 0
    assert "put_ does not have a deterministic implementation" in warned.stderr


@pytest.mark.parametrize("args", [([3],), ([3], torch.float32)])
def test_what_a_gpu_draws_comes_from_the_gpus_generator(
    args: tuple[Any, ...], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    state = torch.arange(16, dtype=torch.uint8)
    monkeypatch.setattr(torch.cuda, "get_rng_state", lambda: state)
    call: dict[str, Any] = {"device": torch.device("cuda", 0)}
    finish = capturing(0, tmp_path)(0, aten.rand.default, args, call)
    assert finish is not None
    finish(torch.rand(3))
    written = json.loads((tmp_path / CALL).read_text())
    assert (written["generator"], written["devices"]) == ("cuda", {})
    assert bytes(range(16)) in (tmp_path / "inputs.safetensors").read_bytes()


def test_the_device_that_is_asked_for_outranks_that_of_the_arguments(tmp_path: Path) -> None:
    class Far(torch.Tensor):
        device = torch.device("cuda", 0)

        def detach(self) -> torch.Tensor:  # type: ignore[override]
            return self.as_subclass(torch.Tensor)

        def __repr__(self, **_: Any) -> str:
            raise AssertionError("a tensor on a GPU was printed")

    like = torch.rand(3).as_subclass(Far)
    finish = capturing(0, tmp_path)(
        0, aten.rand_like.default, (like,), {"device": torch.device("cpu")}
    )
    assert finish is not None
    finish(torch.rand(3))
    written = json.loads((tmp_path / CALL).read_text())
    assert (written["generator"], written["devices"]) == ("cpu", {"input0": "cuda"})
