from __future__ import annotations

import os
import subprocess
import sys
from typing import TYPE_CHECKING

import pytest

from goldtrace.determinism import PinKind, profile_for, startup
from goldtrace.errors import PinError

if TYPE_CHECKING:
    from pathlib import Path

PROFILE = profile_for("cpu-portable", "cpu")
VARIABLES = sorted(PROFILE.environment())

CHECK = """
from goldtrace.determinism import profile_for
from goldtrace.determinism.startup import verify_environment
from goldtrace.errors import PinError
try:
    verify_environment(profile_for("cpu-portable", "cpu"))
except PinError as error:
    print(error.where, "|", error.found)
else:
    print("in force")
"""


def start(code: str, **environment: str) -> str:
    inherited = {name: value for name, value in os.environ.items() if name not in VARIABLES}
    answer = subprocess.run(
        [sys.executable, "-c", code],
        env={**inherited, **environment},
        capture_output=True,
        text=True,
        check=True,
    )
    return answer.stdout.strip()


@pytest.fixture
def pinned(monkeypatch: pytest.MonkeyPatch) -> pytest.MonkeyPatch:
    """This process, as far as its variables go, looks as if it had been started pinned."""
    for name, value in PROFILE.environment().items():
        monkeypatch.setenv(name, value)
    monkeypatch.setattr(startup, "initial_environment", PROFILE.environment)
    monkeypatch.setattr(startup, "hashes_are_randomised", lambda: False)
    return monkeypatch


def test_a_process_that_was_started_with_its_pins_passes() -> None:
    assert start(CHECK, **PROFILE.environment()) == "in force"


def test_a_variable_set_inside_the_process_is_too_late() -> None:
    late = "import os; os.environ['MKL_CBWR'] = 'COMPATIBLE'\n"
    environment = {**PROFILE.environment(), "MKL_CBWR": "AVX2"}

    assert start(late + CHECK, **environment) == (
        "pin MKL_CBWR | COMPATIBLE, set too late: AVX2 when Python started"
    )


def test_a_hash_seed_set_inside_the_process_is_too_late() -> None:
    late = "import os; os.environ['PYTHONHASHSEED'] = '0'\n"
    environment = {n: v for n, v in PROFILE.environment().items() if n != "PYTHONHASHSEED"}

    assert start(late + CHECK, **environment) == (
        "pin PYTHONHASHSEED | 0, set too late: nothing when Python started"
    )


def test_a_pin_that_the_process_takes_back_is_noticed() -> None:
    taken_back = "import os; del os.environ['OMP_NUM_THREADS']\n"

    assert start(taken_back + CHECK, **PROFILE.environment()) == "pin OMP_NUM_THREADS | not set"


def test_randomised_hashes_are_noticed_where_the_system_keeps_no_initial_environment(
    pinned: pytest.MonkeyPatch,
) -> None:
    pinned.setattr(startup, "initial_environment", lambda: None)
    startup.verify_environment(PROFILE)
    pinned.setattr(startup, "hashes_are_randomised", lambda: True)

    with pytest.raises(PinError, match="PYTHONHASHSEED is not in force"):
        startup.verify_environment(PROFILE)


@pytest.mark.parametrize("name", VARIABLES)
def test_each_missing_variable_is_named_with_its_value_and_the_way_out(
    pinned: pytest.MonkeyPatch, name: str
) -> None:
    pinned.delenv(name)

    with pytest.raises(PinError) as caught:
        startup.verify_environment(PROFILE)

    assert caught.value.where == f"pin {name}"
    assert caught.value.expected == PROFILE.environment()[name]
    assert caught.value.found == "not set"
    assert f"{name}=" in str(caught.value.hint)


@pytest.mark.parametrize("name", VARIABLES)
def test_each_variable_with_another_value_is_named_with_that_value(
    pinned: pytest.MonkeyPatch, name: str
) -> None:
    pinned.setenv(name, "other")

    with pytest.raises(PinError) as caught:
        startup.verify_environment(PROFILE)

    assert caught.value.where == f"pin {name}"
    assert caught.value.found == "other"


def test_an_environment_overwritten_by_a_process_title_is_not_trusted(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    block = tmp_path / "environ"
    monkeypatch.setattr(startup, "_ENVIRON", block)

    block.write_bytes(b"A=1\0B=x=y\0\0\0")
    assert startup.initial_environment() == {"A": "1", "B": "x=y"}
    block.write_bytes(b"[pytest-xdist running] tests\0\0\0A=1\0")
    assert startup.initial_environment() is None
    block.unlink()
    assert startup.initial_environment() is None


def test_environment_pins_are_the_only_pins_that_must_stand_before_the_start() -> None:
    assert {p.name for p in PROFILE.pins if p.kind is PinKind.ENV} == set(VARIABLES)
