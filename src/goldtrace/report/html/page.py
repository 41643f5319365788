"""A document as one HTML file: texts by Jinja, which escapes them, plots by scripts within it.

The page's own policy (CSP) lets nothing be fetched and no script run but those put in here, which
it names by their digests.
"""

from __future__ import annotations

import base64
import functools
import hashlib
import json
from collections import Counter
from importlib.resources import files
from typing import TYPE_CHECKING, Any

from jinja2 import Environment, FunctionLoader, StrictUndefined, select_autoescape
from markupsafe import Markup

from goldtrace.report.html.bisection import bisection_view
from goldtrace.report.html.figures import number, ruler, sparkline, state, step_words, table_rows
from goldtrace.report.phrases import nothing_found, replaces_golden, ulps
from goldtrace.report.text import plain

if TYPE_CHECKING:
    from collections.abc import Mapping

_ROOM = files("goldtrace.report.html")
_STYLES = ("vendor/uplot/uPlot.min.css", "assets/report.css")
_SCRIPTS = (
    "vendor/uplot/uPlot.iife.min.js",
    "assets/charts.js",
    "assets/ladder.js",
    "assets/page.js",
)
_DRAWN = ("name", "device", "course", "divergences", "first_divergence", "diagnosis")
_UNSAFE = {"<": "\\u003c", ">": "\\u003e", "&": "\\u0026"}


def render_html(document: Mapping[str, Any]) -> str:
    """The page of a report.json, of a bisection's JSON, or of a document that is both."""
    runs = [{"state": state(run), **run} for run in document.get("runs", ())]
    bisection = bisection_view(document) if "change_points" in document else None
    drawn = [{name: run.get(name) for name in _DRAWN} for run in runs]
    scripts = [_asset(name) for name in _SCRIPTS]
    return (
        _templates()
        .get_template("page.html")
        .render(
            title=_title(runs, bisection),
            runs=runs,
            bisection=bisection,
            counts=Counter(run["state"] for run in runs),
            styles=[Markup(_asset(name)) for name in _STYLES],  # noqa: S704 - our own files
            scripts=[Markup(script) for script in scripts],  # noqa: S704 - our own files
            policy=_policy(scripts),
            data=Markup(_embedded(drawn)),  # noqa: S704 - nothing in it ends the element
        )
    )


def _title(runs: list[dict[str, Any]], bisection: Mapping[str, Any] | None) -> str:
    if bisection is not None:
        return f"bisection of {bisection['target']}"
    worst = (
        next(
            (
                s
                for s in ("drift", "error", "missing", "incomparable", "rounding")
                if any(run["state"] == s for run in runs)
            ),
            "identical",
        )
        if runs
        else "nothing was checked"
    )
    return f"{runs[0]['name']}: {worst}" if len(runs) == 1 else f"{len(runs)} runs: {worst}"


def _embedded(value: Any) -> str:
    """JSON that may stand in a ``script`` element: ASCII, without the signs of markup."""
    text = json.dumps(value, separators=(",", ":"), allow_nan=False)
    return "".join(_UNSAFE.get(character, character) for character in text)


def _policy(scripts: list[str]) -> str:
    digests = (hashlib.sha256(script.encode()).digest() for script in scripts)
    allowed = " ".join(f"'sha256-{base64.b64encode(digest).decode()}'" for digest in digests)
    return (
        f"default-src 'none'; script-src {allowed}; style-src 'unsafe-inline'; img-src data:; "
        "base-uri 'none'; form-action 'none'"
    )


@functools.cache
def _asset(name: str) -> str:
    return _ROOM.joinpath(name).read_text(encoding="utf-8")


@functools.cache
def _templates() -> Environment:
    environment = Environment(
        loader=FunctionLoader(lambda name: _asset(f"templates/{name}")),
        autoescape=select_autoescape(default=True),
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        # Control characters and changes of direction are shown, not obeyed.
        finalize=lambda value: plain_lines(value) if type(value) is str else value,
    )
    environment.filters |= {
        "nothing_found": nothing_found,
        "number": number,
        "replaces_golden": lambda run: replaces_golden(run["verdict"], run["next"]),
        "ulps": ulps,
        "ruler": ruler,
        "sparkline": sparkline,
        "step_words": step_words,
        "table_rows": table_rows,
    }
    return environment


def plain_lines(text: str) -> str:
    """Text whose lines are kept and whose other characters are all printable."""
    return "\n".join(plain(line) for line in text.split("\n"))
