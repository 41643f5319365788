"""The page about frameworks, its examples run with the real ones: ``make test-frameworks``."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

PAGE = Path(__file__).parents[2] / "docs" / "how-to" / "frameworks.md"
RATES = {"lightning": "lr=1e-3", "transformers": "learning_rate=1e-3", "accelerate": "lr=0.01"}


def example_of(framework: str) -> str:
    blocks = re.findall(r"^```python\n(.*?)^```$", PAGE.read_text(), re.MULTILINE | re.DOTALL)
    example: str
    (example,) = (block for block in blocks if f"def test_{framework}(" in block)
    return example


def pytest_in(folder: Path, *arguments: str) -> tuple[int, str]:
    environment = {name: value for name, value in os.environ.items() if name != "CI"}
    result = subprocess.run(
        [sys.executable, "-m", "pytest", "--rootdir", str(folder), *arguments],
        cwd=folder,
        env=environment,
        capture_output=True,
        text=True,
        check=False,
    )
    return result.returncode, result.stdout + result.stderr


@pytest.mark.parametrize("framework", RATES)
def test_a_training_of_a_framework_has_a_golden_that_holds_alone_and_beside_others(
    tmp_path, framework
):
    # Something that imports the framework first, and so takes all that its import draws.
    (tmp_path / "test_before.py").write_text(
        f"import rich.style\nimport {framework}\n\ndef test_before(golden_run):\n"
        "    golden_run.step(loss=1.0)\n"
    )
    example = example_of(framework)
    (tmp_path / "test_example.py").write_text(example)
    code, shown = pytest_in(tmp_path, "--golden-update")
    assert code == 0, shown
    assert "calibrated, horizon" in shown
    for selection in ("test_example.py", "."):
        code, shown = pytest_in(tmp_path, selection)
        assert code == 0, shown
    rate = RATES[framework]
    assert rate in example
    (tmp_path / "test_example.py").write_text(example.replace(rate, f"{rate} * 1.001"))
    code, shown = pytest_in(tmp_path, "test_example.py")
    assert code == 1, shown
    assert re.search(r"drift .*group0\.lr .*\+0\.1 %", shown, re.DOTALL), shown


@pytest.mark.parametrize("framework", RATES)
def test_every_rung_of_a_frameworks_steps_is_recorded(tmp_path, framework):
    (tmp_path / "test_example.py").write_text(example_of(framework))
    code, shown = pytest_in(tmp_path, "--golden-update", "--golden-no-calibrate")
    assert code == 0, shown
    (steps,) = tmp_path.glob("golden/*/cpu-portable/steps.jsonl")
    first = steps.read_text().splitlines()[1]
    for rung in ("gradients", "optimizer", "weights"):
        assert f'"{rung}":{{}}' not in first
        assert f'"{rung}":' in first
