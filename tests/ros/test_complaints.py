"""Warnings are throttled per cause, and none is hidden by another."""

from da3_ros.ros.complaints import PERIOD, Complaints


class Log(list):
    warning = list.append


def test_one_warning_per_cause_and_period():
    log, now = Log(), [100.0]
    complaints = Complaints(log, clock=lambda: now[0])
    for _ in range(10):
        complaints.warn("tf", "no transform")
        complaints.warn("image", "bad image")
    assert log == ["no transform", "bad image"]
    now[0] += PERIOD
    complaints.warn("tf", "still no transform")
    assert log[2:] == ["still no transform (9 more like this)"]


def test_recent_forgets():
    now = [0.0]
    complaints = Complaints(Log(), clock=lambda: now[0])
    complaints.warn("tf", "first")
    complaints.warn("tf", "second")
    assert complaints.recent() == ["second"]
    now[0] += PERIOD
    assert complaints.recent() == []
