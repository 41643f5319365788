"""A report directory: every face of one document that is a file."""

from __future__ import annotations

import errno
import json
import os
from pathlib import Path
from typing import TYPE_CHECKING, Any

from goldtrace.errors import UsageError
from goldtrace.report.ci import code_quality, metrics
from goldtrace.report.document import REPORT, dump_document
from goldtrace.report.html import render_html
from goldtrace.report.markdown import render_markdown
from goldtrace.report.writing import replace_text

if TYPE_CHECKING:
    from collections.abc import Mapping

_LATER: Mapping[str, Any] = {
    "origin": None,
    "line": None,
    "course": None,
    "candidate": None,
    "checklist": [],
    "next": None,
}
"""What the first release that wrote schema 1 did not write yet."""

_NULL = type(None)
_FIELDS: Mapping[str, tuple[type, ...]] = {
    **dict.fromkeys(("name", "device", "headline"), (str,)),
    **dict.fromkeys(("platform", "verdict", "skipped", "hint", "next"), (str, _NULL)),
    **dict.fromkeys(("origin", "line"), (str, _NULL)),
    **dict.fromkeys(("exact", "passed"), (bool,)),
    **dict.fromkeys(("equivalent_ulp", "seconds"), (int, float, _NULL)),
    **dict.fromkeys(("first_divergence", "diagnosis", "course"), (dict, _NULL)),
    **dict.fromkeys(("error", "candidate"), (dict, _NULL)),
    **dict.fromkeys(("environment_changes", "divergences", "notes"), (list,)),
    **dict.fromkeys(("equivalents", "checklist"), (list,)),
    "steps_compared": (int,),
}
"""The fields of a run, as docs/reference/report.schema.json has them, and what each may be."""


def report_files(
    document: Mapping[str, Any], *, root: Path, top: Path | None = None, golden: Path | None = None
) -> dict[str, str]:
    """Name and text of each file; ``root`` is the project's directory, for places in its code.

    ``top`` is the repository's, which contains it, by default the same; ``golden`` that of the
    goldens, by default in it.
    """
    quality = code_quality(document, root=root, top=top, golden=golden)
    return {
        REPORT: dump_document(dict(document)),
        "report.html": render_html(document),
        "report.md": render_markdown(document),
        "gitlab-metrics.txt": metrics(document),
        "gitlab-codequality.json": json.dumps(quality, indent=2) + "\n",
    }


def write_report(
    folder: Path, document: Mapping[str, Any], *, root: Path, golden: Path | None = None
) -> None:
    """Write every face into ``folder``, report.json first, each at once; the folder is made.

    Raises:
        UsageError: it can't be written.
    """
    files = report_files(document, root=root, top=_repository(root), golden=golden)
    make_folder(folder)
    try:
        for name, text in files.items():
            replace_text(folder / name, text)
    except OSError as error:
        raise _unwritable(folder, error) from error


def _repository(root: Path) -> Path:
    """The checkout that a job of GitLab works in, if the project is in it."""
    given = os.environ.get("CI_PROJECT_DIR")
    inside = bool(given) and root.resolve().is_relative_to(Path(given or "").resolve())
    return Path(given) if given and inside else root


def make_folder(folder: Path) -> None:
    """Make a report's directory, which may be there.

    Raises:
        UsageError: it can't be made, or not be written to.
    """
    try:
        folder.mkdir(parents=True, exist_ok=True)
        if not os.access(folder, os.W_OK | os.X_OK):
            raise PermissionError(errno.EACCES, os.strerror(errno.EACCES))
    except OSError as error:
        raise _unwritable(folder, error) from error


def _unwritable(folder: Path, error: OSError) -> UsageError:
    return UsageError(
        "the report can't be written",
        where=str(folder),
        expected="a directory that can be written to",
        found=error.strerror,
    )


def read_document(path: Path) -> dict[str, Any]:
    """The document in a file, or in the ``report.json`` of a directory.

    Raises:
        UsageError: there is none, or it is of another format.
    """
    file = path / REPORT if path.is_dir() else path
    try:
        text = file.read_text(encoding="utf-8")
        document: Any = json.loads(text, parse_constant=_no_number)
    except OSError as error:
        raise UsageError(
            "no report here",
            where=str(file),
            expected="report.json, or what bisect --json wrote",
            found=error.strerror,
        ) from error
    except (ValueError, RecursionError) as error:
        raise UsageError("no JSON", where=str(file), found=str(error)) from error
    known = isinstance(document, dict) and ("runs" in document or "change_points" in document)
    known = known and all(
        isinstance(document.get(name, []), list)
        and all(isinstance(each, dict) for each in document.get(name, ()))
        for name in ("runs", "change_points")
    )
    if not known or document.get("schema") != 1:
        found = f"schema {document.get('schema')!r}" if known else "something else"
        raise UsageError(
            "this file is no report",
            where=str(file),
            expected="a document of schema 1 with runs or change_points",
            found=found,
            hint="goldtrace check --report DIR",
        )
    if "runs" in document:
        document["runs"] = [
            {**_LATER, "headline": run.get("verdict") or "error", **run} for run in document["runs"]
        ]
        for number, run in enumerate(document["runs"]):
            _require_fields(run, f"{file}: runs[{number}]")
    return dict(document)


def _no_number(name: str) -> None:
    raise ValueError(f"{name} is no number of JSON")


def _require_fields(run: Mapping[str, Any], where: str) -> None:
    for name, kinds in _FIELDS.items():
        value = run.get(name, ...)
        # A bool is an int for Python alone.
        if not isinstance(value, kinds) or (isinstance(value, bool) and bool not in kinds):
            raise UsageError(
                "this report lacks what a page shows",
                where=f"{where}.{name}",
                expected=" or ".join("null" if k is type(None) else k.__name__ for k in kinds),
                found="nothing" if value is ... else type(value).__name__,
                hint="goldtrace check --report DIR",
            )
