"""The first steps of a declared run, in this process: ``first_steps.py FOLDER RUN STEPS OUT``.

FOLDER is a folder of goldens, RUN one of its runs. The trace goes to the folder OUT in the files of
any trace. The process is started by ``cells.py``, under an emulated CPU or not.
"""

from __future__ import annotations

import contextlib
import sys
from pathlib import Path
from typing import Any

from goldtrace.model.codec import encode_trace
from goldtrace.recording.__main__ import import_entry
from goldtrace.recording.session import recording
from goldtrace.store.declared import load_run


class Enough(Exception):  # noqa: N818 - no error
    """The steps that were asked for are done."""


class FirstSteps:
    """A run that ends after some steps; all else is the recorder's."""

    def __init__(self, run: Any, steps: int) -> None:
        self._run, self._left = run, steps

    def __getattr__(self, name: str) -> Any:
        return getattr(self._run, name)

    def step(self, **values: Any) -> None:
        self._run.step(**values)
        self._left -= 1
        if self._left == 0:
            raise Enough


def main(folder: Path, name: str, steps: int, out: Path) -> None:
    """Train and write."""
    spec = load_run(folder / name / "run.toml")
    with recording(spec, "cpu", root=Path.cwd()) as run:
        with contextlib.suppress(Enough):
            import_entry(spec)(FirstSteps(run, steps))  # type: ignore[arg-type]
        files = encode_trace(run.finish())
    for file, content in files.items():
        (out / file).write_bytes(content)


if __name__ == "__main__":
    main(Path(sys.argv[1]), sys.argv[2], int(sys.argv[3]), Path(sys.argv[4]))
