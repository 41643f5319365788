"""A file that is replaced as a whole: whoever reads it finds the old text or the new one."""

from __future__ import annotations

import os
import secrets
import shutil
from contextlib import suppress
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pathlib import Path


def replace_text(path: Path, text: str) -> None:
    """Write ``text`` in the place of ``path``, all or nothing; its directory is made.

    What UTF-8 has no bytes for is written as its Python escape. A pipe or a device is written to.

    Raises:
        OSError: it can't be written, and holds what it held.
    """
    content = text.encode("utf-8", errors="backslashreplace")
    path.parent.mkdir(parents=True, exist_ok=True)
    if path.exists() and not path.is_file() and not path.is_dir():
        path.write_bytes(content)
        return
    path = path.resolve()  # A link stays a link.
    staged = path.with_name(f".goldtrace-{secrets.token_hex(4)}")
    try:
        staged.write_bytes(content)
        with suppress(FileNotFoundError):
            shutil.copymode(path, staged)
        os.replace(staged, path)  # noqa: PTH105 - pathlib's says no more
    except BaseException:
        staged.unlink(missing_ok=True)
        raise
