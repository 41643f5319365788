"""Output that somebody stops reading: ``goldtrace … | head``."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

GOLDENS = Path(__file__).parents[2] / "golden"


@pytest.mark.parametrize("unbuffered", ["", "1"])
@pytest.mark.parametrize(
    ("other", "status"), [("transformer", 0), ("resnet18-synthetic", 1)], ids=["pass", "drift"]
)
def test_a_reader_that_leaves_takes_no_verdict_along(other, status, unbuffered):
    theirs, ours = os.pipe()
    os.close(theirs)
    goldens = [GOLDENS / name / "cpu-portable" for name in ("transformer", other)]
    done = subprocess.run(
        [sys.executable, "-m", "goldtrace.cli", "diff", *goldens],
        stdout=ours,
        stderr=subprocess.PIPE,
        env={**os.environ, "PYTHONUNBUFFERED": unbuffered},
        check=False,
    )
    os.close(ours)
    assert (done.returncode, done.stderr) == (status, b"")
