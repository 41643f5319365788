from __future__ import annotations

import json
import os
import subprocess
import sys
from typing import Any

import pytest

from goldtrace.determinism import PinKind, canary, profile_for
from goldtrace.determinism.canary import CANARIES
from goldtrace.errors import PinError
from goldtrace.model.machine import processor

PROFILE = profile_for("cpu-portable", "cpu")
WIDE = processor().isa.startswith("avx512")

# Each scene is a process in which one pin is missing. They are forked from one that has imported
# torch and computed nothing yet, because libraries read their variables at the first operator;
# numpy reads its own while it is imported.
SCENES = """
import json, os, sys

def scene(body):
    ours, theirs = os.pipe()
    if os.fork() == 0:
        os.write(theirs, json.dumps(body()).encode())
        os._exit(0)
    os.close(theirs)
    with os.fdopen(ours) as stream:
        text = stream.read()
    os.wait()
    return json.loads(text)

def verdict(*libraries):
    from goldtrace.determinism import canary
    from goldtrace.errors import PinError
    import numpy
    found = canary.canary_digests(libraries)
    if libraries == ("numpy",):
        canary.CANARIES = tuple(c for c in canary.CANARIES if c.of == "numpy")
    try:
        canary.verify_canaries(found)
    except PinError as error:
        return {"where": error.where, "what": error.what, "hint": error.hint}
    return {"where": None, "drawn": None}

def without(pin, *libraries):
    def body():
        if pin in os.environ:
            del os.environ[pin]
        if "torch" in libraries:
            from goldtrace.determinism.matrix_product import PRODUCTS
            from goldtrace.determinism.square_root import SQUARE_ROOT
            torch.set_num_threads(2 if pin == "torch.num_threads" else 1)
            if pin != "torch.sqrt":
                SQUARE_ROOT.begin()
            if pin != "torch.mm":
                PRODUCTS.begin()
        return verdict(*libraries)
    return scene(body)

scenes = {pin: without(pin, "numpy") for pin in ("OPENBLAS_CORETYPE", "NPY_DISABLE_CPU_FEATURES")}
import torch
for pin in ("none", "MKL_CBWR", "ATEN_CPU_CAPABILITY", "ONEDNN_MAX_CPU_ISA", "torch.sqrt",
            "torch.mm", "torch.num_threads"):
    scenes[pin] = without(pin, "torch")
scenes["all"] = without("none", "torch", "numpy")
json.dump(scenes, sys.stdout)
"""


@pytest.fixture(scope="module")
def scenes() -> Any:
    answer = subprocess.run(
        [sys.executable, "-W", "ignore", "-c", SCENES],
        env={**os.environ, **PROFILE.environment()},
        capture_output=True,
        text=True,
        check=False,
    )
    assert answer.returncode == 0, answer.stderr
    return json.loads(answer.stdout)


@pytest.fixture
def loaded(monkeypatch: pytest.MonkeyPatch) -> pytest.MonkeyPatch:
    """A known build, whatever this environment has."""
    newest = {library: max(canary.known(library).builds) for library in ("torch", "numpy")}
    monkeypatch.setattr(canary, "build", newest.__getitem__)
    return monkeypatch


def first_digests() -> dict[str, str]:
    return {c.name: min(canary.known(c.decided_by).digests[c.name]) for c in CANARIES}


def test_with_every_pin_in_place_the_canaries_are_the_known_ones(scenes: dict[str, Any]) -> None:
    assert scenes["all"]["where"] is None


@pytest.mark.parametrize(
    ("pin", "component"),
    [
        ("MKL_CBWR", "vendor gemm"),
        ("torch.mm", "gemm"),
        ("torch.num_threads", "reduction"),
        pytest.param(
            "ATEN_CPU_CAPABILITY",
            "softmax",
            marks=pytest.mark.skipif(not WIDE, reason="this CPU has no wider path than AVX2"),
        ),
        pytest.param(
            "torch.sqrt",
            "square root",
            marks=pytest.mark.skipif(
                processor().vendor != "GenuineIntel", reason="MKL's square root differs by CPU"
            ),
        ),
        pytest.param(
            "ONEDNN_MAX_CPU_ISA",
            "convolution",
            marks=pytest.mark.skipif(not WIDE, reason="this CPU has no wider path than AVX2"),
        ),
        pytest.param(
            "OPENBLAS_CORETYPE",
            "numpy matmul",
            marks=pytest.mark.skipif(not WIDE, reason="this CPU has no wider path than AVX2"),
        ),
        pytest.param(
            "NPY_DISABLE_CPU_FEATURES",
            "numpy functions",
            marks=pytest.mark.skipif(not WIDE, reason="this CPU has no wider path than AVX2"),
        ),
    ],
)
def test_a_missing_pin_is_noticed_and_named(
    scenes: dict[str, Any], pin: str, component: str
) -> None:
    answer = scenes[pin]

    assert answer["where"] is not None
    assert component in answer["what"]
    assert pin in answer["what"] + answer["hint"]


def test_every_canary_has_known_digests_and_names_pins_of_the_profile() -> None:
    names = {pin.name for pin in PROFILE.pins} | {"NPY_DISABLE_CPU_FEATURES", "torch"}

    for each in CANARIES:
        assert canary.known(each.decided_by).digests[each.name]
        assert set(each.pins) <= names


def test_every_pin_that_chooses_a_kernel_has_a_canary() -> None:
    watched = {pin for each in CANARIES for pin in each.pins}
    chosen = {
        pin.name
        for pin in PROFILE.pins
        if pin.kind is not PinKind.EFFECT and {"mkl", "onednn", "numpy"} & set(pin.read_by)
    }

    # The threads of every library follow from one number; precision has switches of its own.
    follow = {n for n in chosen if n.endswith(("_THREADS", "_DYNAMIC", "precision"))}
    assert chosen - follow <= watched


def test_known_digests_pass(loaded: pytest.MonkeyPatch) -> None:
    canary.verify_canaries(first_digests())


def test_an_unknown_digest_of_a_known_build_is_an_error_with_component_and_pin(
    loaded: pytest.MonkeyPatch,
) -> None:
    with pytest.raises(PinError) as caught:
        canary.verify_canaries({**first_digests(), "gemm": "0", "softmax": "1"})

    assert caught.value.where == "canary gemm"
    assert "gemm and softmax" in caught.value.what
    assert "OPENBLAS_CORETYPE and ATEN_CPU_CAPABILITY are likely not in force" in caught.value.what
    assert str(caught.value.found).startswith("0, with numpy ")


def test_an_unknown_digest_of_an_unknown_build_is_only_recorded(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(canary, "build", lambda _library: "99.0")

    canary.verify_canaries({**first_digests(), "gemm": "0"})


def test_the_canaries_draw_from_no_generator_of_the_run() -> None:
    import torch

    before = torch.get_rng_state()
    canary.canary_digests(["torch"])

    assert torch.equal(torch.get_rng_state(), before)


def test_autocast_and_gradients_around_them_do_not_move_the_canaries() -> None:
    import torch

    plain = canary.canary_digests(["torch"])
    with torch.autocast("cpu", dtype=torch.bfloat16):
        assert canary.canary_digests(["torch"]) == plain
