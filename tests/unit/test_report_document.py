"""report.json: its format, and the schema that is published for it."""

from __future__ import annotations

import json
import math
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from goldtrace.errors import RunError
from goldtrace.model.checklist import no, not_applicable, yes
from goldtrace.model.verdict import (
    Change,
    Comparison,
    Divergence,
    Proposal,
    Rung,
    RunResult,
    Verdict,
)
from goldtrace.report.document import dump_document, to_document

if TYPE_CHECKING:
    from collections.abc import Callable

SCHEMA = json.loads(
    (Path(__file__).parents[2] / "docs" / "reference" / "report.schema.json").read_text()
)
HOSTILE = "<script>alert(1)</script>|\n[red]\x1b[2J\u202e\udc80"

LR = Divergence(step=3, rung=Rung.LR, name="group0.lr", golden="0.1", current="0.1001", ulp=7.2e12)
DRIFT = Comparison(
    verdict=Verdict.DRIFT,
    divergences=(LR,),
    environment_changes=(Change(what="torch", golden="2.14.1", now="2.15.0"),),
    steps_compared=40,
    notes=("a note",),
)
RESULTS = [
    RunResult(
        name="transformer",
        device="cpu",
        platform="cpu-portable",
        verdict=Verdict.DRIFT,
        comparison=DRIFT,
        hint="goldtrace explain transformer",
        seconds=1.5,
        origin="training:train",
    ),
    RunResult(
        name="t",
        device="cpu",
        verdict=Verdict.IDENTICAL,
        comparison=Comparison(verdict=Verdict.IDENTICAL),
    ),
    RunResult(name="t", device="cuda", platform="cuda-sm90", verdict=Verdict.MISSING),
    RunResult(name="t", device="cuda", skipped="no GPU here"),
    RunResult(name="t", device="cpu", error=RunError("it raised", where="m:f", traceback="Trace…")),
    RunResult(name="t", device="cpu", error=ValueError("odd"), seconds=math.nan),
    RunResult(
        name="t",
        device="cpu",
        platform="cpu-portable",
        verdict=Verdict.MISSING,
        proposal=Proposal(folder="candidates/t/cpu-portable"),
        checklist=(
            yes("lock", "lock file in force", HOSTILE),
            no("data", HOSTILE, "nothing", HOSTILE),
            not_applicable("cudnn", "cuDNN settings", "on the CPU"),
        ),
    ),
    RunResult(
        name="t",
        device="cpu",
        platform="cpu-portable",
        verdict=Verdict.DRIFT,
        proposal=Proposal(why_not=HOSTILE),
    ),
    RunResult(
        name=HOSTILE,
        device=HOSTILE,
        verdict=Verdict.DRIFT,
        comparison=Comparison(
            verdict=Verdict.DRIFT,
            divergences=(
                Divergence(
                    step=None,
                    rung=Rung.METRIC,
                    name=HOSTILE,
                    golden=HOSTILE,
                    current=None,
                    ulp=math.inf,
                ),
                Divergence(
                    step=-1, rung=Rung.WEIGHTS, name="w", golden="0", current="1", tolerated=True
                ),
            ),
            equivalent_ulp=math.inf,
            notes=(HOSTILE,),
        ),
    ),
]


def test_a_run_is_described_with_the_names_that_other_programs_read() -> None:
    (run,) = to_document(RESULTS[:1])["runs"]
    assert run == {
        "name": "transformer",
        "device": "cpu",
        "platform": "cpu-portable",
        "origin": "training:train",
        "line": None,
        "verdict": "drift",
        "headline": "drift from step 3: group0.lr 0.1 → 0.1001",
        "exact": False,
        "passed": False,
        "equivalent_ulp": None,
        "equivalents": [],
        "first_divergence": {
            "step": 3,
            "rung": "lr",
            "name": "group0.lr",
            "op": None,
            "class": "argument",
        },
        "diagnosis": None,
        "environment_changes": [{"what": "torch", "golden": "2.14.1", "now": "2.15.0"}],
        "steps_compared": 40,
        "course": None,
        "divergences": [
            {
                "step": 3,
                "rung": "lr",
                "name": "group0.lr",
                "golden": "0.1",
                "current": "0.1001",
                "ulp": 7.2e12,
                "tolerated": False,
                "note": None,
            }
        ],
        "notes": ["a note"],
        "error": None,
        "skipped": None,
        "hint": "goldtrace explain transformer",
        "next": "goldtrace explain transformer",
        "candidate": None,
        "checklist": [],
        "seconds": 1.5,
    }


def test_the_document_conforms_to_its_schema() -> None:
    assert conforms(to_document(RESULTS), SCHEMA)


def test_the_schema_describes_every_property_and_requires_it() -> None:
    run = to_document(RESULTS)["runs"][0]
    described = SCHEMA["$defs"]["run"]
    assert set(run) == set(described["properties"]) == set(described["required"])
    for name in ("first_divergence", "divergence", "change"):
        assert set(SCHEMA["$defs"][name]["properties"]) == set(SCHEMA["$defs"][name]["required"])


@pytest.mark.parametrize(
    "broken",
    [
        {"schema": 2, "runs": []},
        {"schema": 1},
        {"schema": 1, "runs": [{}]},
        {"schema": 1, "runs": [to_document(RESULTS)["runs"][0] | {"verdict": "fine"}]},
        {"schema": 1, "runs": [to_document(RESULTS)["runs"][0] | {"steps_compared": 1.5}]},
        {"schema": 1, "runs": [to_document(RESULTS)["runs"][0] | {"first_divergence": {}}]},
    ],
)
def test_the_schema_refuses_what_is_no_report(broken: dict[str, Any]) -> None:
    assert not conforms(broken, SCHEMA)


def test_text_is_ascii_json_without_nan_whatever_the_names_are() -> None:
    text = dump_document(to_document(RESULTS))
    assert text.isascii()
    assert "\x1b" not in text
    document = json.loads(text, parse_constant=pytest.fail)
    hostile = document["runs"][-1]
    assert hostile["name"] == HOSTILE
    assert hostile["equivalent_ulp"] is None
    assert hostile["divergences"][0]["ulp"] is None


def test_an_error_keeps_its_fields() -> None:
    errors = [run["error"] for run in to_document(RESULTS)["runs"]]
    assert errors[4] == {
        "type": "RunError",
        "what": "it raised",
        "where": "m:f",
        "expected": None,
        "found": None,
        "hint": None,
        "traceback": "Trace…",
    }
    assert errors[5]["type"] == "ValueError"


def test_the_rungs_and_verdicts_of_the_schema_are_the_models() -> None:
    assert SCHEMA["$defs"]["rung"]["enum"] == [rung.value for rung in Rung]
    verdicts = SCHEMA["$defs"]["run"]["properties"]["verdict"]["enum"]
    assert verdicts == [*(verdict.value for verdict in Verdict), None]


TYPES: dict[str, Any] = {
    "object": dict,
    "array": list,
    "string": str,
    "number": (int, float),
    "integer": int,
    "boolean": bool,
    "null": type(None),
}


def is_of(value: Any, kinds: str | list[str]) -> bool:
    names = [kinds] if isinstance(kinds, str) else kinds
    if isinstance(value, bool):
        return "boolean" in names
    return any(isinstance(value, TYPES[name]) for name in names)


def conforms(value: Any, schema: dict[str, Any]) -> bool:
    """Whether a value conforms; knows exactly the keywords that the schema uses."""
    return all(KEYWORDS[keyword](value, wanted) for keyword, wanted in schema.items())


KEYWORDS: dict[str, Callable[[Any, Any], bool]] = {
    "$ref": lambda value, wanted: conforms(value, SCHEMA["$defs"][wanted.rpartition("/")[2]]),
    "type": is_of,
    "const": lambda value, wanted: value == wanted,
    "enum": lambda value, wanted: value in wanted,
    "required": lambda value, wanted: set(wanted) <= set(value),
    "properties": lambda value, wanted: all(
        conforms(value[name], inner) for name, inner in wanted.items() if name in value
    ),
    "items": lambda value, wanted: all(conforms(item, wanted) for item in value),
    "maxItems": lambda value, wanted: len(value) <= wanted,
    "minimum": lambda value, wanted: value is None or value >= wanted,
    "anyOf": lambda value, wanted: any(conforms(value, option) for option in wanted),
    **dict.fromkeys(
        ["$schema", "$id", "title", "description", "$defs"], lambda value, wanted: True
    ),
}
