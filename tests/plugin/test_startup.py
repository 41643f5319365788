"""What the plugin costs a session that has no golden tests."""

from __future__ import annotations

import subprocess
import sys
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from project import Project

pytest_plugins = ["pytester"]


def test_a_session_without_golden_tests_imports_the_plugin_module_alone(project: Project) -> None:
    project.write("test_plain.py", "def test_plain(): pass\n")
    result = subprocess.run(
        [sys.executable, "-X", "importtime", "-m", "pytest", "-q"],
        cwd=project.path,
        check=True,
        capture_output=True,
        text=True,
    )
    modules = {line.rpartition("|")[2].strip() for line in result.stderr.splitlines()}
    assert "goldtrace.pytest_plugin" in modules
    assert {name for name in modules if name.startswith("goldtrace")} == {
        "goldtrace",
        "goldtrace.pytest_plugin",
    }
    assert not {"torch", "numpy", "rich", "xxhash"} & modules


def test_help_and_markers_tell_of_goldtrace(project: Project) -> None:
    text = project.run("--help").stdout.str()
    for option in ("--golden-update=missing", "--golden-dir", "golden_strict"):
        assert option in text
    project.run("--markers").stdout.fnmatch_lines(["@pytest.mark.golden(seed=0*"])
