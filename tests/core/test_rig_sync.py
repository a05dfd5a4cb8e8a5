"""Instants of a rig: exact, approximate, with a camera that dies."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from da3_ros.core.camera_model import CameraModel
from da3_ros.core.frame import Frame
from da3_ros.core.rig_sync import PATIENCE_NS, RigSynchroniser

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
    assert len(feed(rig, ("left", stamp), ("right", stamp))[-1]) in (1, 2)
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
