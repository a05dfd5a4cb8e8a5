"""Instants of a rig: exact, approximate, with a camera that dies."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from da3_ros.core import rig_sync
from da3_ros.core.camera_model import CameraModel
from da3_ros.core.frame import Frame
from da3_ros.core.rig_sync import MOST_WAITING, PATIENCE_NS, RigSynchroniser

CAMERA = CameraModel(4, 2, np.diag([4.0, 4.0, 1.0]))
PIXELS = np.zeros((2, 4, 3), np.uint8)


def frame(name, stamp):
    return Frame(name, stamp, PIXELS, CAMERA, None)


def feed(rig, *arrivals):
    """Stamps of the cameras of each instant, in the order of completion."""
    instants = []
    for name, stamp in arrivals:
        instants += rig.add(name, frame(name, stamp))
    return [[(f.camera_id, f.stamp_ns) for f in instant] for instant in instants]


def test_one_camera_never_waits():
    assert feed(RigSynchroniser([""], 0), ("", 1), ("", 2)) == [[("", 1)], [("", 2)]]


def test_equal_stamps_in_the_order_of_the_rig():
    rig = RigSynchroniser(["left", "right"], 0)
    assert feed(rig, ("right", 1), ("left", 1)) == [[("left", 1), ("right", 1)]]


def test_near_stamps_within_the_tolerance():
    rig = RigSynchroniser(["left", "right"], 5)
    arrivals = [("left", 10), ("right", 14), ("left", 30), ("right", 37), ("left", 50)]
    expected = [[("left", 10), ("right", 14)], [("left", 30)], [("right", 37)]]
    assert feed(rig, *arrivals) == expected


def test_a_lost_frame_does_not_hold_the_others():
    rig = RigSynchroniser(["left", "right"], 0)
    arrivals = [("left", 1), ("left", 2), ("right", 2)]
    assert feed(rig, *arrivals) == [[("left", 1)], [("left", 2), ("right", 2)]]


@pytest.mark.parametrize("ever_seen", [True, False])
def test_a_camera_that_dies_is_not_waited_for(ever_seen):
    rig = RigSynchroniser(["left", "right"], 0)
    if ever_seen:
        feed(rig, ("left", 1), ("right", 1))
    step = PATIENCE_NS // 4
    arrivals = [("left", 2 + k * step) for k in range(6)]
    alone = feed(rig, *arrivals)
    assert [len(instant) for instant in alone] == [1] * 6
    assert rig.silent() == ["right"]
    stamp = arrivals[-1][1] + step
    feed(rig, ("left", stamp), ("right", stamp))  # from the next instant on it is waited for
    stamp += step
    assert len(feed(rig, ("right", stamp), ("left", stamp))[-1]) == 2
    assert rig.silent() == []


@given(st.lists(st.tuples(st.sampled_from("abc"), st.integers(0, 30)), max_size=40))
def test_no_frame_is_given_twice_or_to_a_later_instant(arrivals):
    rig = RigSynchroniser(list("abc"), 2)
    instants = feed(rig, *arrivals)
    given_out = [f for instant in instants for f in instant]
    for name in "abc":
        sent = [s for n, s in arrivals if n == name]
        got = [s for n, s in given_out if n == name]
        assert got == sent[: len(got)]
    for instant in instants:
        names = [n for n, _ in instant]
        assert names == sorted(set(names))


def test_at_the_end_whoever_still_waits_is_given_out():
    rig = RigSynchroniser(["left", "right"], 5)
    assert feed(rig, ("left", 1), ("left", 10), ("left", 20), ("right", 12)) == [
        [("left", 1)],
        [("left", 10), ("right", 12)],
    ]
    assert [[f.camera_id for f in instant] for instant in rig.flush()] == [["left"]]
    assert rig.flush() == []


STEP = PATIENCE_NS // 10


def rig_of_four(seconds_apart, count=30):
    """Arrivals of four cameras, in order of true time; `odd` has a clock of its own."""
    offset = round(seconds_apart * 1e9)
    for k in range(count):
        for name in ("a", "b", "odd", "d"):
            yield name, 10**10 + k * STEP + (offset if name == "odd" else 0)


@pytest.mark.parametrize("seconds", [1.5, -1.5, 3600.0, -5.0])
def test_the_clock_of_one_camera_is_apart_and_the_others_go_on(seconds):
    rig = RigSynchroniser(["a", "b", "odd", "d"], 0)
    instants, refused = [], []
    for name, stamp in rig_of_four(seconds):
        instants += rig.add(name, frame(name, stamp))
        assert rig.apart().keys() <= {"odd"}
        refused += rig.take_refused()
    assert rig.apart() == {"odd": pytest.approx(seconds, abs=0.2)} and rig.silent() == []
    good = [[f.camera_id for f in instant] for instant in instants[3:]]
    assert good == [["a", "b", "d"]] * len(good) and len(good) > 25
    assert len(refused) >= 29 and {f.camera_id for f in refused} == {"odd"}


@pytest.mark.parametrize("period", [0.05, 0.5, 2.0, 10.0])
@pytest.mark.parametrize("late", ["a", "c"])
def test_slow_cameras_of_one_clock_are_not_apart(period, late):
    """Also when one comes half a second after the others, or stops and comes back."""
    rig = RigSynchroniser(["a", "b", "c"], 0)
    arrivals = [
        (k * period + (0.5 if name == late else 0), name, round(k * period * 1e9) + 1)
        for k in range(40)
        for name in "abc"
        if not (name == late and 10 < k < 20)
    ]
    for _, name, stamp in sorted(arrivals):
        rig.add(name, frame(name, stamp))
        assert rig.apart() == {}


def test_of_two_cameras_nobody_can_say_whose_clock_is_apart():
    rig = RigSynchroniser(["a", "b"], 0)
    for k in range(20):
        rig.add("a", frame("a", k * STEP + 2 * PATIENCE_NS))
        rig.add("b", frame("b", k * STEP))
        assert rig.apart() == {}


@pytest.mark.parametrize("bound", ["frames", "bytes"])
def test_stamps_that_hardly_move_do_not_wait_for_ever(bound, monkeypatch):
    most = MOST_WAITING
    if bound == "bytes":
        most = 10
        monkeypatch.setattr(rig_sync, "MOST_WAITING_BYTES", most * PIXELS.nbytes)
    rig = RigSynchroniser(["a", "silent"], 0)
    got = feed(rig, *(("a", 1 + k) for k in range(most + 50)))
    assert got == [[("a", 1 + k)] for k in range(50)]
    assert len(rig.flush()) == most
