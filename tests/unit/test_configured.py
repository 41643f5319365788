"""The folder of goldens that pytest's settings name, wherever pytest reads them."""

from __future__ import annotations

import subprocess
import sys

import pytest

from goldtrace.store.configured import configured_golden_dir

ASK = "def pytest_configure(config): print('says', config.getini('golden_dir') or 'golden')\n"


@pytest.mark.parametrize(
    "files",
    [
        {},
        {"pyproject.toml": '[tool.pytest.ini_options]\ngolden_dir = "a"\n'},
        {"pyproject.toml": '[tool.other]\ngolden_dir = "a"\n'},
        {"pyproject.toml": "[tool.pytest.ini_options]\n", "tox.ini": "[pytest]\ngolden_dir = b\n"},
        {"pyproject.toml": "[project]\n", "tox.ini": "[pytest]\ngolden_dir = b/c\n"},
        {"tox.ini": "[tox]\n", "setup.cfg": "[tool:pytest]\ngolden_dir = %d\n"},
        {"pytest.ini": "", "pyproject.toml": '[tool.pytest.ini_options]\ngolden_dir = "a"\n'},
        {"pytest.ini": "[pytest]\ngolden_dir = d\n", "setup.cfg": "[tool:pytest]\ngolden_dir = b"},
    ],
)
def test_it_is_what_pytest_says(tmp_path, files):
    (tmp_path / "ask.py").write_text(ASK)
    for name, text in files.items():
        (tmp_path / name).write_text(text)
    command = [sys.executable, "-m", "pytest", "--collect-only", "-p", "ask", "--rootdir=."]
    said = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=False).stdout
    assert said.splitlines()[0] == f"says {configured_golden_dir(tmp_path)}"


@pytest.mark.parametrize("text", ["[", "[tool.pytest]\nini_options = 3\n", "[tool]\npytest = 3\n"])
def test_settings_that_pytest_refuses_are_passed_over(tmp_path, text):
    (tmp_path / "pyproject.toml").write_text(text)
    assert configured_golden_dir(tmp_path) == "golden"
