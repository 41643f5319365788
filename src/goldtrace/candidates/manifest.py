"""What a candidate golden says of itself: ``candidate.json``."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from goldtrace.errors import GoldenError
from goldtrace.model import fields, sealed
from goldtrace.model.calibration_codec import CALIBRATION
from goldtrace.model.codec import FILES as TRACE_FILES
from goldtrace.store.certificate import CERTIFICATE

if TYPE_CHECKING:
    from collections.abc import Mapping

MANIFEST = "candidate.json"

FOLDER = "candidates"
"""The directory of a report that holds ``<run>/<platform>/candidate.json`` and the files."""

FILES = (*TRACE_FILES, CERTIFICATE, CALIBRATION)
"""The files of a golden that a candidate brings; the ledger is written by whoever accepts it."""

SCHEMA = 1
"""The version of the manifest's format."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Manifest:
    """A candidate, and the golden that it was made to replace.

    ``base`` is the fingerprint of that golden (``GoldenStore.fingerprint``), ``None`` where the
    platform had none. ``verdict`` is the check's, ``cause`` the class of what moved it, if known,
    and ``moved`` one line about it. ``files`` maps each file to its SHA-256, ``environment`` names
    the packages and the machine for a reader; ``uncalibrated`` says why it has no calibration.
    """

    run: str
    device: str
    platform: str
    base: str | None
    verdict: str
    cause: str | None
    moved: str
    files: Mapping[str, str]
    environment: Mapping[str, str] = field(default_factory=dict)
    uncalibrated: str | None = None


def encode_manifest(manifest: Manifest) -> bytes:
    """The content of ``candidate.json``.

    Raises:
        RecordingError: a text of it cannot be written and read back.
    """
    names = ("run", "device", "platform", "base", "verdict", "cause", "moved", "uncalibrated")
    texts = {name: getattr(manifest, name) for name in names}
    document = {
        **{name: None if text is None else fields.checked(text) for name, text in texts.items()},
        "environment": fields.sort_names(manifest.environment),
        "files": fields.sort_names(manifest.files),
        "schema": SCHEMA,
    }
    return sealed.to_page(sealed.seal(document))


def decode_manifest(data: bytes, *, where: str) -> Manifest:
    """The manifest that ``encode_manifest`` wrote.

    Raises:
        GoldenError: it is damaged, too new, or names files that no golden has.
    """
    document = sealed.parse(data, where=where)
    sealed.check_schema(document, SCHEMA, where=where)
    sealed.check_seal(document, where=where)

    def get(key: str, decode: fields.Decoder[fields.T]) -> fields.T:
        return fields.required(document, key, decode, where)

    optional = fields.optional(fields.text)
    manifest = Manifest(
        run=get("run", fields.text),
        device=get("device", fields.text),
        platform=get("platform", fields.text),
        base=get("base", optional),
        verdict=get("verdict", fields.text),
        cause=get("cause", optional),
        moved=get("moved", fields.text),
        files=get("files", fields.mapping(fields.text)),
        environment=get("environment", fields.mapping(fields.text)),
        uncalibrated=get("uncalibrated", optional),
    )
    unknown = sorted(set(manifest.files) - set(FILES))
    if unknown:
        raise GoldenError(
            "the manifest names files that no golden has",
            where=where,
            expected=", ".join(FILES),
            found=", ".join(map(ascii, unknown)),
        )
    return manifest
