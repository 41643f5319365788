"""Where the goldens are when nobody says it: what pytest's settings have as ``golden_dir``."""

from __future__ import annotations

import sys
from configparser import ConfigParser
from configparser import Error as IniError
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib

DEFAULT = "golden"

# In the order in which pytest looks. What is pytest's alone counts even without settings in it.
_ALONE = ("pytest.toml", ".pytest.toml", "pytest.ini", ".pytest.ini")
_SECTIONS = {
    **dict.fromkeys(_ALONE, "pytest"),
    "pyproject.toml": "tool.pytest",
    "tox.ini": "pytest",
    "setup.cfg": "tool:pytest",
}


def configured_golden_dir(root: Path) -> str:
    """The ``golden_dir`` of pytest's settings in ``root``, relative to it; ``golden`` if unset."""
    _, settings = pytest_settings(root) or ("", {})
    found = settings.get("golden_dir")
    return found if found and isinstance(found, str) else DEFAULT


def pytest_settings(root: Path) -> tuple[str, Mapping[str, Any]] | None:
    """The name of the file in ``root`` that pytest takes its settings from, and what it says.

    A file that can't be read or parsed is passed over: pytest says what is wrong with it.
    """
    for name, section in _SECTIONS.items():
        try:
            text = (root / name).read_text(encoding="utf-8")
        except (OSError, UnicodeDecodeError):
            continue
        table = _toml(text, section) if name.endswith(".toml") else _ini(text, section)
        if table is not None or name in _ALONE:
            return name, table or {}
    return None


def _toml(text: str, section: str) -> Mapping[str, Any] | None:
    try:
        table: Any = tomllib.loads(text)
    except tomllib.TOMLDecodeError:
        return None
    for key in section.split("."):
        table = table.get(key) if isinstance(table, dict) else None
    if not isinstance(table, dict) or not table:
        return None
    # pytest 9 has a table of its own beside ini_options.
    older = table.get("ini_options")
    return older if isinstance(older, dict) else table


def _ini(text: str, section: str) -> Mapping[str, Any] | None:
    parser = ConfigParser(interpolation=None)
    try:
        parser.read_string(text)
    except IniError:
        return None
    return dict(parser[section]) if parser.has_section(section) else None
