"""A report with a candidate golden, without any training, and zips as the forges serve it."""

from __future__ import annotations

import io
import json
import zipfile
from pathlib import Path
from typing import TYPE_CHECKING, Any

import golden_samples as samples

from goldtrace.candidates.writing import store_candidate

if TYPE_CHECKING:
    from goldtrace.model.trace import Trace
    from goldtrace.store.golden import GoldenStore

ORIGIN = "tests/test_tiny.py::test_tiny"
MOVED = (2.5, 1.25, 0.5)


def recorded(*, losses: tuple[float, ...] = (2.5, 1.25, 0.625), **changes: Any) -> Trace:
    """A trace with a tape, whose golden has every file."""
    return samples.taped(losses=losses, origin=ORIGIN, **changes)


def propose(report: Path, store: GoldenStore, trace: Trace) -> Path:
    """Store the candidate that a failing check would."""
    plan = samples.plan(store, trace)
    folder = store_candidate(
        report, plan, trace.header, verdict="drift", cause="argument", uncalibrated=None
    )
    document = {"schema": 1, "runs": [{"candidate": {"folder": folder, "why_not": None}}]}
    (report / "report.json").write_text(json.dumps(document), encoding="utf-8")
    return report / folder


def contents(report: Path) -> dict[str, bytes]:
    files = sorted(path for path in report.rglob("*") if path.is_file())
    return {path.relative_to(report).as_posix(): path.read_bytes() for path in files}


def zipped(files: dict[str, bytes], *, compression: int = zipfile.ZIP_DEFLATED) -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", compression) as archive:
        for name, content in files.items():
            archive.writestr(name, content)
    return buffer.getvalue()


def as_github_serves(report: Path) -> bytes:
    """The report's files at the top."""
    return zipped(contents(report))


def as_gitlab_serves(report: Path) -> bytes:
    """The path of the artifact, with entries for the directories."""
    files = {f"golden-report/{name}": content for name, content in contents(report).items()}
    folders = {f"{parent.as_posix()}/" for name in files for parent in Path(name).parents[:-1]}
    return zipped({**dict.fromkeys(sorted(folders), b""), **files})
