"""How far a run is: the heartbeat's file, its words, the small line of bars."""

from __future__ import annotations

import math
import time

import pytest
from hypothesis import given
from hypothesis import strategies as st
from report_samples import drift, result

from goldtrace.heartbeat import Heartbeat, steps_done
from goldtrace.report.terminal.pace import Pace
from goldtrace.report.terminal.sparkline import bar_line, course_line


def test_a_heartbeat_says_the_latest_number_of_steps(tmp_path) -> None:
    path = tmp_path / "steps"
    assert steps_done(path) == 0
    heart = Heartbeat(path)
    for steps in (1, 2, 300):
        heart.beat(steps)
        assert steps_done(path) == steps
    heart.close()
    heart.beat(400)
    assert steps_done(path) == 300


def test_a_heartbeat_that_cannot_write_costs_nothing_but_the_progress(tmp_path) -> None:
    heart = Heartbeat(tmp_path / "missing" / "steps")
    heart.beat(1)
    heart.close()
    (tmp_path / "short").write_bytes(b"123")
    assert steps_done(tmp_path / "short") == 0


def test_a_beat_costs_microseconds(tmp_path) -> None:
    heart = Heartbeat(tmp_path / "steps")
    began = time.process_time()
    for steps in range(2000):
        heart.beat(steps)
    # A fast training step takes a millisecond.
    assert (time.process_time() - began) / 2000 < 1e-4
    heart.close()


def test_pace_tells_step_rate_and_time_left() -> None:
    now = [0.0]
    pace = Pace(40, clock=lambda: now[0])
    assert pace.told(0) == "starting"
    now[0] = 7.0
    assert pace.told(1) == "step 1/40"
    now[0] = 9.0
    assert pace.told(5) == "step 5/40, 2.0/s, 18 s left"
    now[0] = 9.5
    assert pace.told(40) == "step 40/40, 16/s"


def test_pace_without_a_golden_knows_no_end_and_starts_again_with_another_process() -> None:
    now = [0.0]
    pace = Pace(None, clock=lambda: now[0])
    assert pace.told(3) == "step 3"
    now[0] = 1.0
    assert pace.told(4) == "step 4, 1.0/s"
    assert pace.told(1) == "step 1"


def test_hours_are_told_in_minutes() -> None:
    now = [0.0]
    pace = Pace(1000, clock=lambda: now[0])
    pace.told(1)
    now[0] = 10.0
    assert pace.told(2).endswith("166 min left")


def test_bars_grow_with_the_power_of_ten_and_equal_steps_are_dots() -> None:
    assert bar_line([0, 0, 1, 10, 100, 1e7], 10) == "··▁▂▃█"
    assert bar_line([math.inf, math.nan, 0], 10) == "██·"
    assert bar_line([], 10) == bar_line([1.0], 0) == ""


@given(
    st.lists(st.floats(min_value=0, allow_infinity=True) | st.just(math.nan)),
    st.integers(0, 80),
)
def test_bars_fit_whatever_the_values_are(values: list[float], width: int) -> None:
    assert len(bar_line(values, width)) <= width


def test_the_course_of_a_failure_is_one_line() -> None:
    (line,) = course_line(drift().course, 69)
    assert line == "···█████████  up to 20,000 ulp of noise, at step 3"
    assert course_line(result().course, 69) == []
    assert course_line(None, 69) == []


@pytest.mark.parametrize("width", [10, 40, 69, 200])
def test_the_course_fits_the_screen_or_is_left_out(width: int) -> None:
    for line in course_line(drift().course, width):
        bars = line.partition("  ")[0]
        assert len(bars) <= max(0, width - len(line) + len(bars))
