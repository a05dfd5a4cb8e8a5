"""Warnings are throttled per cause, and none is hidden by another."""

import itertools
import sys
import threading

import pytest

from da3_ros.core.frame_counts import Drop
from da3_ros.ros.health.throttled_log import PERIOD, ThrottledLog


class Log(list):
    info = warning = error = list.append


def test_one_warning_per_cause_and_period():
    written, now = Log(), [100.0]
    log = ThrottledLog(written, clock=lambda: now[0])
    for late in range(10):
        log.warn(Drop.NO_POSE, f"no transform for {late}.5 s")
        log.warn(Drop.BAD_IMAGE, "bad image")
    assert written == ["no transform for 0.5 s", "bad image"]
    now[0] += PERIOD
    log.warn(Drop.NO_POSE, "no transform for 7 s")
    assert written[2:] == ["no transform for 7 s (9 more like this)"]


def test_one_cause_per_camera():
    written = Log()
    log = ThrottledLog(written, clock=lambda: 0.0)
    for camera in ("cam1", "cam2"):
        for number in ("640x480", "-1.5", "1e+06", "1.5e-3", "nan", "-inf"):
            sentence = f"camera {camera}: its size is {number}"
            log.warn((camera, Drop.BAD_CAMERA_INFO), sentence)
    assert [line[:12] for line in written] == ["camera cam1:", "camera cam2:"]


def test_what_lasts_is_said_once_until_it_ends():
    written = Log()
    log = ThrottledLog(written, clock=lambda: 0.0)
    for _ in range(3):
        log.note_lasting(["no /clock", "no image on /left"])
    assert written == log.recent() == ["no /clock", "no image on /left"]
    log.note_lasting(["no /clock"])
    log.warn("time", "no /clock")
    assert log.recent() == ["no /clock"]
    log.note_lasting(["no /clock", "no image on /left"])
    assert written[2:] == ["no /clock", "no image on /left"]


@pytest.fixture
def restless_threads():
    interval = sys.getswitchinterval()
    sys.setswitchinterval(1e-6)
    yield
    sys.setswitchinterval(interval)


def test_threads_warn_at_once(restless_threads):
    """Every warning finds all others out of date."""
    ticks, errors = itertools.count(step=PERIOD), []
    log = ThrottledLog(Log(), clock=lambda: next(ticks))

    def warn(letter):
        try:
            for k in range(15000):
                log.warn((letter, k % 26), letter + "abcdefghijklmnopqrstuvwxyz"[k % 26])
                log.recent()
        except Exception as error:
            errors.append(error)

    threads = [threading.Thread(target=warn, args=(letter,)) for letter in "abcd"]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(timeout=60)
    assert errors == []


def test_recent_forgets():
    now = [0.0]
    log = ThrottledLog(Log(), clock=lambda: now[0])
    log.warn("late", "late by 1 s")
    log.warn("late", "late by 2 s")
    assert log.recent() == ["late by 2 s"]
    now[0] += PERIOD
    assert log.recent() == []


def test_a_flood_of_one_cause_hides_no_other():
    """Messages of random bytes have no end of names and numbers."""
    written = Log()
    log = ThrottledLog(written, clock=lambda: 0.0)
    for k in range(1000):
        log.warn(Drop.BAD_IMAGE, f"encoding {chr(65 + k % 26)}{k} is not supported")
    log.warn("time", "time jumped back")
    log.fail("inference", "inference failed", "Traceback ...")
    assert written[1:] == ["time jumped back", "inference failed\nTraceback ..."]
    assert len(log.recent()) == 3


def test_failures_bring_their_traceback_once():
    written, now = Log(), [0.0]
    log = ThrottledLog(written, clock=lambda: now[0])
    for _ in range(3):
        log.fail("inference", "inference failed", "Traceback ...")
    assert written == ["inference failed\nTraceback ..."]
    now[0] += PERIOD
    log.fail("inference", "inference failed", "Traceback ...")
    assert written[1:] == ["inference failed (2 more like this)\nTraceback ..."]
