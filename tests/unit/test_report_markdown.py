"""Markdown for GitHub and GitLab: tables hold, charts parse, names are no markup."""

from __future__ import annotations

import re
from dataclasses import replace

import pytest
from report_samples import HOSTILE, drift, hostile, result, rounding
from test_report_html import BISECTION, DOCUMENTS

from goldtrace.model.checklist import yes
from goldtrace.model.upgrade import Bisection, Probe, Severity, Standing
from goldtrace.report.document import to_document
from goldtrace.report.html import render_html
from goldtrace.report.markdown.checklist import checklist_markdown
from goldtrace.report.markdown.page import code, render_markdown
from goldtrace.report.markdown.upstream import render_bisection_markdown
from goldtrace.report.text import escaped

DRIFT = to_document([drift()])
[CULPRIT] = DRIFT["runs"][0]["diagnosis"]["culprits"]


def cells(line: str) -> int:
    return len(re.findall(r"(?<!\\)\|", line)) - 1


@pytest.mark.parametrize("name", DOCUMENTS)
def test_every_row_of_a_table_has_as_many_cells_as_its_head(name) -> None:
    width = None
    for line in render_markdown(DOCUMENTS[name]).splitlines():
        if not line.startswith("|"):
            width = None
            continue
        width = width or cells(line)
        assert cells(line) == width, line


@pytest.mark.parametrize("document", [to_document([hostile()]), BISECTION, DOCUMENTS["error"]])
def test_a_hostile_name_is_neither_markup_nor_a_line_nor_a_mention(document) -> None:
    text = render_markdown(document)
    assert "<script" not in text.replace("\\<script", "")
    assert "@all" not in text
    assert not re.search(r"(?<!\\)\[x(?<!\\)\]\(", text)
    assert not re.search(r"[\x00-\x09\x0b-\x1f\u202e\ud800-\udfff]", text)
    assert not any(line.startswith(("## ", "::")) for line in text.splitlines())


@pytest.mark.parametrize("word", ["#12", "@octocat", "~~x~~", "<i>", "[a](b)", "$x$"])
def test_every_page_escapes_alike(word) -> None:
    run = {**DRIFT["runs"][0], "first_divergence": {"class": word}}
    run["diagnosis"] = {**run["diagnosis"], "culprits": [{**CULPRIT, "class": word}]}
    bisection = Bisection(
        target=word,
        device=word,
        question=word,
        until=Severity.ROUNDING,
        machine=word,
        probes=(Probe(label=word, standing=Standing.TRAINED, answer=word, environment=word),),
        notes=(word,),
    )
    for page in (
        render_markdown({"schema": 1, "runs": [run]}),
        render_bisection_markdown(bisection),
        checklist_markdown(word, {word: word}, [yes("lock", word, word)]),
    ):
        assert escaped(word) in page
        assert word not in page


def test_a_pipe_and_a_backtick_are_escaped() -> None:
    assert escaped("a|b\nc") == "a\\|b\\\\nc"
    assert code("layer.weight") == "`layer.weight`"
    assert "`" not in code("a`|b").replace("\\`", "")


def test_failures_come_open_and_with_their_cause() -> None:
    text = render_markdown(to_document([drift(), rounding(), result()]))
    assert text.startswith("### goldtrace: 3 runs: 1 passed, 1 passed with rounding, 1 failed\n")
    assert "<details open><summary><b>tiny</b> on cpu: drift" in text
    assert "| `aten::add_` | argument | optimizer layer.weight training.py:7 |" in text
    assert "| torch | `2.14.1` | `2.15.0` |" in text
    assert "<details><summary><b>tiny</b> on cpu: rounding" in text


@pytest.mark.parametrize(
    ("command", "label"),
    [("goldtrace record tiny --reason '…'", "if meant"), ("goldtrace data cifar10", "next")],
)
def test_a_command_that_accepts_a_drift_does_not_read_like_the_repair(command, label) -> None:
    document = to_document([replace(drift(), hint=command)])
    assert f"{label.capitalize()}: `{command}`" in render_markdown(document)
    assert f'<span class="quiet">{label}</span>' in render_html(document)


def test_the_chart_is_one_that_mermaid_reads() -> None:
    text = render_markdown(to_document([drift()]))
    (chart,) = re.findall(r"```mermaid\n(.*?)```", text, re.DOTALL)
    lines = [line.strip() for line in chart.splitlines()]
    assert lines[0] == "xychart-beta"
    assert lines[2] == 'x-axis "step" 0 --> 11'
    values = re.fullmatch(r"line \[(.*)\]", lines[4])
    assert len([float(value) for value in values[1].split(", ")]) == 12


def test_an_identical_run_has_no_chart_and_no_detail() -> None:
    text = render_markdown(to_document([result()]))
    assert "mermaid" not in text
    assert "<details" not in text


def test_a_page_of_many_failures_stays_below_the_limit_of_a_summary() -> None:
    text = render_markdown(to_document([hostile()] * 200))
    assert len(text.encode()) < 1_000_000
    assert "and 180 more in report.html" in text


def test_a_name_that_is_hostile_is_still_told() -> None:
    assert "alert(1)" in render_markdown(to_document([hostile()]))
    assert HOSTILE not in render_markdown(to_document([hostile()]))
