"""JSON documents that carry their own digest, in one canonical form.

Canonical means that a document has exactly one spelling, so the same value always gives the same
bytes, and a file that was edited by hand or by a failing disk cannot pass for one that was written.
"""

from __future__ import annotations

import hashlib
import json
from typing import TYPE_CHECKING, Any

from goldtrace.errors import GoldenError

if TYPE_CHECKING:
    from collections.abc import Mapping

DIGEST = "digest"
"""The key under which a sealed document carries the SHA-256 of the rest of itself."""

RESTORE = "restore the file from version control, or record the golden again"


def sha256(data: bytes) -> str:
    """The SHA-256 of ``data``, 64 hexadecimal digits."""
    return hashlib.sha256(data).hexdigest()


def to_line(value: Any) -> bytes:
    """``value`` as one line of compact ASCII JSON, LF included; keys stay in their order."""
    text = json.dumps(value, separators=(",", ":"), allow_nan=False)
    return text.encode("ascii") + b"\n"


def to_page(value: Any) -> bytes:
    """``value`` as indented ASCII JSON, LF at the end; keys stay in their order."""
    return json.dumps(value, indent=1, allow_nan=False).encode("ascii") + b"\n"


def parse(data: bytes, *, where: str) -> dict[str, Any]:
    """The JSON object in ``data``.

    Raises:
        GoldenError: ``data`` is not one JSON object.
    """
    if b"\r" in data:
        raise GoldenError(
            "the line endings were converted",
            where=where,
            expected="LF, as the file was written",
            found="CRLF",
            hint="put `golden/** -text` into .gitattributes and check the file out again",
        )
    if data.startswith(b"<<<<<<< ") or b"\n<<<<<<< " in data:
        raise GoldenError(
            "the file holds the marks of a merge conflict",
            where=where,
            hint="take one side with git checkout --ours or --theirs, or record the golden again",
        )
    try:
        value = json.loads(data.decode("ascii"))
    except (ValueError, RecursionError) as error:  # ValueError: also bad UTF-8 and endless integers
        raise GoldenError(
            "the file is damaged", where=where, expected="JSON", found=str(error), hint=RESTORE
        ) from error
    if not isinstance(value, dict):
        raise wrong_type("the document", "an object", value, where=where)
    return value


def seal(document: Mapping[str, Any]) -> dict[str, Any]:
    """``document`` with its digest as the last key."""
    if DIGEST in document:
        raise ValueError("a document is sealed only once")
    return {**document, DIGEST: _digest(document)}


def check_seal(document: Mapping[str, Any], *, where: str) -> None:
    """Check that a sealed document is the one that was written.

    Raises:
        GoldenError: it has no digest, or not its own.
    """
    found = document.get(DIGEST)
    content = {key: value for key, value in document.items() if key != DIGEST}
    expected = _digest(content)
    if found != expected:
        raise GoldenError(
            "the file was changed after it was written",
            where=where,
            expected=f"content with the digest {found}",
            found=f"content with the digest {expected}",
            hint=RESTORE,
        )


def check_schema(document: Mapping[str, Any], newest: int, *, where: str) -> int:
    """The schema version of a document.

    Raises:
        GoldenError: there is none, or this goldtrace is too old for it.
    """
    schema = document.get("schema")
    if type(schema) is not int or schema < 0:
        raise wrong_type("schema", "a version number", schema, where=where)
    if schema > newest:
        raise GoldenError(
            "the file was written by a newer goldtrace",
            where=where,
            expected=f"schema {newest} or older",
            found=f"schema {schema}",
            hint="upgrade goldtrace: pip install --upgrade goldtrace",
        )
    return schema


def wrong_type(key: str, expected: str, found: object, *, where: str) -> GoldenError:
    """The error for a value of the wrong type or form."""
    text = repr(found)
    return GoldenError(
        f"{key} is not what a golden holds there",
        where=where,
        expected=expected,
        found=text if len(text) <= 80 else text[:77] + "...",  # noqa: PLR2004 - one line of a screen
        hint=RESTORE,
    )


def _digest(document: Mapping[str, Any]) -> str:
    text = json.dumps(document, sort_keys=True, separators=(",", ":"), allow_nan=False)
    return sha256(text.encode("ascii"))
