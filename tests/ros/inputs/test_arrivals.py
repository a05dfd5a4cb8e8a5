"""Image, camera info and pose meet; every image leaves the queue exactly once."""

import re

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from sensor_msgs.msg import CameraInfo, Image
from transforms import MS, SECOND, move, source_with_mount

from da3_ros.core.config import PoseConfig
from da3_ros.core.frame_counts import Drop
from da3_ros.core.poses import PoseError
from da3_ros.ros.inputs.arrivals import Arrival, ArrivalQueue, Lost
from da3_ros.ros.inputs.patience import Patience
from da3_ros.ros.inputs.pose_source import PoseSource


def stamped(kind, stamp_ns):
    msg = kind()
    msg.header.frame_id = "camera"
    msg.header.stamp.sec, msg.header.stamp.nanosec = divmod(stamp_ns, SECOND)
    return msg


def image(stamp_ns):
    return stamped(Image, stamp_ns)


def info(stamp_ns):
    return stamped(CameraInfo, stamp_ns)


def stamp_of(msg):
    return msg.header.stamp.sec * SECOND + msg.header.stamp.nanosec


def without_poses(queue_size=4):
    return ArrivalQueue(PoseSource(PoseConfig(source="none")), Patience(queue_size), 0.2)


def stamps(outcomes):
    return [stamp_of(outcome.image) for outcome in outcomes]


class TestInfos:
    def test_either_may_come_first(self):
        queue = without_poses()
        assert queue.add_image(image(1), 0.0, 0) == [] and list(queue.poll(0)) == []
        assert queue.add_info(info(1), 0) == []
        (arrival,) = queue.poll(0)
        assert arrival.stamp_ns == stamp_of(arrival.info) == 1 and arrival.T_world_frame is None
        assert queue.add_info(info(2), 0) == []
        assert queue.add_image(image(2), 0.0, 0) == []
        assert stamps(queue.poll(0)) == [2] and len(queue) == 0

    def test_near_stamps_are_not_equal(self):
        queue = without_poses()
        queue.add_image(image(1), 0.0, 0)
        assert queue.add_info(info(2), 0) == [] and list(queue.poll(0)) == []

    def test_a_pair_gives_up_older_images(self):
        queue = without_poses()
        for stamp in (1, 2, 3):
            queue.add_image(image(stamp), 0.0, 0)
        lost = queue.add_info(info(3), 0)
        assert stamps(lost) == [1, 2] and {x.reason for x in lost} == {Drop.NO_CAMERA_INFO}
        assert stamps(queue.poll(0)) == [3]

    def test_an_image_without_info_does_not_hold_one_that_has_it(self):
        queue = without_poses()
        queue.add_image(image(5), 0.0, 0)
        queue.add_info(info(3), 0)
        queue.add_image(image(3), 0.0, 0)
        assert stamps(queue.poll(0)) == [3] and len(queue) == 1

    def test_queue_is_bounded(self):
        queue = without_poses(2)
        lost = [x for stamp in range(5) for x in queue.add_image(image(stamp), 0.0, 0)]
        assert stamps(lost) == [0, 1, 2]

    def test_waiting_ends(self):
        queue = without_poses(9)
        queue.add_image(image(1), 10.0, 0)
        queue.add_image(image(2), 10.9, 900 * MS)
        assert stamps(queue.expire(11.5, SECOND + 500 * MS)) == [1]
        assert [stamp_of(msg) for msg in queue.clear()] == [2]
        assert queue.add_info(info(2), 0) == [] and list(queue.poll(0)) == []

    def test_a_slow_simulator_has_its_own_time(self):
        """At a tenth of real time what comes 0.13 s later comes after 1.3 s."""
        queue = without_poses(9)
        queue.add_image(image(10 * SECOND), 50.0, 10 * SECOND)
        assert queue.expire(51.3, 10 * SECOND + 130 * MS) == []
        assert queue.add_info(info(10 * SECOND), 10 * SECOND + 130 * MS) == []
        assert [type(outcome) for outcome in queue.poll(11 * SECOND)] == [Arrival]

    @pytest.mark.parametrize("now_ns", [11 * SECOND + MS, 9 * SECOND])
    def test_simulated_time_that_has_passed_or_was_set_back(self, now_ns):
        queue = without_poses(9)
        queue.add_image(image(10 * SECOND), 50.0, 10 * SECOND)
        assert stamps(queue.expire(60.0, now_ns)) == [10 * SECOND]


def queue_of(source, count=1, *, timeout=0.2, queue_size=10) -> ArrivalQueue:
    """Images 10, 11, ... s with their infos, since 0 on the node's clock."""
    queue = ArrivalQueue(source, Patience(queue_size), timeout)
    for k in range(count):
        assert queue.add_info(info((10 + k) * SECOND), 0) == []
        assert queue.add_image(image((10 + k) * SECOND), 0.0, 0) == []
    return queue


class TestPoses:
    def test_waits_in_order_for_late_transforms(self):
        source = source_with_mount()
        queue = queue_of(source, 3)
        assert list(queue.poll(100 * MS)) == []
        move(source, 10 * SECOND, 1)
        move(source, 11 * SECOND, 2)
        done = list(queue.poll(150 * MS))
        assert [d.stamp_ns for d in done] == [10 * SECOND, 11 * SECOND]
        assert all(isinstance(d, Arrival) for d in done)
        assert done[1].T_world_frame[0, 3] == pytest.approx(2.5)
        assert len(queue) == 1

    def test_gives_up_after_the_timeout_and_names_the_cause(self):
        source = source_with_mount()
        queue = queue_of(source, 2)
        assert list(queue.poll(199 * MS)) == []
        done = list(queue.poll(200 * MS))
        assert [type(d) for d in done] == [Lost, Lost]
        listed = "there are base, camera"
        assert done[0].sentence == f"no pose: frame 'odom' does not exist in TF; {listed}"
        assert (done[0].reason, done[0].detail) == (Drop.NO_POSE, "unknown frame")

    def test_an_empty_tree_is_said(self):
        queue = queue_of(PoseSource(PoseConfig()), 1)
        (lost,) = queue.poll(200 * MS)
        assert lost.sentence.endswith("does not exist in TF: no transform has come yet")

    def test_does_not_wait_for_the_past(self):
        source = source_with_mount()
        move(source, 20 * SECOND, 1)
        (lost,) = queue_of(source, 1).poll(0)
        assert re.search(
            r"odom -> \w+ is known only from 10.000 s after the image on", lost.sentence
        )

    def test_a_clock_set_back_does_not_wait_for_ever(self):
        (lost,) = queue_of(source_with_mount(), 1).poll(-5 * SECOND)
        assert isinstance(lost, Lost)

    def test_a_full_queue_lets_the_oldest_go(self):
        queue = queue_of(source_with_mount(), 2, queue_size=2)
        queue.add_info(info(12 * SECOND), 0)
        (lost,) = queue.add_image(image(12 * SECOND), 0.0, 0)
        assert (stamps([lost]), lost.reason) == ([10 * SECOND], Drop.QUEUE_FULL)
        assert [stamp_of(msg) for msg in queue.clear()] == [11 * SECOND, 12 * SECOND]
        assert len(queue) == 0

    def test_misses_are_counted_by_cause(self):
        source = source_with_mount()
        move(source, 20 * SECOND, 1)
        list(queue_of(source, 2).poll(0))
        assert source.missed == {"before the oldest transform": 2}

    @pytest.mark.parametrize("error", [KeyError("a mistake"), PoseError("contains NaN")])
    def test_whatever_a_lookup_raises_holds_no_other_image(self, error, monkeypatch):
        source = source_with_mount()
        queue = queue_of(source, 2)
        calls = []

        def locate(frame_id, stamp_ns):
            calls.append(stamp_ns)
            if len(calls) == 1:
                raise error
            return np.eye(4)

        monkeypatch.setattr(source, "locate", locate)
        outcomes = []
        try:
            for outcome in queue.poll(0):
                outcomes.append(outcome)
        except KeyError:
            outcomes += queue.poll(0)
        lost, arrival = outcomes
        wanted = Drop.NO_POSE if isinstance(error, PoseError) else Drop.INTERNAL_ERROR
        assert (lost.reason, arrival.stamp_ns, len(queue)) == (wanted, 11 * SECOND, 0)


@given(
    st.lists(
        st.one_of(
            st.tuples(st.just("image"), st.integers(0, 8)),
            st.tuples(st.just("info"), st.integers(0, 8)),
            st.tuples(st.just("pose"), st.integers(0, 8)),
            st.just(("expire", 0)),
            st.just(("poll", 0)),
        ),
        max_size=60,
    ),
    st.integers(1, 4),
)
def test_every_image_leaves_exactly_once(events, queue_size):
    source = source_with_mount()
    queue = ArrivalQueue(source, Patience(queue_size), 5e-9)
    sent, back, waiting = 0, 0, set()
    for now, (what, stamp) in enumerate(events):
        gone = []
        if what == "expire":
            gone = queue.expire(now / 4, now * SECOND // 4)
        elif what == "poll":
            gone = list(queue.poll(now))
        elif what == "pose":
            move(source, stamp, 1)
        elif what == "info":
            gone = queue.add_info(info(stamp), now)
        elif stamp not in waiting:  # the counts refuse equal stamps before they come here
            sent += 1
            waiting.add(stamp)
            gone = queue.add_image(image(stamp), now / 4, now)
        back += len(gone)
        waiting -= set(stamps(gone))
        assert len(waiting) == len(queue) <= 2 * queue_size
    assert back + len(queue.clear()) == sent


def test_the_info_of_the_image_that_shows_a_jump_is_kept():
    """Drivers may send it first: each loop of a bag would lose an image."""
    queue = without_poses()
    for stamp_ns in (8 * SECOND, 9 * SECOND, 1 * SECOND):
        queue.add_info(info(stamp_ns), 0)
    queue.clear()
    assert queue.add_image(image(1 * SECOND), 0.0, 0) == []
    assert [type(outcome) for outcome in queue.poll(0)] == [Arrival]


class TestOfABag:
    """Image and camera info were recorded far apart."""

    def queue(self, size=1000):
        return ArrivalQueue(PoseSource(PoseConfig(source="none")), Patience(2, 20, size), 0.2)

    @pytest.mark.parametrize("infos_first", [False, True])
    def test_none_is_lost(self, infos_first):
        queue, lost = self.queue(), []
        add_images = [lambda k=k: queue.add_image(image(k), 0.0, 0) for k in range(1, 21)]
        add_infos = [lambda k=k: queue.add_info(info(k), 0) for k in range(1, 21)]
        for add in [*add_infos, *add_images] if infos_first else [*add_images, *add_infos]:
            lost += add()
            list(queue.poll(0))
        assert lost == []

    def test_what_waits_is_bounded_in_time_and_in_bytes(self):
        queue = self.queue()
        lost = [stamps(queue.add_image(image(stamp), 0.0, 0)) for stamp in (1, 10, 20, 21, 22)]
        assert lost == [[], [], [], [], [1]]
        queue, big = self.queue(size=100), image(1)
        big.data = bytes(60)
        queue.add_image(big, 0.0, 0)
        for stamp in (2, 3):
            small = image(stamp)
            small.data = bytes(30)
            lost = stamps(queue.add_image(small, 0.0, 0))
        assert lost == [1]

    def test_images_that_wait_at_the_end_are_said(self):
        queue = self.queue()
        queue.add_info(info(5), 0)
        queue.add_image(image(6), 0.0, 0)
        (lost,) = queue.end()
        assert lost.reason is Drop.NO_CAMERA_INFO and "those have other stamps" in lost.sentence
        assert len(queue) == 0
