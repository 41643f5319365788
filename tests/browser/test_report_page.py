"""The HTML report as a reader uses it: by mouse, by keyboard, on a phone, in the dark."""

from __future__ import annotations

import re

import pytest
from playwright.sync_api import expect
from report_samples import HOSTILE, drift, hostile, result, rounding
from test_report_html import BISECTION, DOCUMENTS

from goldtrace.report.document import to_document

DRIFT = to_document([drift()])


@pytest.mark.parametrize("theme", ["light", "dark"])
@pytest.mark.parametrize("name", DOCUMENTS)
def test_every_kind_of_document_opens_offline_without_an_error(open_page, name, theme) -> None:
    page = open_page(DOCUMENTS[name], color_scheme=theme)
    expect(page.locator("main")).to_be_visible()
    page.mouse.wheel(0, 20_000)
    page.wait_for_timeout(100)


def test_curves_are_drawn_and_tell_the_values_under_the_pointer(open_page) -> None:
    page = open_page(DRIFT)
    loss = page.locator("figure", has_text="Loss").first
    expect(loss.locator("canvas")).to_be_visible()
    inked = loss.locator("canvas").evaluate(
        "c => c.getContext('2d').getImageData(0, 0, c.width, c.height).data"
        ".filter((v, i) => i % 4 === 3 && v > 0).length"
    )
    assert inked > 1000
    over = loss.locator(".u-over")
    box = over.bounding_box()
    over.hover(position={"x": box["width"] * 3 / 11, "y": 40})
    expect(loss.locator(".readout")).to_contain_text("step 3")
    expect(loss.locator(".readout")).to_contain_text("difference +2.00e-3")


def test_the_keyboard_moves_along_a_curve(open_page) -> None:
    page = open_page(DRIFT)
    stage = page.locator(".stage").nth(1)
    stage.focus()
    readout = page.locator(".readout").nth(1)
    page.keyboard.press("Home")
    expect(readout).to_contain_text("step 0")
    expect(readout).to_contain_text("0 ulp")
    for _ in range(3):
        page.keyboard.press("ArrowRight")
    expect(readout).to_contain_text("step 3")
    expect(readout).to_contain_text(re.compile(r"loss [\d,.e]+ ulp"))
    page.keyboard.press("End")
    expect(readout).to_contain_text("step 11")


def test_the_first_divergence_is_shown_with_its_operators_at_once(open_page) -> None:
    page = open_page(DRIFT)
    detail = page.locator(".detail")
    expect(detail).to_contain_text("step 3 · loss")
    expect(detail).to_contain_text("first divergence")
    expect(detail).to_contain_text("aten::add_")
    expect(detail).to_contain_text("alpha 0.1 → 0.1001")


def test_a_click_on_a_cell_tells_what_it_stands_for(open_page) -> None:
    page = open_page(DRIFT)
    page.get_by_role("gridcell", name="step 4, lr: differs").click()
    detail = page.locator(".detail")
    expect(detail).to_contain_text("step 4 · lr")
    expect(detail).to_contain_text("group0.lr")
    expect(detail).to_contain_text("0.1001")
    page.get_by_role("gridcell", name="step 0, batch: same bits").click()
    expect(detail).to_contain_text("same bits")
    page.get_by_role("gridcell", name=re.compile("the first divergence")).click()
    expect(detail).to_contain_text("aten::add_")


def test_arrow_keys_move_in_the_ladder_and_tab_leaves_it(open_page) -> None:
    page = open_page(DRIFT)
    cell = page.get_by_role("gridcell", name=re.compile("the first divergence"))
    cell.focus()
    page.keyboard.press("ArrowDown")
    expect(page.locator(".detail h4")).to_contain_text("step 3 · lr")
    page.keyboard.press("ArrowRight")
    expect(page.locator(".detail h4")).to_contain_text("step 4 · lr")
    page.keyboard.press("End")
    expect(page.locator(".detail h4")).to_contain_text("step 11 · lr")
    page.keyboard.press("ArrowRight")
    expect(page.locator(".detail h4")).to_contain_text("step 11 · lr")
    assert page.locator('[role=gridcell][tabindex="0"]').count() == 1
    page.keyboard.press("Tab")
    assert page.evaluate("document.activeElement.getAttribute('role')") != "gridcell"


def test_the_whole_page_can_be_reached_by_the_keyboard(open_page) -> None:
    page = open_page(to_document([drift(), rounding(), result()]))
    page.keyboard.press("Tab")
    expect(page.locator(":focus")).to_have_text("Skip to the findings")
    seen = set()
    for _ in range(60):
        page.keyboard.press("Tab")
        seen.add(
            page.evaluate("(document.activeElement.className || '').split(' ')[0]")
            or page.evaluate("document.activeElement.tagName")
        )
    assert {"chip", "card", "copy", "stage", "cell", "scroll"} <= seen


def test_the_command_is_copied_or_selected(open_page) -> None:
    page = open_page(DRIFT)
    button = page.locator(".copy")
    button.click()
    expect(button).to_have_text(re.compile("Copied|Selected"))


def test_numbers_can_be_unfolded_as_a_table(open_page) -> None:
    page = open_page(DRIFT)
    table = page.locator("details.numbers table")
    expect(table).to_be_hidden()
    page.get_by_text("Every step as numbers").click()
    expect(table.locator("tbody tr")).to_have_count(12)


@pytest.mark.parametrize("name", DOCUMENTS)
def test_a_phone_scrolls_down_only(open_page, name) -> None:
    page = open_page(DOCUMENTS[name], viewport={"width": 390, "height": 800}, is_mobile=True)
    page.mouse.wheel(0, 20_000)
    page.wait_for_timeout(100)
    assert page.evaluate("document.documentElement.scrollWidth") <= 390


def test_no_state_is_told_by_colour_alone(open_page) -> None:
    page = open_page(to_document([drift(), rounding()]))
    page.locator(".cell.differs").first.wait_for()
    marks = [
        page.locator(f".cell.{state}").first.evaluate(
            "cell => getComputedStyle(cell, '::before').content"
        )
        for state in ("same", "tolerated", "differs", "one-sided")
    ]
    assert len(set(marks)) == 4
    assert "none" not in marks


def test_a_hostile_name_is_read_and_not_run(open_page) -> None:
    page = open_page(to_document([hostile()]))
    expect(page.locator("h2")).to_contain_text("<script>alert(1)</script>|")
    page.get_by_role("gridcell", name=re.compile("the first divergence")).click()
    expect(page.locator(".detail")).to_contain_text("<script>alert(1)</script>|")
    assert page.locator("main script").count() == 0
    assert HOSTILE not in page.locator("main").inner_text()


def test_a_theme_that_changes_redraws_the_curves(open_page) -> None:
    page = open_page(DRIFT, color_scheme="light")
    canvas = page.locator("canvas").first
    canvas.wait_for()
    before = canvas.evaluate("c => c.toDataURL()")
    page.emulate_media(color_scheme="dark")
    page.wait_for_timeout(300)
    assert canvas.evaluate("c => c.toDataURL()") != before


def test_a_bisections_path_is_a_table_with_a_row_for_each_probe(open_page) -> None:
    page = open_page(BISECTION)
    rows = page.locator(".path tbody tr")
    expect(rows).to_have_count(4)
    expect(rows.nth(2)).to_contain_text("engine 1.2")
    marks = page.locator(".path .probe").evaluate_all(
        "all => all.map(e => getComputedStyle(e, '::before').content)"
    )
    assert marks == ['"✓"', '"✕"', '"\N{EN DASH}"', '"✓"']
    expect(page.locator(".path .probe.skip")).to_be_visible()
