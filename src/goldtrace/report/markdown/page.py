"""The Markdown face: for a job's summary, a comment on a merge request, the ledger's readers."""

from __future__ import annotations

import math
import re
from itertools import starmap
from typing import TYPE_CHECKING, Any

from goldtrace.report.document.course import largest_departures
from goldtrace.report.phrases import nothing_found, replaces_golden, ulps
from goldtrace.report.terminal.table import summary
from goldtrace.report.text import CELL, SPECIAL, clip, escaped, is_digest

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping, Sequence

_SIGNS = {
    "identical": "✅ identical",
    "rounding": "⚠️ rounding",
    "drift": "❌ drift",
    "incomparable": "❌ incomparable",
    "missing": "❌ missing",
}
_DETAILED = 20  # runs that are told in detail; a summary has a limit
_CULPRITS = 5
_CHANGES = 15
_POINTS = 60
_CODE = re.compile(r"[`|<>&@\\]")


def render_markdown(document: Mapping[str, Any]) -> str:
    """A document as one page of GitHub's and GitLab's Markdown; nothing in a name is markup."""
    parts: list[str] = []
    if "change_points" in document:
        parts += _bisection(document)
    if "runs" in document:
        parts += _runs(document["runs"])
    return "\n".join(parts) + "\n"


def _html(text: str) -> str:
    """Text within an HTML block, where Markdown's own escapes would be shown."""
    text = SPECIAL.sub(lambda found: f"&#{ord(found[1])};", clip(text, CELL))
    return text.replace("&#64;", "@\u200b").replace("&#35;", "#\u200b")


def code(text: str) -> str:
    """Text as code where that is safe everywhere, otherwise escaped."""
    text = clip(text, CELL)
    return escaped(text) if not text.strip() or _CODE.search(text) else f"`{text}`"


def _runs(runs: Sequence[Mapping[str, Any]]) -> Iterator[str]:
    yield f"### goldtrace: {summary(runs)}"
    yield ""
    if runs:
        rows = [
            (_sign(run), code(run["name"]), escaped(run["device"]), escaped(run["headline"]))
            for run in runs
        ]
        yield from _table(("", "run", "device", "finding"), rows)
    told = [run for run in runs if not run["passed"] and run["skipped"] is None]
    told += [run for run in runs if run["passed"] and run["verdict"] == "rounding"]
    for run in told[:_DETAILED]:
        yield from _detail(run)
    if len(told) > _DETAILED:
        yield f"and {len(told) - _DETAILED} more in report.html"


def _sign(run: Mapping[str, Any]) -> str:
    if run["skipped"] is not None:
        return "⏭️ skipped"
    sign = _SIGNS.get(run["verdict"] or "", "❌ error")
    return sign if run["passed"] else sign.replace("⚠️", "❌")


def _detail(run: Mapping[str, Any]) -> Iterator[str]:
    who = f"<b>{_html(run['name'])}</b> on {_html(run['device'])}: {_html(run['headline'])}"
    yield f"<details{'' if run['passed'] else ' open'}><summary>{who}</summary>"
    yield ""
    if run["error"] is not None:
        error = run["error"]
        for name in ("what", "where", "expected", "found"):
            if error.get(name):
                yield f"- {name}: {escaped(error[name])}"
        yield ""
    if run["diagnosis"] is not None:
        cause = (run["first_divergence"] or {}).get("class") or "cause unknown"
        yield f"**{escaped(cause)}**: {escaped(run['diagnosis']['sentence'])}"
        yield ""
        yield from _culprits(run["diagnosis"]["culprits"])
    if run["equivalent_ulp"]:
        yield f"The difference is as {ulps(run['equivalent_ulp'])} of noise in the gradients makes."
        yield ""
    yield from _chart(run["course"])
    changes = run["environment_changes"]
    if changes:
        yield from _table(("changed", "golden", "now"), list(map(_change, changes[:_CHANGES])))
        if len(changes) > _CHANGES:
            yield f"and {len(changes) - _CHANGES} more changes"
            yield ""
    for note in run["notes"]:
        yield f"> {escaped(note)}"
        yield ""
    if run["next"] is not None:
        accepts = replaces_golden(run["verdict"], run["next"])
        yield f"{'If meant' if accepts else 'Next'}: {code(run['next'])}"
        yield ""
    yield "</details>"
    yield ""


def _culprits(culprits: Sequence[Mapping[str, Any]]) -> Iterator[str]:
    if not culprits:
        return
    yield from _table(
        ("operator", "class", "where", "what"),
        [
            (
                code(each["op"]),
                escaped(each["class"]),
                escaped(" ".join(filter(None, (each["phase"], each["module"], each["line"])))),
                escaped(each["what"]),
            )
            for each in culprits[:_CULPRITS]
        ],
    )
    if len(culprits) > _CULPRITS:
        yield f"and {len(culprits) - _CULPRITS} more operators"
        yield ""


def _chart(course: Mapping[str, Any] | None) -> Iterator[str]:
    """The difference over the steps as a Mermaid chart, in powers of ten of an ulp."""
    values = [(step, ulp) for step, ulp in largest_departures(course) if math.isfinite(ulp)]
    if not any(value > 0 for _, value in values):
        return
    stride = math.ceil(len(values) / _POINTS)
    groups = [values[i : i + stride] for i in range(0, len(values), stride)]
    # A logarithm has no zero: what is equal is drawn as a tenth of an ulp.
    powers = [math.log10(max(0.1, *(value for _, value in group))) for group in groups]
    top = max(1, math.ceil(max(powers)))
    yield "```mermaid"
    yield "xychart-beta"
    yield '    title "difference in ulp, as a power of ten"'
    yield f'    x-axis "step" {values[0][0]} --> {max(values[-1][0], values[0][0] + 1)}'
    yield f'    y-axis "log10 ulp" -1 --> {top}'
    yield f"    line [{', '.join(f'{power:.2f}' for power in powers)}]"
    yield "```"
    yield ""


def _bisection(document: Mapping[str, Any]) -> Iterator[str]:
    yield f"### {escaped(document['target'])}: {escaped(document['question'])}"
    yield ""
    points = [
        (
            code(point["package"]),
            code(point["good"]),
            code(point["bad"]),
            escaped(point["class"] or ""),
            {True: "yes", False: "no", None: ""}[point["confirmed"]],
        )
        for point in document["change_points"]
    ]
    if points:
        yield from _table(("package", "good", "bad", "class", "confirmed"), points)
    for number, cause in enumerate(document["causes"], start=1):
        changes = ", ".join(starmap("{} {} → {}".format, map(_change, cause)))
        yield f"Cause {number}: {changes}"
        yield ""
    if not points and not document["causes"]:
        yield f"{nothing_found(document['conclusive']).capitalize()}."
        yield ""
    for note in document["notes"]:
        yield escaped(note)
        yield ""
    probes = [
        (
            str(number),
            code(probe["label"]),
            escaped(probe["answer"] or probe["standing"]),
            escaped(probe["reason"] or ""),
        )
        for number, probe in enumerate(document["probes"], start=1)
    ]
    yield from _table(("", "probe", "answer", "reason"), probes)


def _change(change: Mapping[str, Any]) -> tuple[str, str, str]:
    return escaped(change["what"]), _value(change["golden"]), _value(change["now"])


def _value(value: str | None) -> str:
    if value is None:
        return "absent"
    return code(value[:12] if is_digest(value) else value)


def _table(heads: Sequence[str], rows: Iterable[Sequence[str]]) -> Iterator[str]:
    yield f"| {' | '.join(heads)} |"
    yield f"|{' --- |' * len(heads)}"
    for row in rows:
        yield f"| {' | '.join(row)} |"
    yield ""
