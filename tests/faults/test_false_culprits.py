"""Nobody is blamed for what threads, profiles and repetitions do."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from goldtrace.compare import compare_traces
from goldtrace.determinism import profile_for
from goldtrace.diagnose import diagnose
from goldtrace.environment import changes
from goldtrace.model.codec import decode_trace, read_files
from goldtrace.model.diagnosis import Cause

if TYPE_CHECKING:
    from goldtrace.model.trace import Trace

BLAMELESS = {None, Cause.ROUNDING, Cause.PRECISION}
REQUEST = {"variants": {"sgd": {"config": {}}, "adamw": {"config": {"optimizer": "adamw"}}}}


def recorded(out: Path, profile: str, threads: int | None = None) -> dict[str, Trace]:
    """Both variants, recorded under a profile in a child process."""
    out.mkdir()
    variants = {
        name: {**fields, "profile": profile, "tape": [0, 3]}
        for name, fields in REQUEST["variants"].items()
    }
    request = out / "request.json"
    request.write_text(json.dumps({"variants": variants, "device": "cpu", "threads": threads}))
    child = subprocess.run(
        [sys.executable, Path(__file__).with_name("faulty_training.py"), request, out],
        env={**os.environ, **profile_for(profile, "cpu").environment()},
        capture_output=True,
        text=True,
        check=False,
    )
    assert child.returncode == 0, child.stderr[-4000:]
    return {name: decode_trace(read_files(out / name)) for name in variants}


@pytest.fixture(scope="module")
def portable(tmp_path_factory) -> dict[str, Trace]:
    return recorded(tmp_path_factory.mktemp("one") / "out", "cpu-portable")


@pytest.mark.parametrize(
    ("profile", "threads"), [("cpu-portable", None), ("cpu-native", None), ("cpu-native", 2)]
)
def test_threads_and_profiles_are_never_blamed_on_the_training(
    portable, tmp_path, profile, threads
):
    others = recorded(tmp_path / "out", profile, threads)
    for name, golden in portable.items():
        now = others[name]
        comparison = compare_traces(
            golden, now, tolerance={}, environment_changes=changes(golden.header, now.header)
        )
        diagnosis = diagnose(golden, now, comparison)
        if profile == "cpu-portable":
            assert diagnosis is None
            assert golden.tape == now.tape
        elif diagnosis is not None:
            assert diagnosis.cause in BLAMELESS, diagnosis
            assert {culprit.cause for culprit in diagnosis.culprits} <= BLAMELESS, diagnosis
