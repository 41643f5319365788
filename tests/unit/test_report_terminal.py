"""What people read when a check is red: short, true, and safe to print."""

from __future__ import annotations

import re
from dataclasses import replace
from typing import Any

import pytest
from report_samples import drift, result, rounding

from goldtrace.cli.check import show
from goldtrace.errors import GoldenError, RunError
from goldtrace.model.verdict import Change, Comparison, Divergence, Rung, RunResult, Verdict
from goldtrace.report.phrases import describe_divergence, headline, next_command
from goldtrace.report.terminal import render_comparison, render_failure, render_table
from goldtrace.report.terminal.explanation import culprit_rows
from goldtrace.report.text import clip, distance, plain, width_of

TORCH = Change(what="torch", golden="2.14.1", now="2.15.0")
LR = Divergence(step=7, rung=Rung.LR, name="group0.lr", golden="0.1", current="0.1001", ulp=7.2e12)
GRADIENTS = Divergence(
    step=7,
    rung=Rung.GRADIENTS,
    name="gradients",
    golden="0" * 32,
    current="1" * 32,
    note="single tensors are compared at step 39, not here",
)
LOSSES = tuple(
    Divergence(
        step=step, rung=Rung.LOSS, name="loss", golden="2.302585", current="2.302601", ulp=67.0
    )
    for step in (8, 9)
)
ACCURACY = Divergence(
    step=None, rung=Rung.METRIC, name="accuracy", golden="0.84", current="0.71", ulp=1.2e15
)
HOSTILE = "<script>[red]|\nFAKE PASS\x1b[2J\x1b[H\r\u202e\u2028\udc80" + "x" * 300


def failing(*divergences: Divergence, **changes: Any) -> RunResult:
    comparison = Comparison(
        verdict=Verdict.DRIFT,
        divergences=divergences,
        environment_changes=(TORCH,),
        steps_compared=40,
    )
    result = RunResult(
        name="transformer",
        device="cpu",
        platform="cpu-portable",
        verdict=Verdict.DRIFT,
        comparison=comparison,
        hint="goldtrace record transformer --device cpu --reason '…'",
    )
    return replace(result, **changes)


def test_a_failure_reads_like_this() -> None:
    shown = render_failure(failing(LR, GRADIENTS, *LOSSES, ACCURACY))
    assert shown == (
        "transformer [cpu]: drift from step 7: group0.lr 0.1 → 0.1001\n"
        "\n"
        "  first    group0.lr  0.1 → 0.1001  +0.1 %, 7.2e12 ulp\n"
        "  then     gradients in the same step; loss from step 8; metric at the end\n"
        "  end      loss  2.302585 → 2.302601  67 ulp  at step 9\n"
        "           accuracy  0.84 → 0.71  -15.5 %, 1.2e15 ulp\n"
        "  changed  torch 2.14.1 → 2.15.0\n"
        "  if meant goldtrace record transformer --device cpu --reason '…'"
    )


def test_the_tensors_of_the_first_rung_are_named_and_the_rest_counted() -> None:
    tensors = [replace(GRADIENTS, name=f"layer{place}.weight", note=None) for place in range(30)]
    shown = render_failure(failing(*tensors))
    assert shown.startswith("transformer [cpu]: drift from step 7: gradients of layer0.weight and")
    assert "layer3.weight  differs\n" in shown
    assert "layer4.weight" not in shown
    assert "and 26 more" in shown


def test_an_unchanged_environment_is_said_to_be_so() -> None:
    result = failing(LR)
    assert result.comparison is not None
    comparison = replace(result.comparison, environment_changes=())
    assert "changed  nothing: " in render_failure(replace(result, comparison=comparison))


def test_a_failure_fits_a_screen_whatever_happened() -> None:
    long = "encoder.layers.11.self_attention.in_proj_weight" * 3
    divergences = [
        Divergence(
            step=0,
            rung=Rung.STRUCTURE,
            name=f"{long}{place}",
            golden="float32[768,768] trainable group0 " * 4,
            current="float32[768,769] trainable group1 " * 4,
            note="a note " * 20,
        )
        for place in range(100)
    ]
    divergences += [replace(ACCURACY, name=long + str(place)) for place in range(100)]
    result = failing(*divergences, *LOSSES, name=long)
    assert result.comparison is not None
    comparison = replace(
        result.comparison,
        environment_changes=(Change(what="cpu", golden="Intel " * 40, now="AMD " * 40),) * 50,
        notes=("a note that is long " * 30,) * 50,
    )
    lines = render_failure(replace(result, comparison=comparison, exact=True)).splitlines()
    assert len(lines) <= 24
    assert all(width_of(line) <= 80 for line in lines)
    assert lines[-1].startswith("  if meant goldtrace record")


@pytest.mark.parametrize("width", [20, 40, 200])
def test_the_width_is_respected_except_by_the_command(width: int) -> None:
    lines = render_failure(failing(LR, GRADIENTS, *LOSSES, ACCURACY), width=width).splitlines()
    assert all(width_of(line) <= width for line in lines[:-1])
    assert lines[-1].endswith("goldtrace record transformer --device cpu --reason '…'")


@pytest.mark.parametrize("field", ["name", "device", "hint", "skipped"])
def test_hostile_fields_of_a_result_stay_on_their_line(field: str) -> None:
    result = failing(LR, **{field: HOSTILE})
    assert_tame(render_failure(result))
    assert_tame(headline(result))
    assert_tame(render_table([result], width=80, terminal=False))
    coloured = render_table([result], width=80, terminal=True, environment={})
    assert_tame(re.sub(r"\x1b\[[0-9;]*m", "", coloured))


@pytest.mark.parametrize("field", ["name", "golden", "current", "note"])
def test_hostile_fields_of_a_divergence_stay_on_their_line(field: str) -> None:
    hostile: dict[str, Any] = {field: HOSTILE}
    result = failing(replace(LR, **hostile), replace(GRADIENTS, **hostile))
    assert result.comparison is not None
    assert_tame(render_failure(result))
    assert_tame(render_comparison(result))
    assert_tame(describe_divergence(result.comparison.divergences[0]))


def test_hostile_changes_notes_and_errors_stay_on_their_line() -> None:
    change = Change(what=HOSTILE, golden=HOSTILE, now=None)
    comparison = Comparison(
        verdict=Verdict.DRIFT, divergences=(LR,), environment_changes=(change,), notes=(HOSTILE,)
    )
    error = RunError(HOSTILE, where=HOSTILE, found=HOSTILE, hint=HOSTILE, traceback=HOSTILE)
    assert_tame(render_failure(failing(comparison=comparison)))
    # Frames and what an error found may have several lines, but none may look like a finding.
    lines = render_failure(RunResult(name="t", device="cpu", error=error)).split("\n")
    assert all(line.isprintable() for line in lines)
    assert all(line.startswith("  ") for line in lines[1:] if line)


def assert_tame(shown: str) -> None:
    assert all(line.isprintable() for line in shown.split("\n"))
    assert not any(line.lstrip().startswith("FAKE") for line in shown.split("\n"))
    shown.encode()


def test_markup_of_rich_is_text() -> None:
    shown = render_table([failing(LR, name="[red]x[/red] :smile:")], terminal=False)
    assert "[red]x[/red] :smile:" in shown


def test_a_missing_golden_says_how_to_get_one() -> None:
    result = RunResult(name="a b", device="cuda", platform="cuda-sm90", verdict=Verdict.MISSING)
    assert render_failure(result) == (
        "a b [cuda]: no golden for cuda-sm90\n  next     goldtrace record 'a b' --reason '…'"
    )


def test_what_was_held_against_no_golden_has_none_to_record() -> None:
    pair = failing(LR, name="transformer, eager against compiled", hint=None)
    assert next_command(pair) is None


def test_an_incomparable_run_says_why_once() -> None:
    comparison = Comparison(verdict=Verdict.INCOMPARABLE, notes=("goldens exist for cuda-sm90",))
    shown = render_failure(failing(comparison=comparison, verdict=Verdict.INCOMPARABLE))
    assert shown.splitlines()[0] == "transformer [cpu]: incomparable: goldens exist for cuda-sm90"
    assert shown.count("cuda-sm90") == 1
    assert "  next     goldtrace record" in shown


def test_a_damaged_golden_shows_what_the_error_knows() -> None:
    error = GoldenError(
        "the golden is damaged", where="golden/t", expected="abc", found="def", hint="git checkout"
    )
    result = RunResult(name="t", device="cpu", verdict=Verdict.INCOMPARABLE, error=error)
    assert render_failure(result) == (
        "t [cpu]: incomparable: the golden is damaged\n"
        "  where    golden/t\n"
        "  expected abc\n"
        "  found    def\n"
        "  next     git checkout"
    )


def test_the_users_own_frames_are_shown_from_the_end() -> None:
    traceback = "\n".join(f'  File "train.py", line {line}' for line in range(100))
    error = RunError("ValueError: no", where="train:main", traceback=traceback)
    shown = render_failure(RunResult(name="t", device="cpu", error=error))
    assert shown.startswith("t [cpu]: error: ValueError: no\n")
    assert "line 99" in shown
    assert "line 89" not in shown


def test_rounding_under_exact_says_why_it_fails() -> None:
    comparison = Comparison(
        verdict=Verdict.ROUNDING, divergences=(replace(LOSSES[0], tolerated=True),)
    )
    result = failing(comparison=comparison, verdict=Verdict.ROUNDING, exact=True)
    shown = render_failure(result)
    assert shown.startswith("transformer [cpu]: rounding from step 8: loss 2.302585 → 2.302601")
    assert "exact = true: this run allows no rounding" in shown


@pytest.mark.parametrize(
    ("divergence", "words"),
    [
        (replace(LR, step=-1), "before step 0: group0.lr 0.1 → 0.1001"),
        (ACCURACY, "at the end: accuracy 0.84 → 0.71"),
        (GRADIENTS, "from step 7: gradients"),
        (replace(GRADIENTS, name="fc.bias"), "from step 7: gradients of fc.bias"),
        (replace(GRADIENTS, rung=Rung.RNG, name="torch"), "from step 7: rng torch"),
        (replace(GRADIENTS, rung=Rung.BATCH, name="batch"), "from step 7: batch"),
        (
            replace(GRADIENTS, step=None, rung=Rung.WEIGHTS, name="final weights"),
            "at the end: final weights",
        ),
        (
            Divergence(
                step=36,
                rung=Rung.STRUCTURE,
                name="step",
                golden="recorded",
                current=None,
                note="steps 36 to 39 are missing",
            ),
            "from step 36: steps 36 to 39 are missing",
        ),
    ],
)
def test_a_divergence_in_one_line(divergence: Divergence, words: str) -> None:
    assert describe_divergence(divergence) == words


def test_a_comparison_lists_steps_and_marks_what_is_tolerated() -> None:
    result = failing(replace(LR, tolerated=True), GRADIENTS, *LOSSES)
    assert render_comparison(result, limit=3) == (
        "transformer [cpu]: drift from step 7: gradients\n"
        "  changed  torch 2.14.1 → 2.15.0\n"
        "\n"
        "step 7\n"
        "~ group0.lr  0.1 → 0.1001  +0.1 %, 7.2e12 ulp\n"
        "  gradients  differs  (single tensors are compared at step 39, not here)\n"
        "\n"
        "step 8\n"
        "  loss  2.302585 → 2.302601  67 ulp\n"
        "\n"
        "and 1 further difference\n"
        "\n"
        "~ within tolerance"
    )


def results() -> list[RunResult]:
    identical = Comparison(verdict=Verdict.IDENTICAL, steps_compared=40)
    return [
        failing(comparison=identical, verdict=Verdict.IDENTICAL, seconds=12.34),
        failing(LR),
        failing(replace(LR, tolerated=True), verdict=Verdict.ROUNDING),
        RunResult(name="big", device="cuda", skipped="no GPU here"),
        RunResult(name="odd", device="cpu", error=ValueError("odd")),
    ]


def test_the_table_of_a_log_is_plain_text() -> None:
    shown = render_table(results(), terminal=False, width=100)
    lines = shown.splitlines()
    assert lines[1] == "pass   transformer  cpu     12.3 s  identical, 40 steps compared"
    assert (
        lines[2] == "FAIL   transformer  cpu             drift from step 7: group0.lr 0.1 → 0.1001"
    )
    assert lines[3].startswith("warn   transformer")
    assert lines[4] == "skip   big          cuda            no GPU here"
    assert lines[5] == "error  odd          cpu             odd"
    assert lines[-1] == (
        "5 runs: 1 passed, 1 passed with rounding, 1 failed, 1 not judged, 1 skipped"
    )


def test_colours_are_for_terminals_without_no_color() -> None:
    shown = render_table(results(), terminal=True, width=100, environment={})
    assert "\x1b[32mpass" in shown
    without = render_table(results(), terminal=True, width=100, environment={"NO_COLOR": "1"})
    assert not re.search(r"\x1b\[[0-9;]*3[0-9]m", without)


def test_an_empty_check_says_that_nothing_was_checked() -> None:
    assert render_table([], terminal=False).strip() == "0 runs: nothing was checked"


def test_the_table_keeps_to_the_width() -> None:
    lines = render_table(results(), terminal=False, width=50).splitlines()
    assert all(width_of(line) <= 50 for line in lines[:-1])


@pytest.mark.parametrize(
    ("text", "width", "clipped"),
    [
        ("abcdef", 6, "abcdef"),
        ("abcdefg", 6, "ab…efg"),
        ("a\nb", 10, "a\\nb"),
        ("漢字漢字", 8, "漢字漢字"),
        ("漢字漢字", 7, "漢…漢字"[:2] + "字"),
        ("ab", 1, "…"),
        ("ab", 0, ""),
    ],
)
def test_clipping_keeps_both_ends(text: str, width: int, clipped: str) -> None:
    assert clip(text, width) == clipped
    assert width_of(clip(text, width)) <= width


def test_printable_text_of_any_script_is_kept() -> None:
    assert plain("Größe 漢字 → ∇") == "Größe 漢字 → ∇"
    assert plain("\u202e\x9b\u200b\udc80\t") == "\\u202e\\x9b\\u200b\\udc80\\t"


@pytest.mark.parametrize(
    ("golden", "current", "ulp", "words"),
    [
        ("1", "1", 0.25, "0.25 ulp"),
        ("1", "2", 67.0, "67 ulp"),
        ("1", "2", 12345.0, "12,345 ulp"),
        ("2", "1", 1e6, "-50 %, 1.0e6 ulp"),
        ("-2", "-1", 1e6, "+50 %, 1.0e6 ulp"),
        ("0", "1", 1e308, "1.0e308 ulp"),
        ("1e-300", "1", 1e20, "1.0e20 ulp"),
        ("3.2", "3.2000001", 2e8, "2.0e8 ulp"),
    ],
)
def test_distances_read_well(golden: str, current: str, ulp: float, words: str) -> None:
    assert distance(golden, current, ulp) == words


def test_quiet_is_a_line_for_each_failure_and_verbose_every_difference(capsys) -> None:
    results = [drift(), rounding(), result()]
    show(results, quiet=True, verbose=False)
    (line,) = capsys.readouterr().out.splitlines()
    assert line.startswith("tiny [cpu]: drift")
    show(results, quiet=False, verbose=False)
    usual = capsys.readouterr().out
    assert "3 runs: 1 passed, 1 passed with rounding, 1 failed" in usual
    assert "\nstep 11" not in usual
    show(results, quiet=False, verbose=True)
    assert "\nstep 11" in capsys.readouterr().out


@pytest.mark.parametrize("width", [60, 80, 110])
def test_the_class_of_a_culprit_is_never_cut(width):
    diagnosis = drift(op="aten::native_layer_norm_backward.default").diagnosis
    [row] = culprit_rows(diagnosis, width=width, limit=20)
    assert " argument " in row
    assert width_of(row) <= width
