"""GitLab: the metrics report and the code quality report of a merge request."""

from __future__ import annotations

import hashlib
from typing import TYPE_CHECKING, Any

from goldtrace.report.ci.places import place_of
from goldtrace.report.text import plain

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from pathlib import Path

_SEVERITIES = {"rounding": "minor", "drift": "critical", "missing": "major"}
_GAUGES = (
    ("goldtrace_passed", "Whether the run is as its golden says."),
    ("goldtrace_equivalent_ulp", "Noise in the gradients that would explain the difference."),
    ("goldtrace_steps_compared", "Training steps held against the golden's."),
    ("goldtrace_last_loss", "The loss of the last step."),
    ("goldtrace_seconds", "How long the run took."),
)


def metrics(document: Mapping[str, Any]) -> str:
    """The report as OpenMetrics text: ``artifacts: reports: metrics``."""
    lines = []
    for name, text in _GAUGES:
        lines += [f"# TYPE {name} gauge", f"# HELP {name} {text}"]
        for run in document["runs"]:
            value = _figures(run).get(name)
            if value is not None:
                labels = {"run": run["name"], "device": run["device"]}
                shown = ",".join(f'{key}="{_label(plain(v))}"' for key, v in labels.items())
                lines.append(f"{name}{{{shown}}} {value}")
    return "\n".join([*lines, "# EOF", ""])


def code_quality(
    document: Mapping[str, Any], *, root: Path, top: Path | None = None, golden: Path | None = None
) -> list[dict[str, Any]]:
    """The runs that are not identical as issues: ``artifacts: reports: codequality``."""
    top, golden = (top or root).absolute(), (golden or root / "golden").absolute()
    return list(_issues(document, root, top, golden))


def _issues(
    document: Mapping[str, Any], root: Path, top: Path, golden: Path
) -> Iterator[dict[str, Any]]:
    # GitLab wants a file even where nothing of the repository is to blame.
    somewhere = golden.relative_to(top).as_posix() if golden.is_relative_to(top) else golden.name
    for run in document["runs"]:
        if run["skipped"] is not None or run["verdict"] == "identical":
            continue
        place = place_of(run, root=root, top=top, golden=golden)
        identity = "\0".join(map(str, (run["name"], run["device"], run["verdict"])))
        yield {
            "description": f"golden {plain(run['name'])} [{plain(run['device'])}]: "
            f"{plain(run['headline'])}",
            "check_name": f"golden-{run['verdict'] or 'error'}",
            "fingerprint": hashlib.sha256(identity.encode("utf-8", "surrogatepass")).hexdigest(),
            "severity": _SEVERITIES.get(run["verdict"] or "", "major"),
            "location": {
                "path": place.path if place is not None else somewhere,
                "lines": {"begin": (place.line if place is not None else None) or 1},
            },
        }


def _figures(run: Mapping[str, Any]) -> dict[str, Any]:
    if run["skipped"] is not None:
        return {}
    losses = [curve for curve in (run["course"] or {}).get("curves", ()) if curve["name"] == "loss"]
    last = next((v for v in reversed(losses[0]["current"]) if v is not None), None) if losses else 0
    return {
        "goldtrace_passed": int(run["passed"]),
        "goldtrace_equivalent_ulp": run["equivalent_ulp"],
        "goldtrace_steps_compared": run["steps_compared"],
        "goldtrace_last_loss": _spelled(last) if losses else None,
        "goldtrace_seconds": run["seconds"],
    }


def _spelled(value: Any) -> Any:
    return {"nan": "NaN", "inf": "+Inf", "-inf": "-Inf"}.get(value, value)


def _label(text: str) -> str:
    return text.replace("\\", "\\\\").replace('"', '\\"').replace("\n", "\\n")
