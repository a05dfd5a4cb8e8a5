"""Warnings are throttled per cause, and none is hidden by another."""

from da3_ros.ros.complaints import MOST, PERIOD, Complaints


class Log(list):
    warning = error = list.append


def test_one_warning_per_cause_and_period():
    log, now = Log(), [100.0]
    complaints = Complaints(log, clock=lambda: now[0])
    for late in range(10):
        complaints.warn(f"no transform for {late}.5 s")
        complaints.warn("bad image")
    assert log == ["no transform for 0.5 s", "bad image"]
    now[0] += PERIOD
    complaints.warn("no transform for 7 s")
    assert log[2:] == ["no transform for 7 s (9 more like this)"]


def test_recent_forgets():
    now = [0.0]
    complaints = Complaints(Log(), clock=lambda: now[0])
    complaints.warn("late by 1 s")
    complaints.warn("late by 2 s")
    assert complaints.recent() == ["late by 2 s"]
    now[0] += PERIOD
    assert complaints.recent() == []


def test_a_flood_of_different_causes_ends():
    log, now = Log(), [0.0]
    complaints = Complaints(log, clock=lambda: now[0])
    words = [a + b for a in "abcdefgh" for b in "abcdefgh"]
    for word in words:
        complaints.warn(f"encoding {word}")
    assert len(log) == MOST
    now[0] += PERIOD
    complaints.warn("a real trouble")
    assert log[-1] == "a real trouble"


def test_failures_bring_their_traceback_once():
    log, now = Log(), [0.0]
    complaints = Complaints(log, clock=lambda: now[0])
    for _ in range(3):
        complaints.fail("inference failed", "Traceback ...")
    assert log == ["inference failed\nTraceback ..."]
    now[0] += PERIOD
    complaints.fail("inference failed", "Traceback ...")
    assert log[1:] == ["inference failed (2 more like this)\nTraceback ..."]
