"""Runs that people declare: ``golden/<run>/run.toml``."""

from __future__ import annotations

import math
import re
import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from difflib import get_close_matches
from pathlib import Path
from typing import Any, TypeVar

from goldtrace.errors import SpecError
from goldtrace.model.spec import RunKind, RunSpec
from goldtrace.model.tolerance import Tolerance
from goldtrace.store.names import is_name
from goldtrace.store.toml_lines import KeyPath, line_of, syntax_error

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib

T = TypeVar("T")

RUN_FILE = "run.toml"

DEVICES = ("cpu", "cuda")

_SEEDS = 2**32
"""Seeds that every generator takes; numpy's takes no more."""

_ENTRY = re.compile(r"[^\W\d]\w*(\.[^\W\d]\w*)*:[^\W\d]\w*(\.[^\W\d]\w*)*")

_TYPES = {
    bool: "true or false",
    int: "an integer",
    str: "a string",
    list: "a list",
    dict: "a table",
}


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
    return _Reader(lambda key: f"{shown}:{line_of(text, key)}").spec(name, table)


def spec_of_test(name: str, entry: str, arguments: Mapping[str, Any], *, where: str) -> RunSpec:
    """The run that a test is, from the arguments of its ``golden`` marker.

    They mean what the keys of a ``run.toml`` mean; a tuple does for a list.

    Raises:
        SpecError: an argument that there is none of, or of another type; ``where`` names the test.
    """
    reader = _Reader(lambda _key: where)
    keys = {key: read for key, read in _KEYS.items() if key != "entry"}
    reader.known((), arguments, keys)
    values = {
        key: keys[key](reader, (key,), list(value) if isinstance(value, tuple) else value)
        for key, value in arguments.items()
    }
    return RunSpec(name=name, entry=entry, kind=RunKind.TEST, **values)


@dataclass(frozen=True, slots=True)
class _Reader:
    """Turns the tables of a declaration into a spec; ``where`` finds the place of a key."""

    where: Callable[[KeyPath], str]

    def spec(self, name: str, table: Mapping[str, Any]) -> RunSpec:
        self.known((), table, _KEYS)
        if "entry" not in table:
            raise SpecError(
                "the key entry is missing",
                where=self.where(()),
                expected='entry = "package.module:function"',
                found=", ".join(table) or "an empty file",
            )
        values = {
            key: read(self, (key,), table[key]) for key, read in _KEYS.items() if key in table
        }
        return RunSpec(name=name, kind=RunKind.DECLARED, **values)

    def fail(
        self, key: KeyPath, expected: str, found: object, hint: str | None = None
    ) -> SpecError:
        text = repr(found)
        return SpecError(
            f"{_spell(key)} has a value that it cannot have",
            where=self.where(key),
            expected=expected,
            found=text if len(text) <= 80 else text[:77] + "...",  # noqa: PLR2004 - one line
            hint=hint,
        )

    def known(
        self, path: KeyPath, table: Mapping[str, Any], keys: Sequence[str] | Mapping[str, Any]
    ) -> None:
        for key in table:
            if key not in keys:
                close = get_close_matches(key, list(keys), n=1)
                raise SpecError(
                    f"unknown key {_spell((*path, key))}",
                    where=self.where((*path, key)),
                    expected=", ".join(keys),
                    found=key,
                    hint=f"did you mean {close[0]}?"
                    if close
                    else None
                    if path
                    else "settings of your own belong into [config]",
                )

    def of_type(self, key: KeyPath, value: Any, wanted: type[T]) -> T:
        if type(value) is not wanted:
            raise self.fail(key, _TYPES[wanted], value)
        return value

    def entry(self, key: KeyPath, value: Any) -> str:
        text = self.of_type(key, value, str)
        if not _ENTRY.fullmatch(text):
            raise self.fail(key, '"package.module:function"', text)
        return text

    def seed(self, key: KeyPath, value: Any) -> int:
        seed = self.of_type(key, value, int)
        if not 0 <= seed < _SEEDS:
            raise self.fail(key, f"0 to {_SEEDS - 1}", seed)
        return seed

    def devices(self, key: KeyPath, value: Any) -> tuple[str, ...]:
        devices = self.of_type(key, value, list)
        for device in devices:
            if device not in DEVICES:
                close = get_close_matches(str(device), DEVICES, n=1)
                hint = f'did you mean "{close[0]}"?' if close else None
                raise self.fail(key, " or ".join(DEVICES), device, hint)
        if not devices or len(set(devices)) < len(devices):
            raise self.fail(key, "one device or more, each once", devices)
        return tuple(devices)

    def profile(self, key: KeyPath, value: Any) -> str:
        return self.of_type(key, value, str)

    def flag(self, key: KeyPath, value: Any) -> bool:
        return self.of_type(key, value, bool)

    def tape(self, key: KeyPath, value: Any) -> tuple[int, ...]:
        steps = self.of_type(key, value, list)
        for step in steps:
            if type(step) is not int or step < 0:
                raise self.fail(key, "numbers of steps, from 0", step)
        return tuple(sorted(set(steps)))

    def config(self, key: KeyPath, value: Any) -> dict[str, Any]:
        table = self.of_type(key, value, dict)
        for name, item in table.items():
            self.setting((*key, name), item)
        return table

    def setting(self, key: KeyPath, value: Any) -> None:
        if isinstance(value, dict):
            for name, item in value.items():
                self.setting((*key, name), item)
        elif isinstance(value, list):
            for item in value:
                self.setting(key, item)
        elif not isinstance(value, str | int | float):
            raise self.fail(
                key, "text, numbers, booleans, lists and tables", str(value), "write it as a string"
            )

    def tolerances(self, key: KeyPath, value: Any) -> dict[str, Tolerance]:
        table = self.of_type(key, value, dict)
        return {name: self.tolerance((*key, name), item) for name, item in table.items()}

    def tolerance(self, key: KeyPath, value: Any) -> Tolerance:
        table = self.of_type(key, value, dict)
        self.known(key, table, ("rtol", "atol"))
        if not table:
            raise self.fail(key, "rtol, atol or both", table)
        return Tolerance(**{name: self.bound((*key, name), item) for name, item in table.items()})

    def bound(self, key: KeyPath, value: Any) -> float:
        if type(value) not in (int, float) or not math.isfinite(value) or value < 0:
            raise self.fail(key, "a finite number, at least 0", value)
        return float(value)


_KEYS: Mapping[str, Callable[[_Reader, KeyPath, Any], Any]] = {
    "entry": _Reader.entry,
    "seed": _Reader.seed,
    "devices": _Reader.devices,
    "profile": _Reader.profile,
    "warn_only": _Reader.flag,
    "exact": _Reader.flag,
    "tape": _Reader.tape,
    "config": _Reader.config,
    "tolerance": _Reader.tolerances,
}


def _spell(key: KeyPath) -> str:
    return ".".join(part if re.fullmatch(r"[\w-]+", part) else ascii(part) for part in key)


def _shown(path: Path) -> str:
    """The path as a reader would type it: from the current directory where it lies below."""
    try:
        return str(path.absolute().relative_to(Path.cwd()))
    except (ValueError, OSError):
        return str(path)
