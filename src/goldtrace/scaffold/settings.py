"""What pytest has to be told in ``pyproject.toml``: as little as possible, nothing rewritten."""

from __future__ import annotations

import shlex
from typing import TYPE_CHECKING, Any

import tomlkit
from tomlkit.exceptions import TOMLKitError

from goldtrace.errors import UsageError
from goldtrace.scaffold.change import Action, Change, read
from goldtrace.store.configured import DEFAULT, pytest_settings

if TYPE_CHECKING:
    from pathlib import Path

FILE = "pyproject.toml"
PURPOSE = "tells pytest where the goldens are"


def settings(root: Path, golden: str) -> Change:
    """The change to ``pyproject.toml``, with which ``pytest`` finds the goldens in ``golden``.

    Raises:
        UsageError: the file is not TOML.
    """
    before = read(root, FILE)
    try:
        document = tomlkit.parse(before or "")
    except TOMLKitError as error:
        raise UsageError("this is not TOML", where=FILE, found=str(error)) from error
    table = _table(document)
    other, found = pytest_settings(root) or (FILE, {})
    note: str | None = None
    if other != FILE:
        note = f"pytest reads {other}: if it sets testpaths, add {golden} to them"
        if found.get("golden_dir", DEFAULT) != golden:
            note += f"; and it has to say golden_dir = {golden}"
        return Change(path=FILE, action=Action.LEFT, purpose=PURPOSE, before=before, note=note)
    if golden != DEFAULT or before is None:
        if table is None:
            table = tomlkit.table()
            _tool(document).add("pytest", tomlkit.table(is_super_table=True))
            _tool(document)["pytest"].add("ini_options", table)
        if table.setdefault("golden_dir", golden) != golden:
            note = f"golden_dir is {table['golden_dir']!r} there, not {golden!r}"
    if table is not None and "testpaths" in table:
        table["testpaths"] = _with(table["testpaths"], golden)
    after = tomlkit.dumps(document)
    if note is not None:
        return Change(path=FILE, action=Action.LEFT, purpose=PURPOSE, before=before, note=note)
    if after == (before or ""):
        return Change(path=FILE, action=Action.UNCHANGED, purpose=PURPOSE, before=before)
    action = Action.CREATE if before is None else Action.EXTEND
    return Change(path=FILE, action=action, purpose=PURPOSE, before=before, after=after)


def _table(document: tomlkit.TOMLDocument) -> Any:
    """The table of pytest's settings: pytest 9 has one of its own beside ``ini_options``."""
    pytest = document.get("tool", {}).get("pytest")
    if pytest is None:
        return None
    return pytest.get("ini_options", pytest or None)


def _tool(document: tomlkit.TOMLDocument) -> Any:
    return document.setdefault("tool", tomlkit.table(is_super_table=True))


def _with(paths: Any, golden: str) -> Any:
    """``testpaths`` with the directory of the goldens, in the form that it has."""
    if isinstance(paths, str):
        return paths if golden in shlex.split(paths) else f"{paths} {shlex.quote(golden)}".strip()
    if golden not in paths:
        paths.append(golden)
    return paths
