"""Which of pytest's options the child is started with."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Mapping

    import pytest

_MODULES = "plugins"
_PATH = "$path"

# What the session has decided already, or writes itself, is off in its child: which tests run and
# in which order, files that both would write, distribution, debuggers, measuring.
_NEUTRAL: Mapping[str, Any] = {
    "allure_report_dir": None,
    "cacheclear": False,
    "cacheshow": None,
    "collectonly": False,
    "cov_source": [],
    "debug": None,
    "deselect": None,
    "dist": "no",
    "distload": False,
    "durations": None,
    "failedfirst": False,
    "file_or_dir": [],
    "htmlpath": None,
    "json_report": False,
    "keyword": "",
    "lf": False,
    "log_cli_level": None,
    "log_file": os.devnull,
    "looponfail": False,
    "loadgroup": False,
    "markexpr": "",
    "maxprocesses": None,
    "newfirst": False,
    "numprocesses": None,
    "pastebin": None,
    "px": [],
    "pyargs": False,
    "randomly_reorganize": False,
    "randomly_reset_seed": False,
    "report_log": None,
    "setupshow": False,
    "stepwise": False,
    "stepwise_reset": False,
    "stepwise_skip": False,
    "trace": False,
    "traceconfig": False,
    "tx": [],
    "usepdb": False,
    "usepdb_cls": None,
    "xmlpath": None,
}


def child_options(config: pytest.Config, *, basetemp: Path) -> dict[str, Any]:
    """The options of this session as JSON values, less what is the session's own business.

    An option whose value is no JSON value keeps its default in the child.
    """
    known = vars(config.option)
    options = {name: _packed(value) for name, value in known.items() if _is_plain(value)}
    options.update({name: value for name, value in _NEUTRAL.items() if name in known})
    return {
        **options,
        _MODULES: [],
        "basetemp": str(basetemp),
        "confcutdir": str(config.known_args_namespace.confcutdir),
        # Without a configuration file of its own the child must not find another one.
        "inifilename": str(config.inipath or os.devnull),
        "rootdir": str(config.rootpath),
        "golden_isolated": True,
    }


def child_modules(config: pytest.Config) -> list[str]:
    """The values of ``-p``, from the command line and from ``addopts``."""
    return [str(module) for module in config.option.plugins or ()]


def unpack(options: Mapping[str, Any]) -> dict[str, Any]:
    """The values that ``child_options`` packed."""
    return {
        name: Path(value[_PATH]) if isinstance(value, dict) and _PATH in value else value
        for name, value in options.items()
    }


def _is_plain(value: object) -> bool:
    if isinstance(value, Path):
        return True
    try:
        return bool(
            json.loads(json.dumps(value)) == (list(value) if isinstance(value, tuple) else value)
        )
    except (TypeError, ValueError):
        return False


def _packed(value: object) -> object:
    return {_PATH: str(value)} if isinstance(value, Path) else value
