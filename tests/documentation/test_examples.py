"""The examples of the README and the tutorial, taken from the pages and run."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parents[2]

# What the README leaves to the reader's imagination.
README_PREAMBLE = """
import torch


def build(device):
    model = torch.nn.Linear(7, 3).to(device)
    data = torch.utils.data.TensorDataset(torch.randn(33, 7), torch.randint(3, (33,)))
    loader = torch.utils.data.DataLoader(data, batch_size=11)
    return model, torch.optim.SGD(model.parameters(), lr=0.1), loader
"""


def example_of(page: str) -> str:
    """The block of Python that defines a test."""
    text = (ROOT / page).read_text(encoding="utf-8")
    found = re.findall(r"^```python\n(.*?)^```$", text, re.MULTILINE | re.DOTALL)
    example: str
    (example,) = (block for block in found if "def test_training(golden_run)" in block)
    return example


def pytest_in(folder: Path, *arguments: str) -> tuple[int, str]:
    environment = {name: value for name, value in os.environ.items() if name != "CI"}
    result = subprocess.run(
        [sys.executable, "-m", "pytest", "--rootdir", str(folder), "-W", "error", *arguments],
        cwd=folder,
        env=environment,
        capture_output=True,
        text=True,
        check=False,
    )
    return result.returncode, result.stdout + result.stderr


def test_the_tutorial_goes_as_it_says(tmp_path: Path) -> None:
    example = example_of("docs/tutorial/first-golden.md")
    test_file = tmp_path / "test_training.py"
    test_file.write_text(example, encoding="utf-8")

    code, shown = pytest_in(tmp_path)
    assert code == 1
    assert "no golden for cpu-portable" in shown
    assert "--golden-update" in shown
    assert not (tmp_path / "golden").exists()

    code, shown = pytest_in(tmp_path, "--golden-update")
    assert code == 0, shown
    (platform,) = (path.parent for path in (tmp_path / "golden").rglob("header.json"))
    assert {path.name for path in platform.iterdir()} == {
        "header.json",
        "steps.jsonl",
        "tape.jsonl.gz",
        "calibration.json",
        "certificate.json",
        "ledger.jsonl",
    }

    code, shown = pytest_in(tmp_path)
    assert code == 0, shown

    assert "lr=1e-2" in example
    test_file.write_text(example.replace("lr=1e-2", "lr=1.001e-2"), encoding="utf-8")
    code, shown = pytest_in(tmp_path)
    assert code == 1
    told = "group0.lr  0.01 → 0.01001  +0.1 %"
    assert told in shown
    for page in ("README.md", "docs/tutorial/first-golden.md"):
        assert told in (ROOT / page).read_text(encoding="utf-8")


def test_the_readmes_example_records_and_passes(tmp_path: Path) -> None:
    text = README_PREAMBLE + example_of("README.md")
    (tmp_path / "test_training.py").write_text(text, encoding="utf-8")
    code, shown = pytest_in(tmp_path, "--golden-update")
    assert code == 0, shown
    code, shown = pytest_in(tmp_path)
    assert code == 0, shown
    assert "1 passed" in shown
