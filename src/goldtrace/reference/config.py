"""The ``[config]`` table of a built-in run, checked key by key."""

from __future__ import annotations

import dataclasses
import difflib
import typing
from typing import TYPE_CHECKING, Any, TypeVar

from goldtrace.errors import SpecError

if TYPE_CHECKING:
    from collections.abc import Mapping

    from _typeshed import DataclassInstance

    Config = TypeVar("Config", bound=DataclassInstance)
else:
    Config = TypeVar("Config")


def read_config(kind: type[Config], config: Mapping[str, Any], *, run: str) -> Config:
    """The table ``config`` of ``run`` as a ``kind``: a dataclass with one field for each key.

    Every field must be there and nothing else, so that ``run.toml`` shows all hyper-parameters.
    An integer may stand where a float is wanted.

    Raises:
        SpecError: a key is unknown or missing, or its value has the wrong type.
    """
    where = _where(run)
    wanted = typing.get_type_hints(kind)
    names = [field.name for field in dataclasses.fields(kind)]
    for key in config:
        if key not in names:
            near = difflib.get_close_matches(key, names, n=1)
            raise SpecError(
                f"unknown key {key!r}",
                where=where,
                expected=", ".join(sorted(names)),
                found=key,
                hint=f"did you mean {near[0]!r}?" if near else f"remove {key!r}",
            )
    missing = [name for name in names if name not in config]
    if missing:
        raise SpecError(
            f"missing key {missing[0]!r}",
            where=where,
            expected=", ".join(missing),
            found="nothing",
            hint="every hyper-parameter of a built-in run is written down",
        )
    return kind(**{name: _typed(config[name], wanted[name], name, where) for name in names})


def require(config: object, key: str, expected: str, *, holds: bool, run: str) -> None:
    """Refuse the value of ``key`` unless ``holds``.

    Raises:
        SpecError: names the key, its value and what was expected instead.
    """
    if not holds:
        raise SpecError(
            f"{key!r} cannot have this value",
            where=_where(run),
            expected=expected,
            found=repr(getattr(config, key)),
        )


def _where(run: str) -> str:
    return f"run {run!r}, [config]"


def _typed(value: Any, wanted: type, key: str, where: str) -> Any:
    # bool is a subclass of int, and `steps = true` is a mistake all the same.
    if wanted is float and type(value) is int:
        return float(value)
    if type(value) is not wanted:
        raise SpecError(
            f"wrong type for {key!r}",
            where=where,
            expected=wanted.__name__,
            found=f"{value!r} ({type(value).__name__})",
        )
    return value
