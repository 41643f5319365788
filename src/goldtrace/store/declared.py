"""Runs that people declare: ``golden/<run>/run.toml``."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

from goldtrace.errors import SpecError
from goldtrace.model.spec import RunKind, RunSpec
from goldtrace.store.names import is_name
from goldtrace.store.spec_reader import KEYS, SpecReader
from goldtrace.store.toml_lines import line_of, syntax_error

if TYPE_CHECKING:
    from collections.abc import Mapping

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib

RUN_FILE = "run.toml"


def discover(golden_dir: Path) -> list[Path]:
    """The ``run.toml`` of every declared run in a golden directory, sorted by run."""
    if not golden_dir.is_dir():
        return []
    files = (entry / RUN_FILE for entry in golden_dir.iterdir() if entry.name[:1] != ".")
    return sorted(file for file in files if file.is_file())


def load_run(path: Path) -> RunSpec:
    """The run that a ``run.toml`` declares; its name is the name of the directory.

    Raises:
        SpecError: the file can't be read, or says something that it shouldn't; the error's
            ``where`` is file and line.
    """
    shown = _shown(path)
    try:
        text = path.read_bytes().decode("utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise SpecError(
            "the run's declaration cannot be read",
            where=shown,
            expected="a TOML file in UTF-8",
            found=str(error),
        ) from error
    try:
        table = tomllib.loads(text)
    except (tomllib.TOMLDecodeError, RecursionError) as error:
        line, reason = syntax_error(text, error)
        raise SpecError("this is not TOML", where=f"{shown}:{line}", found=reason) from error
    name = path.absolute().parent.name
    if not is_name(name):
        raise SpecError(
            "the run's directory has a name that no run can have",
            where=shown,
            expected="letters, digits and _.,=+@[]-, with no leading dot or sign",
            found=ascii(name),
            hint="rename the directory",
        )
    reader = SpecReader(lambda key: f"{shown}:{line_of(text, key)}")
    reader.known((), table, KEYS)
    if "entry" not in table:
        raise SpecError(
            "the key entry is missing",
            where=f"{shown}:1",
            expected='entry = "package.module:function"',
            found=", ".join(table) or "an empty file",
        )
    values = {
        name: key.read(reader, (name,), table[name]) for name, key in KEYS.items() if name in table
    }
    return RunSpec(name=name, kind=RunKind.DECLARED, place=reader.where(("entry",)), **values)


def spec_of_test(name: str, entry: str, arguments: Mapping[str, Any], *, where: str) -> RunSpec:
    """The run that a test is, from the arguments of its ``golden`` marker.

    They mean what the keys of a ``run.toml`` mean; a tuple does for a list.

    Raises:
        SpecError: an argument that there is none of, or of another type; ``where`` names the test.
    """
    reader = SpecReader(lambda _key: where)
    keys = {name: key.read for name, key in KEYS.items() if name != "entry"}
    reader.known((), arguments, keys)
    values = {
        key: keys[key](reader, (key,), list(value) if isinstance(value, tuple) else value)
        for key, value in arguments.items()
    }
    return RunSpec(name=name, entry=entry, kind=RunKind.TEST, **values)


def _shown(path: Path) -> str:
    """The path as a reader would type it: from the current directory where it lies below."""
    try:
        return str(path.absolute().relative_to(Path.cwd()))
    except (ValueError, OSError):
        return str(path)
