"""Lines in a gzip file: what a trace holds for machines alone.

What identifies such a file is the SHA-256 of its lines, not of the compressed bytes: those depend
on the release of zlib.
"""

from __future__ import annotations

import struct
import zlib

from goldtrace.errors import GoldenError
from goldtrace.model import sealed

_HEADER = b"\x1f\x8b\x08\x00" + bytes(4) + b"\x02\xff"
"""RFC 1952: deflate, no flags, no date, smallest, no operating system."""

_LARGEST = 1 << 28  # bytes; no trace has more, but a bomb may


def compress(lines: bytes) -> bytes:
    """The lines as a gzip file without a date: the same bytes for the same lines."""
    # Most of it is digits of digests and floats, which never repeat for long.
    deflate = zlib.compressobj(9, zlib.DEFLATED, -zlib.MAX_WBITS, strategy=zlib.Z_FILTERED)
    body = deflate.compress(lines) + deflate.flush()
    return _HEADER + body + struct.pack("<II", zlib.crc32(lines), len(lines) & 0xFFFFFFFF)


def decompress(data: bytes, *, where: str) -> bytes:
    """The lines in a gzip file.

    Raises:
        GoldenError: it is damaged, or too large to be part of a trace.
    """
    # The seal is on the lines, because two releases of zlib may compress them differently; these
    # bytes are the only others.
    if not data.startswith(_HEADER):
        raise _damaged(where, f"a file that begins with {data[:10].hex()}")
    reader = zlib.decompressobj(wbits=zlib.MAX_WBITS | 16)
    try:
        lines = reader.decompress(data, _LARGEST)
    except zlib.error as error:
        raise _damaged(where, str(error)) from error
    if not reader.eof or reader.unused_data:
        raise _damaged(where, "it ends too early, or goes on after its end")
    return lines


def _damaged(where: str, found: str) -> GoldenError:
    return GoldenError(
        "the file is damaged",
        where=where,
        expected="gzip, as goldtrace writes it",
        found=found,
        hint=sealed.RESTORE,
    )
