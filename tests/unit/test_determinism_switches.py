from __future__ import annotations

import warnings
from typing import TYPE_CHECKING, Any

import pytest
import torch

from goldtrace.determinism import precision
from goldtrace.determinism.profiles import PinKind, profile_for
from goldtrace.determinism.switches import SWITCHES

if TYPE_CHECKING:
    from collections.abc import Iterator

    from goldtrace.determinism.profiles import Pin

PINS = [p for p in profile_for("cuda", "cuda").pins if p.kind in (PinKind.TORCH, PinKind.THREADS)]
backends: Any = torch.backends  # what it has differs by release
NEW_API = hasattr(backends, "fp32_precision")


def switches_state() -> dict[str, object]:
    """Everything that the switches may touch, in both APIs where both can be read."""
    state: dict[str, object] = {name: switch.read(torch) for name, switch in SWITCHES.items()}
    state["matmul"] = torch.get_float32_matmul_precision()
    matmul, cudnn, mkldnn = backends.cuda.matmul, backends.cudnn, backends.mkldnn
    if NEW_API:
        nodes = (matmul, cudnn, cudnn.conv, cudnn.rnn, mkldnn, mkldnn.matmul, mkldnn.conv)
        state["precision"] = [node.fp32_precision for node in nodes]
    state["legacy"] = [legacy_tf32(matmul), legacy_tf32(cudnn)]
    return state


def legacy_tf32(holder: Any) -> object:
    try:
        return holder.allow_tf32
    except RuntimeError:
        return "unreadable"


@pytest.fixture(autouse=True)
def untouched() -> Iterator[None]:
    before = switches_state()
    yield
    assert switches_state() == before


@pytest.mark.parametrize("pin", PINS, ids=lambda pin: pin.name)
def test_every_switch_is_set_read_back_and_restored_without_a_warning(pin: Pin) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        restore = SWITCHES[pin.name].put(torch, pin.value)
        found = SWITCHES[pin.name].read(torch)
        restore()

    assert found == pin.value


def test_a_switch_that_is_off_is_told_apart_from_one_in_force() -> None:
    algorithms = SWITCHES["torch.use_deterministic_algorithms"]

    assert algorithms.read(torch) == "off"
    restore = algorithms.put(torch, "warn")
    assert algorithms.read(torch) == "warn"
    assert torch.is_deterministic_algorithms_warn_only_enabled()
    restore()
    assert not torch.are_deterministic_algorithms_enabled()


def test_lower_precision_chosen_by_the_user_is_noticed_and_comes_back() -> None:
    switch = SWITCHES["torch.float32_matmul_precision"]
    modern = backends.mkldnn.matmul.fp32_precision if NEW_API else None
    torch.set_float32_matmul_precision("medium")
    try:
        assert switch.read(torch) != "highest"
        restore = switch.put(torch, "highest")
        assert switch.read(torch) == "highest"
        assert backends.cuda.matmul.allow_tf32 is False
        restore()
        assert torch.get_float32_matmul_precision() == "medium"
    finally:
        torch.set_float32_matmul_precision("highest")
        if modern is not None:
            backends.mkldnn.matmul.fp32_precision = modern
            backends.cuda.matmul.fp32_precision = "none"


def test_the_old_way_to_ask_for_tf32_stays_readable_under_the_pins() -> None:
    restore = SWITCHES["torch.backends.cudnn.fp32_precision"].put(torch, "ieee")

    assert backends.cudnn.allow_tf32 is False
    with backends.cudnn.flags(enabled=True):
        pass
    restore()
    assert backends.cudnn.allow_tf32 is True


@pytest.mark.skipif(not NEW_API, reason="torch before 2.9 has one API only")
def test_tf32_asked_for_by_the_new_api_alone_is_noticed_and_comes_back() -> None:
    conv, rnn = backends.cudnn.conv, backends.cudnn.rnn
    conv.fp32_precision = rnn.fp32_precision = "ieee"  # the old API is unreadable from here on
    rnn.fp32_precision = "tf32"
    try:
        assert precision.cudnn_precision(torch) == "tf32"
        restore = precision.pin_cudnn_precision(torch)
        assert precision.cudnn_precision(torch) == "ieee"
        restore()
        assert (conv.fp32_precision, rnn.fp32_precision) == ("ieee", "tf32")
    finally:
        conv.fp32_precision = rnn.fp32_precision = "tf32"


@pytest.mark.skipif(not NEW_API, reason="torch before 2.9 has one API only")
def test_tf32_inherited_from_the_most_general_setting_is_overridden() -> None:
    backends.fp32_precision = "tf32"
    try:
        pins = (precision.pin_cudnn_precision(torch), precision.pin_onednn_precision(torch))
        assert precision.cudnn_precision(torch) == "ieee"
        assert precision.onednn_precision(torch) == "ieee"
        for restore in pins:
            restore()
        assert backends.cudnn.conv.fp32_precision == "tf32"
    finally:
        backends.fp32_precision = "none"
        backends.cudnn.conv.fp32_precision = "tf32"
        backends.cudnn.rnn.fp32_precision = "tf32"
