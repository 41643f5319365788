"""GitHub: workflow commands that annotate the user's lines, and the job's summary."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from goldtrace.model.verdict import Verdict
from goldtrace.report.ci.places import place_of
from goldtrace.report.markdown import render_markdown
from goldtrace.report.text import plain

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from goldtrace.report.ci.places import Place

LIMIT = 10
"""The annotations of one level that GitHub shows for a step."""

_SUMMARY = 1_000_000
"""Bytes; GitHub refuses the summary of a step above 1 MiB."""


def publish(
    document: Mapping[str, Any],
    *,
    root: Path,
    variables: Mapping[str, str],
    golden: Path | None = None,
) -> list[str]:
    """Append to the step's summary where there is one; the annotations to print, on a runner.

    A summary that can't be written is a warning among them: the verdicts stand.
    """
    summary, lines = variables.get("GITHUB_STEP_SUMMARY"), []
    if summary:
        text = render_markdown(document).encode(errors="backslashreplace")
        try:
            with Path(summary).open("a", encoding="utf-8") as stream:
                stream.write(text[:_SUMMARY].decode(errors="ignore") + "\n")
        except OSError as error:
            told = f"the summary can't be written: {plain(str(error))}"
            lines.append(f"::warning title=goldtrace::{_data(told)}")
    if variables.get("GITHUB_ACTIONS") != "true":
        return lines
    top = Path(variables.get("GITHUB_WORKSPACE") or root)
    return [*lines, *annotate(document, root=root, top=top, golden=golden)]


def annotate(
    document: Mapping[str, Any], *, root: Path, top: Path, golden: Path | None = None
) -> Iterator[str]:
    """One workflow command for each run that failed or was rounding, the failures first."""
    runs = [run for run in document["runs"] if run["skipped"] is None]
    failed = [run for run in runs if not run["passed"]]
    rounding = [run for run in runs if run["passed"] and run["verdict"] == Verdict.ROUNDING.value]
    for level, chosen in (("error", failed), ("warning", rounding)):
        for run in chosen[:LIMIT]:
            yield _command(level, run, place_of(run, root=root, top=top, golden=golden))


def _command(level: str, run: Mapping[str, Any], place: Place | None) -> str:
    properties = {"title": f"golden {run['name']} [{run['device']}]"}
    if place is not None:
        properties["file"] = place.path
        if place.line is not None:
            properties["line"] = str(place.line)
    lines = [plain(run["headline"])]
    if run["diagnosis"] is not None:
        lines.append(plain(run["diagnosis"]["sentence"]))
    if run["next"] is not None:
        lines.append(f"next: {plain(run['next'])}")
    given = ",".join(f"{name}={_property(plain(value))}" for name, value in properties.items())
    return f"::{level} {given}::{_data(chr(10).join(lines))}"


def _data(text: str) -> str:
    """As actions/toolkit escapes the message of a command."""
    return text.replace("%", "%25").replace("\r", "%0D").replace("\n", "%0A")


def _property(text: str) -> str:
    """As actions/toolkit escapes the property of a command."""
    return _data(text).replace(":", "%3A").replace(",", "%2C")
