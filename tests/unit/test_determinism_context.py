from __future__ import annotations

import json
import os
import subprocess
import sys
from typing import Any

import pytest

from goldtrace.determinism import deterministic, profile_for
from goldtrace.errors import SpecError

# One pinned child plays every scene, because importing torch costs seconds.
SCENES = """
import json, sys, warnings
warnings.simplefilter("error")
import torch
from goldtrace.determinism import deterministic
from goldtrace.determinism.switches import SWITCHES
from goldtrace.errors import PinError

def state():
    return {name: switch.read(torch) for name, switch in SWITCHES.items()}

def scene(name: str, body, **options):
    try:
        with deterministic(**options) as pins:
            inside = state()
            seen = body()
        outcome = {"pins": dict(pins), "inside": inside, "seen": seen}
    except PinError as error:
        outcome = {"where": error.where, "found": error.found, "hint": error.hint}
    except ZeroDivisionError:
        outcome = {"raised": True}
    scenes[name] = {**outcome, "after": state()}

def nested():
    with deterministic(warn_only=True):
        inner = state()
    return [inner["torch.use_deterministic_algorithms"], state()]

scenes = {}
torch.set_num_threads(2)
torch.set_float32_matmul_precision("medium")
scenes["before"] = state()
scene("plain", lambda: None)
scene("warn", lambda: None, warn_only=True)
scene("cuda", lambda: None, device="cuda")
scene("raises", lambda: 1 / 0)
scene("nested", nested)
scenes["inductor"] = "torch._inductor.config" in sys.modules
scene("threads changed", lambda: torch.set_num_threads(2))
scene("algorithms changed", lambda: torch.set_deterministic_debug_mode("default"))
scene("native", lambda: None, profile="cpu-native")
json.dump(scenes, sys.stdout)
"""


def start(code: str, environment: dict[str, str]) -> subprocess.CompletedProcess[str]:
    profile = profile_for("cpu-portable", "cuda").environment()
    inherited = {name: value for name, value in os.environ.items() if name not in profile}
    return subprocess.run(
        [sys.executable, "-c", code],
        env={**inherited, **environment},
        capture_output=True,
        text=True,
        check=False,
    )


@pytest.fixture(scope="module")
def scenes() -> Any:
    answer = start(SCENES, profile_for("cpu-portable", "cuda").environment())
    assert answer.returncode == 0, answer.stderr
    return json.loads(answer.stdout)


def test_the_pins_in_force_are_those_of_the_profile(scenes: dict[str, Any]) -> None:
    expected = {p.name: p.value for p in profile_for("cpu-portable", "cpu").pins if p.recorded}

    assert scenes["plain"]["pins"] == expected
    assert scenes["plain"]["inside"]["torch.num_threads"] == "1"
    assert scenes["plain"]["inside"]["torch.float32_matmul_precision"] == "highest"


def test_the_pins_of_cuda_can_be_put_in_force_without_a_gpu(scenes: dict[str, Any]) -> None:
    expected = {p.name: p.value for p in profile_for("cuda", "cuda").pins if p.recorded}

    assert scenes["cuda"]["pins"] == expected


def test_warn_only_is_recorded(scenes: dict[str, Any]) -> None:
    assert scenes["warn"]["pins"]["torch.use_deterministic_algorithms"] == "warn"
    assert scenes["plain"]["pins"]["torch.use_deterministic_algorithms"] == "error"


@pytest.mark.parametrize(
    "name",
    ["plain", "warn", "cuda", "raises", "nested", "threads changed", "algorithms changed"],
)
def test_everything_is_restored_whatever_happened(scenes: dict[str, Any], name: str) -> None:
    assert scenes[name]["after"] == scenes["before"]


def test_an_exception_of_the_body_passes_through(scenes: dict[str, Any]) -> None:
    assert scenes["raises"]["raised"]


def test_an_inner_context_gives_the_outer_pins_back(scenes: dict[str, Any]) -> None:
    inner, outer = scenes["nested"]["seen"]

    assert inner == "warn"
    assert outer == scenes["nested"]["inside"]


@pytest.mark.parametrize(
    ("name", "pin", "found"),
    [
        ("threads changed", "torch.num_threads", "2"),
        ("algorithms changed", "torch.use_deterministic_algorithms", "off"),
    ],
)
def test_a_pin_that_the_body_changed_is_named(
    scenes: dict[str, Any], name: str, pin: str, found: str
) -> None:
    assert scenes[name]["where"] == f"pin {pin}"
    assert scenes[name]["found"] == found
    assert "the code of the run changed it" in scenes[name]["hint"]


def test_putting_pins_in_force_does_not_import_the_compiler(scenes: dict[str, Any]) -> None:
    assert scenes["inductor"] is False


def test_a_native_profile_holds_in_a_process_pinned_to_one_thread(scenes: dict[str, Any]) -> None:
    assert scenes["native"]["pins"]["torch.num_threads"] == "1"


def test_mkl_itself_is_asked_which_code_path_it_takes() -> None:
    code = (
        "import torch\n"
        "from goldtrace.determinism.switches import EFFECTS\n"
        "print(torch.backends.mkl.is_available() and EFFECTS['mkl.cbwr'](torch))\n"
    )

    assert start(code, {"MKL_CBWR": "AUTO"}).stdout.strip() in {"AUTO", "False"}


def test_an_unpinned_process_is_told_before_torch_is_imported() -> None:
    code = (
        "import sys\n"
        "from goldtrace.determinism import deterministic\n"
        "from goldtrace.errors import PinError\n"
        "try:\n"
        "    with deterministic(): print('entered')\n"
        "except PinError as error: print(error.where, 'torch' in sys.modules)\n"
    )

    assert start(code, {}).stdout.strip() == "pin PYTHONHASHSEED False"


def test_an_unknown_profile_is_an_error() -> None:
    with pytest.raises(SpecError), deterministic("fast"):
        pass


def test_a_pin_error_names_pin_expectation_finding_and_remedy() -> None:
    environment = dict(profile_for("cpu-portable", "cuda").environment(), MKL_CBWR="AVX2")
    code = (
        "from goldtrace.determinism import deterministic\n"
        "from goldtrace.errors import PinError\n"
        "try:\n"
        "    with deterministic(): pass\n"
        "except PinError as error: print(error)\n"
    )

    lines = start(code, environment).stdout.splitlines()

    assert lines[0].startswith("pin MKL_CBWR: MKL_CBWR is not in force")
    assert lines[1].split() == ["expected:", "COMPATIBLE"]
    assert lines[2].split() == ["found:", "AVX2"]
    assert "MKL_CBWR=COMPATIBLE" in lines[3]
