"""The HTML page: self-contained, and nothing that a golden holds is markup in it."""

from __future__ import annotations

import base64
import hashlib
import json
import re
from html.parser import HTMLParser
from pathlib import Path

import pytest
from report_samples import HOSTILE, drift, hostile, result, rounding

from goldtrace.errors import RunError
from goldtrace.model.verdict import RunResult
from goldtrace.report.document import to_document
from goldtrace.report.html import render_html
from goldtrace.report.html.figures import ruler, sparkline

VENDOR = Path(__file__).parents[2] / "src/goldtrace/report/html/vendor/uplot"

BISECTION = {
    "schema": 1,
    "target": HOSTILE,
    "device": "cpu",
    "question": HOSTILE,
    "until": "rounding",
    "conclusive": True,
    "change_points": [
        {
            "package": HOSTILE,
            "good": "1.9",
            "bad": "1.10",
            "skipped": [HOSTILE],
            "verdict": "drift",
            "op": HOSTILE,
            "class": "rounding",
            "severity": "rounding",
            "equivalent_ulp": None,
            "first_divergence": {"step": 0, "rung": "loss", "name": HOSTILE},
            "failure": HOSTILE,
            "moved_along": [{"what": HOSTILE, "golden": None, "now": HOSTILE}],
            "together_with": [{"what": HOSTILE, "golden": HOSTILE, "now": None}],
            "confirmed": False,
            "diagnosis": to_document([hostile()])["runs"][0]["diagnosis"],
        }
    ],
    "causes": [[{"what": HOSTILE, "golden": HOSTILE, "now": HOSTILE}]],
    "probes": [
        {
            "label": f"engine {version}",
            "standing": standing,
            "answer": answer,
            "reason": HOSTILE if standing == "skipped" else None,
            "environment": None,
            "seconds": seconds,
        }
        for version, standing, answer, seconds in (
            ("1.0", "trained", "good", 3.0),
            ("1.10", "trained", "bad", None),
            ("1.2", "skipped", "skip", 1.0),
            ("1.9", "trained", "good", 2.0),
        )
    ],
    "notes": [HOSTILE],
}

DOCUMENTS = {
    "identical": to_document([result()]),
    "rounding": to_document([rounding()]),
    "drift": to_document([drift()]),
    "uncalibrated": to_document([result(calibrated=False)]),
    "hostile": to_document([hostile(), drift()]),
    "error": to_document(
        [
            RunResult(
                name=HOSTILE,
                device="cpu",
                error=RunError(HOSTILE, where=HOSTILE, traceback=HOSTILE),
            ),
            RunResult(name="skipped", device="cuda", skipped=HOSTILE),
            RunResult(name="odd", device="cpu", error=ValueError(HOSTILE)),
        ]
    ),
    "nothing": to_document([]),
    "bisection": BISECTION,
}


class Page(HTMLParser):
    """Elements, attributes and texts of a page."""

    def __init__(self, text: str) -> None:
        super().__init__(convert_charrefs=True)
        self.tags: list[str] = []
        self.attributes: list[tuple[str, str]] = []
        self.scripts: list[tuple[str | None, str]] = []
        self.texts: list[str] = []
        self._in_script = False
        self.feed(text)
        self.close()

    def handle_starttag(self, tag, attrs) -> None:
        self.tags.append(tag)
        self.attributes += attrs
        if tag == "script":
            self._in_script = True
            self.scripts.append((dict(attrs).get("type"), ""))

    def handle_endtag(self, tag) -> None:
        self._in_script = False

    def handle_data(self, data) -> None:
        if self._in_script:
            kind, text = self.scripts[-1]
            self.scripts[-1] = (kind, text + data)
        else:
            self.texts.append(data)


@pytest.fixture(params=DOCUMENTS)
def page(request) -> Page:
    return Page(render_html(DOCUMENTS[request.param]))


def test_no_page_has_other_scripts_than_goldtraces_own(page) -> None:
    kinds = [kind for kind, _ in page.scripts]
    assert kinds == ["application/json", None, None, None, None]
    own = Page(render_html(DOCUMENTS["nothing"])).scripts[1:]
    assert page.scripts[1:] == own


def test_the_policy_names_each_script_by_its_digest_and_nothing_else(page) -> None:
    (policy,) = [value for name, value in page.attributes if "script-src" in (value or "")]
    allowed = set(re.findall(r"'sha256-([^']+)'", policy))
    digests = {
        base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()
        for kind, text in page.scripts
        if kind is None
    }
    assert allowed == digests
    assert "default-src 'none'" in policy


def test_no_page_refers_to_anything_outside_of_itself(page) -> None:
    for name, value in page.attributes:
        assert not name.startswith("on"), name
        if name in ("src", "href", "action", "data", "poster", "srcset"):
            assert value.startswith("#") or value == "data:,"
    assert not {"img", "iframe", "object", "embed", "base", "form"} & set(page.tags)


def test_the_embedded_document_is_json_with_the_names_as_they_are() -> None:
    page = Page(render_html(DOCUMENTS["hostile"]))
    (embedded,) = [text for kind, text in page.scripts if kind == "application/json"]
    assert not set("<>&") & set(embedded)
    assert json.loads(embedded)[0]["name"] == HOSTILE


def test_a_hostile_name_is_text_and_its_control_characters_are_shown() -> None:
    page = Page(render_html(DOCUMENTS["hostile"]))
    text = "".join(page.texts)
    assert "<script>alert(1)</script>|" in text
    assert not re.search(r"[\x00-\x08\x0b-\x1f\u202e\ud800-\udfff]", text)


def test_the_same_document_gives_the_same_page() -> None:
    assert render_html(DOCUMENTS["drift"]) == render_html(DOCUMENTS["drift"])


def test_the_page_is_small_enough_to_mail() -> None:
    assert len(render_html(DOCUMENTS["drift"])) < 200_000


def test_a_drift_is_told_in_words_that_need_no_script() -> None:
    text = " ".join(Page(render_html(DOCUMENTS["drift"])).texts)
    for expected in ("aten::add_", "training.py:7", "alpha 0.1 → 0.1001", "2.14.1", "2.15.0"):
        assert expected in text


def test_the_checklist_tells_each_answer_and_what_to_do_about_a_no() -> None:
    html = render_html(DOCUMENTS["drift"])
    text = " ".join(" ".join(Page(html).texts).split())
    assert "Reproducibility checklist 1 yes, 1 no" in text
    assert "seeds of all generators : yes python 20" in text
    assert "lock file in force : no <script>" in text
    assert "install <script>" in text
    assert re.findall(r'<li class="(yes|no|na)">', html) == ["yes", "no", "na"]


def test_releases_stand_in_the_order_of_their_versions_and_the_range_narrows() -> None:
    html = render_html(BISECTION)
    assert re.findall(r'class="version" title="engine ([0-9.]+)"', html) == [
        "1.0",
        "1.2",
        "1.9",
        "1.10",
    ]
    rows = re.findall(r'<tr>\s*<th scope="row">.*?</tr>', html, re.DOTALL)
    cells = [re.findall(r'<td class="(here|open|out)">', row) for row in rows]
    assert cells == [
        ["here", "open", "open", "open"],
        ["open", "open", "open", "here"],
        ["open", "here", "open", "open"],
        ["out", "out", "here", "open"],
    ]


def test_releases_without_versions_keep_the_order_of_the_probes() -> None:
    probes = [{**BISECTION["probes"][0], "label": label} for label in ("all new", "the half")]
    html = render_html({**BISECTION, "probes": probes})
    assert re.findall(r'class="version" title="([^"]+)"', html) == ["all new", "the half"]


def test_the_vendored_library_is_the_one_that_its_note_describes() -> None:
    listed = re.findall(r"`([^`]+)` \| `([0-9a-f]{64})`", (VENDOR / "README.md").read_text())
    found = {p.name: hashlib.sha256(p.read_bytes()).hexdigest() for p in VENDOR.iterdir()}
    assert dict(listed) == {name: found[name] for name in found if name != "README.md"}


@pytest.mark.parametrize(
    ("ulp", "place"), [(None, 100), (float("inf"), 100), (0, 0), (1, 7.14), (1e300, 100)]
)
def test_the_ruler_has_a_place_for_every_noise(ulp, place) -> None:
    assert ruler(ulp) == pytest.approx(place)


def test_a_run_that_is_its_golden_has_no_line_of_differences() -> None:
    assert sparkline(DOCUMENTS["identical"]["runs"][0]["course"]) == ""
    assert sparkline(None) == ""
    assert len(sparkline(DOCUMENTS["drift"]["runs"][0]["course"]).split()) == 12
