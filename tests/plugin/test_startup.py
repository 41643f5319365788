"""What the plugin costs a session that has no golden tests."""

from __future__ import annotations

import json
import subprocess
import sys
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from project import Project

pytest_plugins = ["pytester"]

MODULES = """
import json, sys, pytest
code = pytest.main(sys.argv[1:])
print(json.dumps([code, sorted(sys.modules)]), file=sys.stderr)
"""


@pytest.mark.parametrize("arguments", [("-q",), ("--help",), ("-q", "--collect-only")])
def test_a_session_without_golden_tests_imports_the_plugin_module_alone(
    project: Project, arguments: tuple[str, ...]
) -> None:
    project.write("test_plain.py", "def test_plain(): pass\n")
    result = subprocess.run(
        [sys.executable, "-c", MODULES, *arguments],
        cwd=project.path,
        check=True,
        capture_output=True,
        text=True,
    )
    code, modules = json.loads(result.stderr)
    assert code == pytest.ExitCode.OK
    assert [name for name in modules if name.startswith("goldtrace")] == [
        "goldtrace",
        "goldtrace.pytest_plugin",
    ]
    assert not {"torch", "numpy", "rich", "xxhash"} & set(modules)


def test_help_and_markers_tell_of_goldtrace(project: Project) -> None:
    text = project.run("--help").stdout.str()
    for option in ("--golden-update=missing", "--golden-dir", "golden_strict"):
        assert option in text
    project.run("--markers").stdout.fnmatch_lines(["@pytest.mark.golden(seed=0*"])
