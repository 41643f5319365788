"""The packages import downwards only, and torch stays where it belongs."""

from __future__ import annotations

import ast
import shutil
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from collections.abc import Iterator

ROOT = Path(__file__).parents[2]
PACKAGE = ROOT / "src" / "goldtrace"
MODULES = sorted(PACKAGE.rglob("*.py"))
HEAVY = {"torch", "torchvision", "torcheval", "numpy"}
MAY_IMPORT_TORCH = {"recording", "reference", "universal"}
MAY_IMPORT_TORCH_IN_FUNCTIONS = MAY_IMPORT_TORCH | {"determinism", "override"}


def imports(tree: ast.AST, *, inside_functions: bool) -> Iterator[str]:
    """The packages that a module imports when it runs (not for its annotations)."""
    for node in ast.iter_child_nodes(tree):
        match node:
            case ast.Import():
                yield from (alias.name.partition(".")[0] for alias in node.names)
            case ast.ImportFrom(level=0, module=str(module)):
                yield module.partition(".")[0]
            case ast.If(test=ast.Name(id="TYPE_CHECKING"), orelse=orelse):
                for alternative in orelse:
                    yield from imports(alternative, inside_functions=inside_functions)
            case ast.FunctionDef() | ast.AsyncFunctionDef() | ast.Lambda():
                if inside_functions:
                    yield from imports(node, inside_functions=True)
            case _:
                yield from imports(node, inside_functions=inside_functions)


def part_of(path: Path) -> str:
    return path.relative_to(PACKAGE).parts[0].removesuffix(".py")


def test_imports_go_down_only() -> None:
    command = shutil.which("lint-imports", path=str(Path(sys.executable).parent))
    assert command is not None, "import-linter is part of the development environment"
    result = subprocess.run(
        [command, "--no-cache"], cwd=ROOT, capture_output=True, text=True, check=False
    )
    assert result.returncode == 0, result.stdout + result.stderr


def importers(packages: set[str], *, inside_functions: bool, except_in: set[str]) -> list[str]:
    return [
        path.relative_to(PACKAGE).as_posix()
        for path in MODULES
        if part_of(path) not in except_in
        and packages
        & set(
            imports(ast.parse(path.read_text(encoding="utf-8")), inside_functions=inside_functions)
        )
    ]


def test_torch_and_numpy_are_imported_only_where_tensors_are_handled() -> None:
    assert importers(HEAVY, inside_functions=False, except_in=MAY_IMPORT_TORCH) == []


def test_torch_and_numpy_are_imported_inside_functions_only_to_pin_them() -> None:
    assert importers(HEAVY, inside_functions=True, except_in=MAY_IMPORT_TORCH_IN_FUNCTIONS) == []


@pytest.mark.parametrize(
    "module",
    ["goldtrace", "goldtrace.pytest_plugin", "goldtrace.cli", "goldtrace.workflow.checking"],
)
def test_the_parent_process_never_imports_torch_or_numpy(module: str) -> None:
    code = f"import sys, {module}; print(sorted({HEAVY!r} & set(sys.modules)))"
    result = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=False
    )
    assert result.stdout.strip() == "[]", result.stderr


def test_no_module_is_longer_than_a_reader_can_hold() -> None:
    lengths = {path.name: len(path.read_text(encoding="utf-8").splitlines()) for path in MODULES}
    assert {name: length for name, length in lengths.items() if length > 400} == {}


def test_nothing_unpickles() -> None:
    unsafe = {"pickle", "dill", "cloudpickle", "marshal", "shelve"}
    assert importers(unsafe, inside_functions=True, except_in=set()) == []
