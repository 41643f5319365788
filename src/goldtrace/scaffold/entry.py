"""The training function that a run is made of, found in its source: importing it may be costly."""

from __future__ import annotations

import ast
import re
import sys
from dataclasses import dataclass
from importlib.machinery import PathFinder
from pathlib import Path
from typing import TYPE_CHECKING, Any

from goldtrace.errors import EntryPointError

if TYPE_CHECKING:
    from collections.abc import Iterator

_ENTRY = re.compile(r"[^\W\d]\w*(\.[^\W\d]\w*)*:[^\W\d]\w*")

_EXAMPLE = "goldtrace init mypackage.training:train"


@dataclass(frozen=True, slots=True, kw_only=True)
class Entry:
    """A function ``package.module:function`` that takes the run.

    ``config`` holds the settings that it reads from ``run.config`` and their defaults, ``None``
    where it has none. ``calls`` are the methods of the run that it calls itself. ``importable``
    tells whether a process that starts in the repository finds the module.
    """

    text: str
    path: Path
    config: dict[str, Any]
    calls: frozenset[str]
    importable: bool

    @property
    def run_name(self) -> str:
        """What the run is called unless told otherwise: its module, and its function."""
        module, _, function = self.text.partition(":")
        last = module.rpartition(".")[2]
        return last if function == "train" else f"{last}-{function}"


def find_entry(text: str, root: Path) -> Entry:
    """The function that ``text`` names, looked up in ``root``, ``root/src`` and where Python looks.

    Raises:
        EntryPointError: no such module or function, or one that can't be called with the run alone.
    """
    if not _ENTRY.fullmatch(text):
        raise EntryPointError(
            "this names no training function",
            expected="package.module:function",
            found=text,
            hint=_EXAMPLE,
        )
    module, _, name = text.partition(":")
    paths = [str(root), *(p for p in sys.path if p)]
    path = _source(module, paths)
    importable = path is not None
    path = path or _source(module, [str(root / "src")])
    if path is None:
        raise EntryPointError(
            f"there is no module {module!r}",
            where=str(root),
            expected=f"{module.replace('.', '/')}.py here, in src/ or installed",
            found="nothing of that name",
            hint=_EXAMPLE,
        )
    function = _function(path, name)
    parameter = _parameter(function, path)
    return Entry(
        text=text,
        path=path,
        config=dict(_settings(function, parameter)),
        calls=frozenset(_calls(function, parameter)),
        importable=importable,
    )


def _source(module: str, paths: list[str]) -> Path | None:
    """The module's file, found part by part, because ``find_spec`` would import its packages."""
    places: list[str] | None = paths
    spec = None
    for part in module.split("."):
        # No path at all, as below a module that is no package, would mean sys.path.
        spec = PathFinder.find_spec(part, places) if places else None
        if spec is None:
            return None
        places = list(spec.submodule_search_locations or ())
    origin = spec.origin if spec is not None and spec.has_location else None
    return Path(origin) if origin is not None and origin.endswith(".py") else None


def _function(path: Path, name: str) -> ast.FunctionDef:
    try:
        tree = ast.parse(path.read_bytes(), filename=str(path))
    except (SyntaxError, ValueError) as error:
        raise EntryPointError(
            "the module can't be parsed", where=str(path), found=str(error)
        ) from error
    functions = {node.name: node for node in tree.body if isinstance(node, ast.FunctionDef)}
    if name not in functions:
        raise EntryPointError(
            f"there is no function {name!r}",
            where=str(path),
            expected=f"def {name}(run) at the top level of the module",
            found=", ".join(functions) or "no function",
        )
    return functions[name]


def _parameter(function: ast.FunctionDef, path: Path) -> str:
    """The name by which the function knows the run, its only necessary argument."""
    given = function.args
    positional = [*given.posonlyargs, *given.args]
    necessary = max(0, len(positional) - len(given.defaults))
    keywords = [default for default in given.kw_defaults if default is None]
    if not positional or necessary > 1 or keywords:
        raise EntryPointError(
            f"{function.name} can't be called with the run alone",
            where=f"{path}:{function.lineno}",
            expected=f"def {function.name}(run)",
            found=f"def {function.name}({ast.unparse(given)})",
            hint="let it take the run, and read its settings from run.config",
        )
    return positional[0].arg


def _settings(function: ast.FunctionDef, parameter: str) -> Iterator[tuple[str, Any]]:
    """``run.config["name"]`` and ``run.config.get("name", default)``, in order."""
    config = f"{parameter}.config"
    nodes = [node for node in ast.walk(function) if isinstance(node, ast.Subscript | ast.Call)]
    for node in sorted(nodes, key=lambda node: (node.lineno, node.col_offset)):
        if isinstance(node, ast.Subscript) and ast.unparse(node.value) == config:
            key, default = node.slice, None
        elif isinstance(node, ast.Call) and ast.unparse(node.func) == f"{config}.get" and node.args:
            key, default = node.args[0], node.args[1] if len(node.args) > 1 else None
        else:
            continue
        if isinstance(key, ast.Constant) and isinstance(key.value, str):
            yield key.value, _literal(default)


def _literal(node: ast.expr | None) -> Any:
    try:
        return None if node is None else ast.literal_eval(node)
    except ValueError:
        return None


def _calls(function: ast.FunctionDef, parameter: str) -> Iterator[str]:
    for node in ast.walk(function):
        called = node.func if isinstance(node, ast.Call) else None
        if isinstance(called, ast.Attribute) and ast.unparse(called.value) == parameter:
            yield called.attr
