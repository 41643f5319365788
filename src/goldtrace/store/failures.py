"""The traces of the latest failures, kept beside the goldens' project for ``goldtrace explain``."""

from __future__ import annotations

import contextlib
import json
import os
import secrets
import shutil
from dataclasses import dataclass
from typing import TYPE_CHECKING

from goldtrace.errors import GoldenError, StoreError
from goldtrace.model.codec import decode_trace, encode_trace, read_files
from goldtrace.model.spec import RunSpec
from goldtrace.store.names import check_name

if TYPE_CHECKING:
    from pathlib import Path

    from goldtrace.model.trace import Trace

_SPEC = "spec.json"
_GOLDEN = "golden.txt"
FOLDER = ".goldtrace"
"""The directory in a project's root for what is nobody's source; it ignores itself in git."""


@dataclass(frozen=True, slots=True)
class FailureStore:
    """One trace for each run and device whose latest check failed: ``.goldtrace/failures/…``."""

    root: Path

    @classmethod
    def beside(cls, golden_dir: Path) -> FailureStore:
        """The failures of the project whose golden directory this is."""
        return cls(golden_dir.absolute().parent)

    def keep(self, trace: Trace, spec: RunSpec, *, golden: str | None = None) -> None:
        """Keep the trace of a check that failed, and what it was judged by.

        ``golden`` is the platform of the golden, if not the trace's own. They take the place of
        an earlier failure.

        A disk that is full or not writable costs the explanation, not the check.
        """
        folder = self._folder(trace.header.run, trace.header.device)
        staged = folder.with_name(f".{folder.name}.{secrets.token_hex(4)}")
        with contextlib.suppress(OSError):
            staged.mkdir(parents=True)
            (self.root / FOLDER / ".gitignore").write_text("*\n", encoding="ascii")
            for name, content in encode_trace(trace).items():
                (staged / name).write_bytes(content)
            (staged / _SPEC).write_text(json.dumps(spec.to_json()), encoding="utf-8")
            if golden is not None:
                (staged / _GOLDEN).write_text(golden, encoding="utf-8")
            shutil.rmtree(folder, ignore_errors=True)
            os.replace(staged, folder)  # noqa: PTH105 - pathlib's says no more
        shutil.rmtree(staged, ignore_errors=True)

    def forget(self, run: str, device: str) -> None:
        """A check of this run passed: its earlier failure is history."""
        shutil.rmtree(self._folder(run, device), ignore_errors=True)

    def load(self, run: str, device: str) -> Trace | None:
        """The trace of the latest check of a run, if it failed.

        Raises:
            GoldenError: its files are damaged.
        """
        folder = self._folder(run, device)
        try:
            return decode_trace(read_files(folder)) if folder.is_dir() else None
        except OSError as error:
            # Whoever was forgetting or replacing it died halfway.
            raise _damaged("the trace of the last failure is not whole", folder, error) from error

    def spec(self, run: str, device: str) -> RunSpec | None:
        """The spec that the latest check of a run was judged by, if it failed.

        Raises:
            GoldenError: its file is damaged.
        """
        file = self._folder(run, device) / _SPEC
        try:
            return RunSpec.from_json(json.loads(file.read_text(encoding="utf-8")))
        except FileNotFoundError:
            return None
        except (OSError, ValueError, TypeError, KeyError, AttributeError) as error:
            raise _damaged("the spec of the last failure cannot be read", file, error) from error

    def golden(self, run: str, device: str) -> str | None:
        """The platform whose golden the latest failure was held against, if not its own.

        Raises:
            GoldenError: its file is damaged.
        """
        file = self._folder(run, device) / _GOLDEN
        try:
            return check_name(file.read_text(encoding="utf-8"), what="platform")
        except FileNotFoundError:
            return None
        except (OSError, UnicodeDecodeError, StoreError) as error:
            raise _damaged("the platform of the golden cannot be read", file, error) from error

    def _folder(self, run: str, device: str) -> Path:
        return self.root / FOLDER / "failures" / check_name(run, what="run") / device


def _damaged(what: str, where: Path, error: Exception) -> GoldenError:
    return GoldenError(what, where=str(where), found=str(error), hint="check this run again")
