"""Who changed a golden, when and why: one line for each change, never rewritten."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from goldtrace.errors import GoldenError
from goldtrace.model import fields, sealed
from goldtrace.model.verdict import Change

if TYPE_CHECKING:
    from collections.abc import Mapping

LEDGER = "ledger.jsonl"

SCHEMA = 2
"""The version of the format of a line. Lines of version 1 lack the digest of the certificate."""


@dataclass(frozen=True, slots=True, kw_only=True)
class LedgerEntry:
    """One change of one golden.

    ``when`` is ISO 8601 in UTC; ``who`` a git identity; ``moved`` one line that says how far the
    golden moved. ``golden`` is the digest of the new golden's trace and ``previous`` that of the
    one before it; ``certificate`` is the SHA-256 of its ``certificate.json``, which seals trace and
    calibration, and is ``None`` in lines of schema 1, which say nothing of the calibration.
    ``GoldenStore.plan`` fills them in.
    """

    when: str
    who: str
    reason: str
    moved: str
    environment_changes: tuple[Change, ...] = ()
    golden: str = ""
    previous: str | None = None
    certificate: str | None = None


def encode_entry(entry: LedgerEntry) -> bytes:
    """The line of an entry: of schema 1 if it has no certificate's digest, as it was read.

    Raises:
        RecordingError: a text of it cannot be written and read back.
    """
    sealing = (
        {} if entry.certificate is None else {"certificate": fields.checked(entry.certificate)}
    )
    document = {
        "when": fields.checked(entry.when),
        "who": fields.checked(entry.who),
        "reason": fields.checked(entry.reason),
        "moved": fields.checked(entry.moved),
        "environment_changes": [_encode_change(change) for change in entry.environment_changes],
        "golden": fields.checked(entry.golden),
        "previous": None if entry.previous is None else fields.checked(entry.previous),
        **sealing,
        "schema": SCHEMA if sealing else 1,
    }
    return sealed.to_line(sealed.seal(document))


def decode_ledger(files: Mapping[str, bytes]) -> tuple[LedgerEntry, ...]:
    """The ledger among the files of a golden, oldest entry first.

    Raises:
        GoldenError: there is none, or a line of it is damaged, truncated or too new.
    """
    if not files.get(LEDGER):
        raise GoldenError(
            "the ledger is missing",
            where=LEDGER,
            expected="a line for each change of the golden",
            hint=sealed.RESTORE,
        )
    lines = files[LEDGER].splitlines(keepends=True)
    return tuple(
        _decode_entry(line, f"{LEDGER}:{number}") for number, line in enumerate(lines, start=1)
    )


def _decode_entry(line: bytes, where: str) -> LedgerEntry:
    document = sealed.parse(line, where=where)
    schema = sealed.check_schema(document, SCHEMA, where=where)
    sealed.check_seal(document, where=where)

    def get(key: str, decode: fields.Decoder[fields.T]) -> fields.T:
        return fields.required(document, key, decode, where)

    entry = LedgerEntry(
        when=get("when", fields.text),
        who=get("who", fields.text),
        reason=get("reason", fields.text),
        moved=get("moved", fields.text),
        environment_changes=get("environment_changes", _decode_changes),
        golden=get("golden", fields.text),
        previous=get("previous", fields.optional(fields.text)),
        certificate=get("certificate", fields.text) if schema > 1 else None,
    )
    if encode_entry(entry) != line:
        raise GoldenError(
            "the line is not as goldtrace writes it", where=where, hint=sealed.RESTORE
        )
    return entry


def _encode_change(change: Change) -> list[str | None]:
    values = (change.what, change.golden, change.now)
    return [None if value is None else fields.checked(value) for value in values]


def _decode_changes(value: Any, key: str, where: str) -> tuple[Change, ...]:
    if not isinstance(value, list):
        raise sealed.wrong_type(key, "a list", value, where=where)
    return tuple(_decode_change(item, key, where) for item in value)


def _decode_change(value: Any, key: str, where: str) -> Change:
    if not (
        isinstance(value, list)
        and len(value) == 3  # noqa: PLR2004 - what, golden, now
        and isinstance(value[0], str)
        and all(item is None or isinstance(item, str) for item in value)
    ):
        raise sealed.wrong_type(key, "[what, golden, now]", value, where=where)
    return Change(what=value[0], golden=value[1], now=value[2])
