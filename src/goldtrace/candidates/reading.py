"""The candidate goldens of a report, each proven to be the one that was stored."""

from __future__ import annotations

import json
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from goldtrace.candidates.archive import AGAIN, read_document, read_report
from goldtrace.candidates.manifest import MANIFEST, decode_manifest
from goldtrace.errors import CandidateError, GoldenError
from goldtrace.model import sealed
from goldtrace.model.calibration_codec import CALIBRATION, decode_calibration
from goldtrace.model.codec import decode_trace, trace_digest
from goldtrace.report.document import REPORT
from goldtrace.store.certificate import Certificate, decode_certificate

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Mapping
    from pathlib import Path

    from goldtrace.candidates.manifest import Manifest
    from goldtrace.model.calibration import Calibration
    from goldtrace.model.trace import Trace


@dataclass(frozen=True, slots=True, kw_only=True)
class Candidate:
    """A golden that is proposed: read, and found whole."""

    manifest: Manifest
    trace: Trace
    certificate: Certificate
    calibration: Calibration | None


def read_candidates(path: Path) -> list[Candidate]:
    """Every candidate of a report, by run and platform.

    Raises:
        CandidateError: the report cannot be read or does not name a candidate, or one is not as it
            was stored.
    """
    folders: dict[str, dict[str, bytes]] = {}
    for name, content in read_report(path).items():
        folder, _, file = name.rpartition("/")
        folders.setdefault(folder, {})[file] = content
    found = [_read(folder, folders[folder], path) for folder in sorted(folders)]
    [top] = {"/".join(folder.split("/")[:-3]) for folder in folders}
    _require_named(folders, _named(path, top), path)
    return found


def _named(path: Path, top: str) -> set[str]:
    """The folders of the candidates that the report's own document speaks of."""
    name = f"{top}/{REPORT}".lstrip("/")
    content = read_document(path, name)
    try:
        runs = json.loads(content or b"")["runs"]
        return {
            f"{top}/{run['candidate']['folder']}".lstrip("/")
            for run in runs
            if run.get("candidate") is not None
        }
    except (ValueError, RecursionError, KeyError, TypeError, AttributeError) as error:
        raise CandidateError(
            "the report's document is needed, to tell its candidates from those of earlier checks",
            where=f"{path}: {name}",
            expected="what the check that failed wrote",
            found="no such file" if content is None else "something else",
            hint=AGAIN,
        ) from error


def _require_named(folders: Iterable[str], named: Collection[str], path: Path) -> None:
    for folder in sorted(folders):
        if folder not in named:
            raise CandidateError(
                "a candidate that the report does not speak of: an earlier check, or one that was "
                "interrupted, has left it",
                where=f"{path}: {folder}",
                expected=", ".join(sorted(named)) or "none",
                hint="check again",
            )


def _read(folder: str, files: Mapping[str, bytes], path: Path) -> Candidate:
    if MANIFEST not in files:
        raise CandidateError(
            "a candidate without its manifest",
            where=f"{path}: {folder}",
            expected=MANIFEST,
            found=", ".join(sorted(files)),
            hint=AGAIN,
        )
    try:
        manifest = decode_manifest(files[MANIFEST], where=MANIFEST)
        found = {name: sealed.sha256(files[name]) for name in files if name != MANIFEST}
        for name in sorted({*manifest.files, *found}):
            expected = manifest.files.get(name, "no such file")
            _require(f"digest of {name}", expected, found.get(name, "no such file"))
        trace, certificate = decode_trace(files), decode_certificate(files)
        _require("certificate", certificate.digest, trace_digest(files))
        header = trace.header
        _require("platform", header.platform, manifest.platform)
        _require("run", header.run, manifest.run)
        _require("device", header.device, manifest.device)
        _require("folder", f"{header.run}/{header.platform}", "/".join(folder.split("/")[-2:]))
        calibration = None
        if CALIBRATION in files or certificate.calibration is not None:
            seal = sealed.sha256(files[CALIBRATION]) if CALIBRATION in files else "no file"
            _require("calibration", certificate.calibration or "none", seal)
            calibration = decode_calibration(files[CALIBRATION])
            _require("golden of the calibration", trace_digest(files), calibration.golden)
    except GoldenError as error:
        raise CandidateError(
            error.what,
            where=f"{path}: {folder}/{error.where}",
            expected=error.expected,
            found=error.found,
            hint=AGAIN,
        ) from error
    # As the newest schema names the trace: what was proven is of the schema that it came in.
    proven = Certificate.of(trace, processes=certificate.processes)
    if calibration is not None:
        calibration = replace(calibration, golden=proven.digest)
    return Candidate(manifest=manifest, trace=trace, certificate=proven, calibration=calibration)


def _require(what: str, expected: str, found: str) -> None:
    if expected != found:
        raise GoldenError(
            f"the {what} does not belong to this candidate",
            where=MANIFEST,
            expected=expected,
            found=found,
        )
