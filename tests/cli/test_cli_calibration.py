"""A calibrated golden from the command line, and another platform that borrows it."""

from __future__ import annotations


def test_recording_says_the_horizon_and_another_platform_may_borrow_the_golden_if_asked_to(
    project, goldtrace
):
    project.declare("tiny", "training:train")
    status, shown, progress = goldtrace("record", "--reason", "first")
    assert status == 0
    assert "calibrated, horizon: step 2 of 2 (" in shown
    assert "calibrating tiny on cpu: 6 of 6 runs" in progress
    assert (project.golden("tiny") / "calibration.json").exists()

    project.declare("tiny", "training:train", 'profile = "cpu-native"\n')
    status, shown, _ = goldtrace("check", "--nearest")
    assert status == 0, shown
    assert "held against cpu-portable, the only calibrated one for cpu" in shown
    status, _, error = goldtrace("check", "--nearest", "--strict")
    assert status == 2
    assert "--strict allows no other platform's golden" in error
