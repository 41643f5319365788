"""The faces of a bisection: terminal, JSON and a page for an issue."""

from __future__ import annotations

import dataclasses
import json

from golden_samples import trace

from goldtrace.compare import compare_traces
from goldtrace.model.diagnosis import Cause, Culprit, Diagnosis, Reproduction
from goldtrace.model.upgrade import Bisection, ChangePoint, Probe, Severity, Standing
from goldtrace.model.verdict import Change, Rung
from goldtrace.report.document.upgrades import bisection_document
from goldtrace.report.markdown.upstream import render_bisection_markdown
from goldtrace.report.terminal.bisection import headline, render_bisection, render_changes

COMPARISON = dataclasses.replace(
    compare_traces(trace(), trace(losses=(2.75, 1.25, 0.625)), tolerance={}),
    equivalent_ulp=float("inf"),
)
POINT = ChangePoint(
    package="torch",
    good="2.6.0",
    bad="2.8.0",
    skipped=("2.7.0", "2.7.1"),
    severity=Severity.BEHAVIOUR,
    kind="behaviour",
    comparison=COMPARISON,
    moved_along=(Change(what="torchvision", golden="0.21.0", now="0.23.0"),),
    confirmed=False,
)
BISECTION = Bisection(
    target="a|b <script>",
    device="cpu",
    question="torch 2.4.0 to 2.15.0, 18 releases",
    until=Severity.ROUNDING,
    change_points=(POINT,),
    causes=((Change(what="torch", golden="2.6.0", now=None),),),
    probes=(
        Probe(label="torch 2.6.0", standing=Standing.TRAINED, answer="good", seconds=12.3),
        Probe(label="torch 2.7.0", standing=Standing.SKIPPED, reason="no *wheel*\nfits"),
    ),
    notes=("a note",),
)


def test_the_terminal_shows_range_doubt_first_difference_and_followers():
    shown = render_bisection(BISECTION)
    assert "torch 2.6.0 → 2.8.0, or one of 2.7.0, 2.7.1 (skipped): behaviour" in shown
    assert "NOT CONFIRMED" in shown
    assert "from step 0: loss" in shown
    assert "moved along: torchvision 0.21.0 → 0.23.0" in shown
    assert "cause 1: torch 2.6.0 → absent" in shown
    assert "2 probes, 1 of them known from before, 1 skipped; 12 s" in shown
    assert "a note" in shown


def test_the_document_is_json_with_the_promised_keys():
    text = json.dumps(bisection_document(BISECTION), allow_nan=False)
    document = json.loads(text)
    assert document["schema"] == 1
    (point,) = document["change_points"]
    promised = {"package", "good", "bad", "verdict", "op", "class"}
    assert promised <= point.keys()
    assert point["class"] == "behaviour"
    assert point["equivalent_ulp"] is None
    assert [probe["standing"] for probe in document["probes"]] == ["trained", "skipped"]


def test_markdown_escapes_what_names_and_messages_hold():
    page = render_bisection_markdown(BISECTION)
    assert "<script>" not in page
    assert "a\\|b \\<script\\>" in page
    assert "no \\*wheel\\*" in page
    rows = [line for line in page.splitlines() if line.startswith("|")]
    widths = {line.replace("\\|", "").count("|") for line in rows}
    assert widths == {8, 5}


def test_a_failure_has_its_reason_instead_of_a_difference():
    point = dataclasses.replace(POINT, comparison=None, failure="TypeError: no", confirmed=True)
    page = render_bisection_markdown(dataclasses.replace(BISECTION, change_points=(point,)))
    assert "TypeError: no" in page
    assert "NOT CONFIRMED" not in page
    assert headline(point) == "torch 2.6.0 → 2.8.0, or one of 2.7.0, 2.7.1 (skipped): behaviour"


def test_without_change_points_the_answer_says_so():
    nothing = dataclasses.replace(BISECTION, change_points=(), causes=())
    assert "no change point" in render_bisection(nothing)
    assert "No change point." in render_bisection_markdown(nothing)


def test_many_package_changes_are_counted():
    changes = [Change(what=f"p{n}", golden="1", now="2") for n in range(40)]
    assert render_changes(changes).endswith("28 more")
    assert render_changes([]) == "none"


def test_packages_of_one_family_are_counted_so_that_the_others_are_seen():
    changes = [Change(what=f"nvidia-p{n}", golden="1", now="2") for n in range(9)]
    changes.append(Change(what="torchvision", golden="0.21.0", now="0.22.0"))
    assert render_changes(changes) == "torchvision 0.21.0 → 0.22.0, 9 packages nvidia-…"


def test_an_operator_overrules_the_ladder_and_its_text_cannot_break_the_page():
    culprits = tuple(
        Culprit(op=f"aten::{name}", cause=Cause.ROUNDING, what="a|b <i>", module="block")
        for name in ("mm", "exp")
    )
    diagnosis = Diagnosis(
        step=2,
        rung=Rung.LOSS,
        name="loss",
        cause=Cause.ROUNDING,
        sentence="forward of block: aten::mm gave other bits",
        culprits=culprits,
        compared=7,
        consequences=3,
    )
    tried = Reproduction(
        folder="/nowhere", op="aten::mm", golden=True, now=False, ulp_most=3, elements=9
    )
    point = dataclasses.replace(
        POINT, diagnosis=diagnosis, reproduction=tried, noise=0.25, note="a note of it"
    )
    answer = dataclasses.replace(BISECTION, change_points=(point,), machine="a machine")
    shown = render_bisection(answer)
    told = " ".join(shown.split())
    assert (
        "First difference in step 2: forward of block: aten::mm gave other bits: rounding" in told
    )
    assert "from step 0" not in shown
    assert "by itself doesn't give the training's bits in the new environment" in told
    assert "aten::exp" in shown
    assert "equivalent noise: 0.25 ulp" in shown
    assert "reproducer: /nowhere" in shown
    assert "a machine" in shown
    assert max(map(len, shown.splitlines())) <= 110
    page = render_bisection_markdown(answer)
    assert "| rounding | a\\|b \\<i\\> |" in page
    assert "a note of it" in page
    assert "/nowhere" not in page
