"""The proof that a golden was repeatable when it was recorded."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from goldtrace.errors import GoldenError
from goldtrace.model import fields, sealed
from goldtrace.model.codec import encode_trace, trace_digest

if TYPE_CHECKING:
    from collections.abc import Mapping

    from goldtrace.model.trace import Trace

CERTIFICATE = "certificate.json"

SCHEMA = 1
"""The version of the certificate's format."""

FEWEST = 2
"""Processes below which there is nothing to agree."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Certificate:
    """``processes`` fresh processes left the trace whose ``trace_digest`` is ``digest``.

    ``calibration`` is the SHA-256 of the golden's ``calibration.json``, if it has one.
    """

    processes: int
    digest: str
    calibration: str | None = None

    @classmethod
    def of(cls, trace: Trace, *, processes: int) -> Certificate:
        """The certificate of a trace that so many processes agreed upon."""
        return cls(processes=processes, digest=trace_digest(encode_trace(trace)))


def encode_certificate(certificate: Certificate) -> bytes:
    """The content of ``certificate.json``."""
    measured = {} if certificate.calibration is None else {"calibration": certificate.calibration}
    return sealed.to_page(
        sealed.seal(
            {
                **measured,
                "processes": certificate.processes,
                "schema": SCHEMA,
                "trace": certificate.digest,
            }
        )
    )


def decode_certificate(files: Mapping[str, bytes]) -> Certificate:
    """The certificate among the files of a golden.

    Raises:
        GoldenError: there is none, or it is damaged or too new.
    """
    where = CERTIFICATE
    if where not in files:
        raise GoldenError("the file is missing", where=where, hint=sealed.RESTORE)
    document = sealed.parse(files[where], where=where)
    sealed.check_schema(document, SCHEMA, where=where)
    sealed.check_seal(document, where=where)
    certificate = Certificate(
        processes=fields.required(document, "processes", fields.integer, where),
        digest=fields.required(document, "trace", fields.text, where),
        calibration=fields.required(document, "calibration", fields.text, where)
        if "calibration" in document
        else None,
    )
    if encode_certificate(certificate) != files[where]:
        raise GoldenError(
            "the file is not as goldtrace writes it", where=where, hint=sealed.RESTORE
        )
    return certificate
