"""A bisection as a page shows it: the releases side by side, one row for each probe."""

from __future__ import annotations

from contextlib import suppress
from typing import TYPE_CHECKING, Any

from packaging.version import InvalidVersion, Version

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

_ANSWERS = ("good", "bad", "skip")


def bisection_view(document: Mapping[str, Any]) -> dict[str, Any]:
    """The document with ``columns`` (labels in the order of their releases) and ``path``.

    A row of the path has its ``probe``, and a cell a column: ``here`` where it probed, ``open``
    where the change can still be afterwards, ``out`` where it can't.
    """
    probes = [{"kind": _kind(probe), **probe} for probe in document["probes"]]
    columns = _ordered([probe["label"] for probe in probes])
    return {**document, "probes": probes, "columns": columns, "path": _path(probes, columns)}


def _kind(probe: Mapping[str, Any]) -> str:
    if probe["standing"] == "skipped":
        return "skip"
    return probe["answer"] if probe["answer"] in _ANSWERS else "other"


def _ordered(labels: Sequence[str]) -> list[dict[str, Any]]:
    """Labels as ``package version`` sort by version; any others keep their order."""
    parts = [label.rpartition(" ") for label in labels]
    one_package = len({package for package, _, _ in parts}) == 1
    with suppress(InvalidVersion):
        places = sorted(range(len(labels)), key=lambda place: Version(parts[place][2]))
        if one_package:
            return [{"label": labels[place], "short": parts[place][2]} for place in places]
    return [{"label": label, "short": str(n)} for n, label in enumerate(labels, start=1)]


def _path(
    probes: Sequence[Mapping[str, Any]], columns: Sequence[Mapping[str, Any]]
) -> list[dict[str, Any]]:
    order = {column["label"]: place for place, column in enumerate(columns)}
    searching = all(probe["kind"] != "other" for probe in probes)
    low, high = 0, len(columns) - 1
    rows = []
    for probe in probes:
        place = order[probe["label"]]
        if searching and probe["kind"] == "good":
            low = max(low, place)
        elif searching and probe["kind"] == "bad":
            high = min(high, place)
        cells = [
            "here" if column == place else "open" if low <= column <= high else "out"
            for column in range(len(columns))
        ]
        rows.append({"probe": probe, "cells": cells})
    return rows
