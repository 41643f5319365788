"""The header of a trace as a JSON document, and back."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

from goldtrace.errors import RecordingError
from goldtrace.model import fields
from goldtrace.model.environment import Environment, Revision
from goldtrace.model.sealed import wrong_type
from goldtrace.model.trace import SCHEMA, Header

_SPECIAL = "$"
"""What marks the one-key objects that stand for floats that JSON lacks."""
_FLOAT = "$float"

_texts = fields.mapping(fields.text)


def encode_header(header: Header) -> dict[str, Any]:
    """The document of a header, its keys in the order of the alphabet.

    Raises:
        RecordingError: the header holds something that JSON cannot, or that cannot be read back.
    """
    if header.schema != SCHEMA:
        raise RecordingError(
            "only the newest format is written",
            expected=f"schema {SCHEMA}",
            found=f"schema {header.schema}",
        )
    revision = header.revision
    return {
        **({"canaries": _encode_texts(header.canaries)} if header.canaries else {}),
        **(
            {
                "conditions": {
                    when: _encode_texts(c)
                    for when, c in fields.sort_names(header.conditions).items()
                }
            }
            if header.conditions
            else {}
        ),
        "data": {
            name: _encode_texts(files) for name, files in fields.sort_names(header.data).items()
        },
        "device": fields.checked(header.device),
        "environment": {
            "accelerator": _encode_texts(header.environment.accelerator),
            "libraries": _encode_texts(header.environment.libraries),
            "packages": _encode_texts(header.environment.packages),
            "system": _encode_texts(header.environment.system),
        },
        **(
            {"loaders": [fields.checked(line) for line in header.loaders]} if header.loaders else {}
        ),
        "origin": fields.checked(header.origin),
        "pins": _encode_texts(header.pins),
        "platform": fields.checked(header.platform),
        "revision": None
        if revision is None
        else {
            "commit": fields.checked(revision.commit),
            "diff": None if revision.diff is None else fields.checked(revision.diff),
            "dirty": bool(revision.dirty),
        },
        "run": fields.checked(header.run),
        "schema": SCHEMA,
        "seeds": {name: int(seed) for name, seed in fields.sort_names(header.seeds).items()},
        "settings": _encode_setting(header.settings),
        "spec_digest": fields.checked(header.spec_digest),
        **(
            {"unportable": list(map(fields.checked, header.unportable))}
            if header.unportable
            else {}
        ),
    }


def decode_header(document: Mapping[str, Any], *, where: str) -> Header:
    """The header that ``encode_header`` wrote.

    Raises:
        GoldenError: a key is missing, or holds something else.
    """

    def get(key: str, decode: fields.Decoder[fields.T]) -> fields.T:
        return fields.required(document, key, decode, where)

    return Header(
        run=get("run", fields.text),
        device=get("device", fields.text),
        platform=get("platform", fields.text),
        origin=get("origin", fields.text),
        settings=get("settings", _decode_settings),
        spec_digest=get("spec_digest", fields.text),
        pins=get("pins", _texts),
        environment=get("environment", _decode_environment),
        seeds=get("seeds", fields.mapping(fields.integer)),
        data=get("data", fields.mapping(_texts)),
        revision=get("revision", fields.optional(_decode_revision)),
        canaries=_texts(document.get("canaries", {}), "canaries", where),
        conditions=fields.mapping(_texts)(document.get("conditions", {}), "conditions", where),
        loaders=tuple(fields.texts(document.get("loaders", []), "loaders", where)),
        unportable=tuple(fields.texts(document.get("unportable", []), "unportable", where)),
    )


def _encode_texts(mapping: Mapping[str, str]) -> dict[str, str]:
    return {key: fields.checked(value) for key, value in fields.sort_names(mapping).items()}


def _decode_environment(value: Any, key: str, where: str) -> Environment:
    parts = fields.mapping(_texts)(value, key, where)
    try:
        return Environment(**parts)
    except TypeError:
        raise wrong_type(key, "the parts of an environment", sorted(parts), where=where) from None


def _decode_revision(value: Any, key: str, where: str) -> Revision:
    if not isinstance(value, dict):
        raise wrong_type(key, "an object", value, where=where)
    return Revision(
        commit=fields.required(value, "commit", fields.text, where),
        dirty=fields.required(value, "dirty", fields.boolean, where),
        diff=fields.required(value, "diff", fields.optional(fields.text), where),
    )


def _encode_setting(value: Any) -> Any:
    if isinstance(value, str):
        return fields.checked(value)
    if isinstance(value, float) and not math.isfinite(value):
        # The payload of a NaN is lost; a configuration file has no way to write one.
        return {_FLOAT: ("-" if math.copysign(1.0, value) < 0 else "") + repr(abs(value))}
    if value is None or isinstance(value, bool | int | float):
        return value
    if isinstance(value, list | tuple):
        return [_encode_setting(item) for item in value]
    if isinstance(value, Mapping):
        return {
            (_SPECIAL + key if key.startswith(_SPECIAL) else key): _encode_setting(item)
            for key, item in fields.sort_names(value).items()
        }
    raise RecordingError(
        "a setting of the run cannot be recorded",
        expected="text, numbers, booleans, lists and tables of these",
        found=f"{value!r} ({type(value).__name__})"[:120],
    )


def _decode_settings(value: Any, key: str, where: str) -> dict[str, Any]:
    settings = _decode_setting(value, key, where)
    if not isinstance(settings, dict):
        raise wrong_type(key, "an object", value, where=where)
    return settings


def _decode_setting(value: Any, key: str, where: str) -> Any:
    if isinstance(value, list):
        return [_decode_setting(item, key, where) for item in value]
    if not isinstance(value, dict):
        return value
    if set(value) == {_FLOAT}:
        if value[_FLOAT] not in ("inf", "-inf", "nan", "-nan"):
            raise wrong_type(key, "inf or nan", value, where=where)
        return float(value[_FLOAT])
    return {
        name.removeprefix(_SPECIAL): _decode_setting(item, f"{key}.{name}", where)
        for name, item in value.items()
    }
