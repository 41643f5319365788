"""What ``goldtrace init`` tells pytest, in files of every kind."""

from __future__ import annotations

import subprocess
import sys

import pytest

from goldtrace.errors import UsageError
from goldtrace.scaffold.change import Action
from goldtrace.scaffold.settings import settings

INI = "tool.pytest.ini_options"


def test_comments_and_layout_of_pyproject_stay_as_they_are(tmp_path):
    before = (
        "# ours\n[project]   # the project\nname = 'shop'\r\nversion='1'\n\n"
        f"[{INI}]\naddopts = '-ra'  # all reasons\n"
        "testpaths = [\n    'tests',  # fast ones\n]\n\n[tool.other]\nx   =  1\n"
    )
    (tmp_path / "pyproject.toml").write_bytes(before.encode())
    change = settings(tmp_path, "golden")
    assert change.action is Action.EXTEND
    assert change.after is not None
    assert change.after.count('    "golden",\n') == 1
    assert change.after.replace('    "golden",\n', "") == before


@pytest.mark.parametrize(
    ("before", "after"),
    [
        ("", ""),
        ("[project]\nname = 'shop'\n", "[project]\nname = 'shop'\n"),
        (f"[{INI}]\naddopts = '-ra'\n", f"[{INI}]\naddopts = '-ra'\n"),
        (f"[{INI}]\ntestpaths = ['golden']\n", f"[{INI}]\ntestpaths = ['golden']\n"),
        (f"[{INI}]\ntestpaths = 'a b'\n", f'[{INI}]\ntestpaths = "a b golden"\n'),
        ("[tool.pytest]\ntestpaths = ['a']\n", "[tool.pytest]\ntestpaths = ['a', \"golden\"]\n"),
    ],
)
def test_only_testpaths_need_a_word_in_a_file_that_is_there(tmp_path, before, after):
    (tmp_path / "pyproject.toml").write_text(before)
    change = settings(tmp_path, "golden")
    assert (before if change.after is None else change.after) == after
    assert change.action is (Action.UNCHANGED if before == after else Action.EXTEND)


@pytest.mark.parametrize("head", ["", "[project]\nname = 'shop'\n", "[tool.pytest]\nx = 1\n"])
def test_another_directory_is_written_down_once(tmp_path, head):
    path = tmp_path / "pyproject.toml"
    path.write_text(head)
    change = settings(tmp_path, "tests/golden")
    assert change.after is not None
    assert change.after.startswith(head)
    assert change.after.count('golden_dir = "tests/golden"') == 1
    path.write_text(change.after)
    assert settings(tmp_path, "tests/golden").action is Action.UNCHANGED
    change = settings(tmp_path, "elsewhere")
    assert change.action is Action.LEFT
    assert change.after is None
    assert "'tests/golden'" in (change.note or "")


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("pytest.ini", ""),
        ("pytest.toml", "[pytest]\n"),
        ("tox.ini", "[pytest]\naddopts = -ra\n"),
        ("setup.cfg", "[tool:pytest]\naddopts = -ra\n"),
    ],
)
def test_where_pytest_reads_another_file_there_is_a_note(tmp_path, name, text):
    (tmp_path / name).write_text(text)
    change = settings(tmp_path, "golden")
    assert change.action is Action.LEFT
    assert name in (change.note or "")
    assert change.after is None


@pytest.mark.parametrize("text", ["[tox]\n", "no section\n", ""])
def test_a_tox_ini_without_pytests_settings_is_none(tmp_path, text):
    (tmp_path / "tox.ini").write_text(text)
    assert settings(tmp_path, "golden").action is Action.CREATE


def test_a_file_that_is_no_toml_is_one_error(tmp_path):
    (tmp_path / "pyproject.toml").write_text("[tool\n")
    with pytest.raises(UsageError, match="this is not TOML"):
        settings(tmp_path, "golden")


@pytest.mark.parametrize("before", [None, f"[{INI}]\ntestpaths = 't'\n"])
def test_pytest_collects_the_runs_with_what_was_written(tmp_path, monkeypatch, before):
    monkeypatch.setenv("PYTEST_DISABLE_PLUGIN_AUTOLOAD", "1")  # starts faster
    plugin = ["-p", "goldtrace.pytest_plugin"]
    run = tmp_path / "golden" / "first" / "run.toml"
    run.parent.mkdir(parents=True)
    run.write_text('entry = "vision:train"\n')
    if before is not None:
        (tmp_path / "pyproject.toml").write_text(before)
    change = settings(tmp_path, "golden")
    if change.after is not None:
        (tmp_path / "pyproject.toml").write_text(change.after)
    for arguments in ([], ["golden"]):
        shown = subprocess.run(
            [sys.executable, "-m", "pytest", *plugin, "--collect-only", "-q", *arguments],
            cwd=tmp_path,
            capture_output=True,
            text=True,
            check=False,
        ).stdout
        assert "golden/first/run.toml::cpu" in shown, shown
