"""Typed access to the fields of a decoded JSON document."""

from __future__ import annotations

import math
import re
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, TypeVar

from goldtrace.errors import GoldenError, RecordingError
from goldtrace.model.scalar import Scalar
from goldtrace.model.sealed import RESTORE, wrong_type
from goldtrace.model.verdict import Rung

if TYPE_CHECKING:
    from collections.abc import Mapping

T = TypeVar("T")

Decoder = Callable[[Any, str, str], T]
"""Turns a JSON value into a model value, given the value, its key and its file with line."""


def required(document: Mapping[str, Any], key: str, decode: Decoder[T], where: str) -> T:
    """The decoded value of ``key``.

    Raises:
        GoldenError: there is no such key, or its value is not what ``decode`` takes.
    """
    if key not in document:
        raise GoldenError(
            f"the key {key} is missing",
            where=where,
            expected=key,
            found=", ".join(sorted(map(ascii, document))) or "no keys",
            hint=RESTORE,
        )
    return decode(document[key], key, where)


def text(value: Any, key: str, where: str) -> str:
    """A string."""
    if not isinstance(value, str):
        raise wrong_type(key, "text", value, where=where)
    return value


def texts(value: Any, key: str, where: str) -> list[str]:
    """A list of strings."""
    if not isinstance(value, list):
        raise wrong_type(key, "a list of texts", value, where=where)
    return [text(item, key, where) for item in value]


def integer(value: Any, key: str, where: str) -> int:
    """An integer that is no boolean."""
    if type(value) is not int:
        raise wrong_type(key, "an integer", value, where=where)
    return value


def boolean(value: Any, key: str, where: str) -> bool:
    """True or false."""
    if not isinstance(value, bool):
        raise wrong_type(key, "true or false", value, where=where)
    return value


def anything(value: Any, _key: str, _where: str) -> Any:
    """Whatever is there."""
    return value


def optional(decode: Decoder[T]) -> Decoder[T | None]:
    """``null``, or what ``decode`` takes."""
    return lambda value, key, where: None if value is None else decode(value, key, where)


def mapping(decode: Decoder[T]) -> Decoder[dict[str, T]]:
    """An object whose values ``decode`` takes."""

    def decode_all(value: Any, key: str, where: str) -> dict[str, T]:
        if not isinstance(value, dict):
            raise wrong_type(key, "an object", value, where=where)
        return {name: decode(item, f"{key}.{name}", where) for name, item in value.items()}

    return decode_all


def by_rung(decode: Decoder[T]) -> Decoder[dict[Rung, T]]:
    """An object whose keys are rungs and whose values ``decode`` takes."""

    def decode_all(value: Any, key: str, where: str) -> dict[Rung, T]:
        return {
            _rung(name, key, where): item
            for name, item in mapping(decode)(value, key, where).items()
        }

    return decode_all


def sort_rungs(mapping: Mapping[Rung, T]) -> dict[str, T]:
    """The mapping by the names of the rungs, in the order of the ladder."""
    return {rung.value: mapping[rung] for rung in sorted(mapping, key=lambda rung: rung.order)}


def sort_names(mapping: Mapping[str, T]) -> dict[str, T]:
    """The mapping in the order of its keys, all of which can be written and read back.

    Raises:
        RecordingError: a key is no text, or has a surrogate without its other half.
    """
    return {checked(key): mapping[key] for key in sorted(mapping)}


def checked(value: str) -> str:
    """``value``, if it can be written and read back as it is.

    Raises:
        RecordingError: it is no text, or text with lone surrogates.
    """
    if not isinstance(value, str):
        raise RecordingError(
            "a trace holds only text here", expected="a str", found=ascii(value)[:80]
        )
    if not value.isascii() and any("\ud800" <= character <= "\udfff" for character in value):
        # Two lone surrogates in a row would come back as one other character.
        raise RecordingError(
            "text with a lone surrogate cannot be recorded",
            expected="Unicode text",
            found=ascii(value)[:80],
            hint="give it a name that can be encoded as UTF-8",
        )
    return value


def _rung(name: str, key: str, where: str) -> Rung:
    try:
        return Rung(name)
    except ValueError:
        raise wrong_type(key, "rungs: " + ", ".join(Rung), name, where=where) from None


def encode_scalar(scalar: Scalar) -> list[Any]:
    """``[decimal, exact, dtype]``; the decimal has as many digits as the format can tell apart.

    Raises:
        RecordingError: ``exact`` is not the spelling that ``Scalar`` documents.
    """
    try:
        decimal = _decimal(scalar)
    except (ValueError, OverflowError) as error:
        raise RecordingError(
            "a number that cannot be recorded", found=repr(scalar)[:120]
        ) from error
    return [decimal, scalar.exact, checked(scalar.dtype)]


def scalar(value: Any, key: str, where: str) -> Scalar:
    """A number as ``encode_scalar`` writes it."""
    if not (
        isinstance(value, list)
        and len(value) == 3  # noqa: PLR2004 - decimal, exact, dtype
        and isinstance(value[1], str)
        and isinstance(value[2], str)
    ):
        raise wrong_type(key, "[decimal, exact, dtype]", value, where=where)
    result = Scalar(value[1], value[2])
    try:
        decimal = _decimal(result)
    except (ValueError, OverflowError):
        raise wrong_type(key, "an exact number", value, where=where) from None
    if repr(decimal) != repr(value[0]):
        raise wrong_type(key, f"the decimal {decimal} of {value[1]}", value[0], where=where)
    return result


_DIGITS = {"float64": 17, "float32": 9, "float16": 5, "bfloat16": 4}
"""Significant decimal digits that tell any two numbers of a format apart."""

_NAN = re.compile(r"nan:[7f]ff[0-9a-f]{13}")
_INFINITE = ("nan:7ff0000000000000", "nan:fff0000000000000")


def _decimal(scalar: Scalar) -> float | int | str:
    """What a reader is shown; a ``ValueError`` if ``exact`` is not spelled as documented."""
    exact = scalar.exact
    if scalar.is_nan:
        if not _NAN.fullmatch(exact) or exact in _INFINITE:
            raise ValueError(exact)
        return "nan"
    value = scalar.value
    if scalar.dtype in _DIGITS:
        if value.hex() != exact:
            raise ValueError(exact)
        return float(f"{value:.{_DIGITS[scalar.dtype]}g}") if math.isfinite(value) else repr(value)
    if str(int(exact)) != exact:
        raise ValueError(exact)
    return int(exact)
