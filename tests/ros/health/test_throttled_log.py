"""Warnings are throttled per cause, and none is hidden by another."""

import itertools
import sys
import threading

import pytest

from da3_ros.ros.health.throttled_log import MOST, PERIOD, Complaints


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


def test_names_with_a_digit_are_not_numbers():
    log = Log()
    complaints = Complaints(log, clock=lambda: 0.0)
    for camera in ("cam1", "cam2"):
        for number in ("640x480", "-1.5", "1e+06", "1.5e-3", "nan", "-inf"):
            complaints.warn(f"camera {camera}: its size is {number}")
    assert [line[:12] for line in log] == ["camera cam1:", "camera cam2:"]


def test_what_lasts_is_said_once_until_it_ends():
    log = Log()
    complaints = Complaints(log, clock=lambda: 0.0)
    for _ in range(3):
        complaints.last(["no /clock", "no image on /left"])
    assert log == complaints.recent() == ["no /clock", "no image on /left"]
    complaints.last(["no /clock"])
    assert complaints.recent() == ["no /clock"]
    complaints.last(["no /clock", "no image on /left"])
    assert log[2:] == ["no image on /left"]


@pytest.fixture
def restless_threads():
    interval = sys.getswitchinterval()
    sys.setswitchinterval(1e-6)
    yield
    sys.setswitchinterval(interval)


def test_threads_complain_at_once(restless_threads):
    """Every complaint finds all others out of date and makes room."""
    ticks, errors = itertools.count(step=PERIOD), []
    complaints = Complaints(Log(), clock=lambda: next(ticks))

    def complain(letter):
        try:
            for k in range(15000):
                complaints.warn(letter + "abcdefghijklmnopqrstuvwxyz"[k % 26])
                complaints.recent()
        except Exception as error:
            errors.append(error)

    threads = [threading.Thread(target=complain, args=(letter,)) for letter in "abcd"]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert errors == []


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
    complaints.warn("time jumped back", always=True)
    complaints.fail("inference failed", "Traceback ...")
    assert log[MOST:] == ["time jumped back", "inference failed\nTraceback ..."]
    now[0] += PERIOD
    complaints.warn("a real trouble")
    assert log[-1] == "a real trouble"


def test_what_was_said_before_takes_no_room_from_what_was_not():
    log, now = Log(), [0.0]
    complaints = Complaints(log, clock=lambda: now[0])
    words = [a + b for a in "abcdefgh" for b in "abcdefgh"]
    for period in range(3):
        now[0] = period * PERIOD
        for word in words:
            complaints.warn(f"encoding {word}")
    assert {line.split(" (")[0] for line in log} == {f"encoding {word}" for word in words}
    assert len(complaints.recent()) == MOST


def test_memory_of_causes_ends(monkeypatch):
    monkeypatch.setattr("da3_ros.ros.health.throttled_log.MOST_KNOWN", 10)
    log, now = Log(), [0.0]
    complaints = Complaints(log, clock=lambda: now[0])
    for word in "abcdefghijklmnop":
        complaints.warn(f"encoding {word}")
    assert len(log) == 10
    now[0] += PERIOD
    complaints.warn("a real trouble")
    assert log[-1] == "a real trouble" and complaints.recent() == ["a real trouble"]


def test_failures_bring_their_traceback_once():
    log, now = Log(), [0.0]
    complaints = Complaints(log, clock=lambda: now[0])
    for _ in range(3):
        complaints.fail("inference failed", "Traceback ...")
    assert log == ["inference failed\nTraceback ..."]
    now[0] += PERIOD
    complaints.fail("inference failed", "Traceback ...")
    assert log[1:] == ["inference failed (2 more like this)\nTraceback ..."]
