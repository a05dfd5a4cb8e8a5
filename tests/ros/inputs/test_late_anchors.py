"""Points from outside whose transforms come late: all are used, or counted by what they lacked."""

import pytest
from sensor_msgs_py import point_cloud2
from test_anchor_messages import POINTS, xyz
from transforms import MS, SECOND, move, source_with_mount

from da3_ros.core.config import from_dict
from da3_ros.core.live_config import LiveConfig
from da3_ros.ros.health.throttled_log import ThrottledLog
from da3_ros.ros.inputs import anchor_input
from da3_ros.ros.inputs.anchor_input import AnchorInput
from da3_ros.ros.messages import header


class Late:
    """Anchors at 30 Hz, their clock, what is said and what is taken."""

    def __init__(self, timeout=1.0):
        self.now_ns, self.said, self.taken = 10 * SECOND, [], []
        log = ThrottledLog(type("Log", (), {"warning": lambda _, text: self.said.append(text)})())
        self.poses = source_with_mount()
        move(self.poses, self.now_ns, 0)
        live = LiveConfig(from_dict({"pose.timeout": timeout}))
        self.anchors = AnchorInput(live, log, self.poses, self.taken.append, lambda: self.now_ns)

    def send(self, count):
        for _ in range(count):
            self.now_ns += SECOND // 30
            rows = POINTS.view([(axis, "f4") for axis in "xyz"]).ravel()
            head = header("camera", self.now_ns)
            self.anchors.on_points(point_cloud2.create_cloud(head, xyz(0, 4, 8), rows))


@pytest.fixture
def late():
    return Late()


def test_thirty_hertz_and_transforms_half_a_second_late(late):
    late.send(15)
    assert not late.taken and late.anchors.are_waiting
    move(late.poses, late.now_ns, 1)
    late.anchors.locate()
    assert len(late.taken) == 15 and not late.said
    assert late.anchors.counts == {"received": 15, "used": 15}


def test_those_whose_transform_never_comes_are_counted_and_said(late):
    late.send(15)
    late.now_ns += 2 * SECOND
    late.anchors.locate()
    assert not late.anchors.are_waiting and "anchor/points is dropped" in late.said[0]
    assert late.anchors.counts == {"received": 15, "after the newest transform": 15}


def test_what_waits_is_bounded_in_bytes_and_the_rest_counted(late, monkeypatch):
    monkeypatch.setattr(anchor_input, "MOST_WAITING_BYTES", 20 * POINTS.nbytes)
    late.send(25)
    assert len(late.anchors.memory[0]) == 20
    assert late.anchors.counts == {"received": 25, "too many wait": 5}
    assert "too many points wait for their transforms" in late.said[0]


def test_a_clock_that_is_set_back_lets_none_wait_for_ever(late):
    late.send(5)
    late.now_ns -= 60 * SECOND
    late.anchors.locate()
    assert not late.anchors.are_waiting


def test_one_look_is_enough_for_all_that_wait_for_the_same(late, monkeypatch):
    late.send(100)
    looks = []
    look = late.poses.lookup
    monkeypatch.setattr(late.poses, "lookup", lambda *key: looks.append(key) or look(*key))
    late.anchors.locate()
    assert len(looks) < 75  # those that are out of time, and the first of the others
    looks.clear()
    move(late.poses, late.now_ns - 500 * MS, 1)
    late.anchors.locate()
    assert len(looks) < 40
