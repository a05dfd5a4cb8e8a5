"""Poses of a bag: every image that the live node would publish has its true pose offline."""

from dataclasses import dataclass

import numpy as np
import pytest
from geometry_msgs.msg import TransformStamped
from hypothesis import given, settings
from hypothesis import strategies as st
from nav_msgs.msg import Odometry
from sensor_msgs.msg import Image
from tf2_msgs.msg import TFMessage

from da3_ros.core.config import PoseConfig
from da3_ros.ros import messages
from da3_ros.ros.bags.bag import BagError, BagReader, BagWriter
from da3_ros.ros.bags.bag_poses import MOST_REFUSED, BagPoses
from da3_ros.ros.inputs.pose_source import PoseSource
from da3_ros.ros.inputs.tf_buffer import TransformUnavailable
from da3_ros.ros.messages import stamp_to_ns
from da3_ros.ros.topics.topic_error import TopicError

START = 1_700_000_000.0
TIMEOUT = 0.5
SPEED = 0.3
"""m/s along x, in the time of the stamps."""


def ns(seconds):
    return round(seconds * 1e9)


def edge(stamp, x, parent="odom", child="base"):
    T = np.eye(4)
    T[0, 3] = x
    return messages.transform_message(T, messages.header(parent, ns(stamp)), child)


def moving(stamp):
    return TFMessage(transforms=[edge(stamp, SPEED * (stamp - START))])


def image(stamp):
    return Image(header=messages.header("camera", ns(stamp)))


def write(path, recorded):
    """recorded: (recording time in s, topic, message)."""
    with BagWriter(path) as bag:
        bag.write("/tf_static", ns(START), TFMessage(transforms=[edge(START, 1, "base", "camera")]))
        for time, topic, msg in sorted(recorded, key=lambda r: r[0]):
            bag.write(topic, ns(time), msg)
    return path


def offline(path, **options):
    """stamp_ns -> x of each image that has a pose, and the stamps of all."""
    config = PoseConfig(**{"world_frame": "odom", **options})
    found, stamps = {}, []
    with BagReader(path) as bag, BagReader(path) as pose_bag:
        poses = BagPoses(pose_bag, config, ahead_ns=ns(TIMEOUT))
        newest_ns = 0
        for _, time_ns, msg in bag.messages("/image"):
            stamp_ns = stamp_to_ns(msg.header.stamp)
            poses.read_until(time_ns)
            if stamp_ns < newest_ns - 1_000_000_000:
                poses.start_over()
                newest_ns = 0
            newest_ns = max(newest_ns, stamp_ns)
            stamps.append(stamp_ns)
            try:
                found[stamp_ns] = poses.locate("camera", stamp_ns)[0, 3]
            except TransformUnavailable:
                continue
    return found, stamps


def live(path):
    """Stamps of the images that a node gets a pose for: it waits, and knows nothing of later."""
    source, waiting, found = PoseSource(PoseConfig(world_frame="odom")), [], set()
    with BagReader(path) as bag:
        for topic, time_ns, msg in bag.messages("/tf", "/tf_static", "/image"):
            if topic == "/image":
                waiting.append((time_ns, stamp_to_ns(msg.header.stamp)))
            else:
                source.take_transforms(msg, static=topic == "/tf_static")
            waiting = [w for w in waiting if time_ns - w[0] < ns(TIMEOUT)]
            for item in list(waiting):
                try:
                    source.locate("camera", item[1])
                except TransformUnavailable:
                    continue
                found.add(item[1])
                waiting.remove(item)
    return found


def assert_true(found):
    """Every pose is where the robot was at the stamp."""
    for stamp_ns, x in found.items():
        assert x == pytest.approx(SPEED * (stamp_ns / 1e9 - START) + 1, abs=1e-5)


@dataclass(frozen=True)
class Trouble:
    """What happens at a moment, in s from the start."""

    kind: str
    at: float
    amount: float


TROUBLES = st.builds(
    Trouble,
    st.sampled_from(["pause", "silence", "late", "zero", "future", "slow"]),
    st.floats(0, 12),
    st.floats(0.1, 40),
)


def drive(troubles):
    """Twelve seconds of TF at 20 Hz and images at 5 Hz, with troubles."""
    recorded = []
    for step in range(240):
        t = step / 20
        pause = sum(
            trouble.amount for trouble in troubles if trouble.kind == "pause" and t > trouble.at
        )
        stamp = START + t + pause
        now = {tr.kind: tr for tr in troubles if 0 <= t - tr.at < 0.05}
        silent = any(tr.kind == "silence" and 0 <= t - tr.at < tr.amount for tr in troubles)
        delay = 0.02 + 0.4 * any(
            tr.kind == "slow" and 0 <= t - tr.at < tr.amount for tr in troubles
        )
        if not silent:
            recorded.append((stamp + delay, "/tf", moving(stamp)))
        if "late" in now:
            recorded.append((stamp + delay, "/tf", moving(stamp - now["late"].amount)))
        if "zero" in now:
            recorded.append((stamp + delay, "/tf", TFMessage(transforms=[edge(0, 77)])))
        if "future" in now:
            wrong = edge(stamp + 1e5 * now["future"].amount, 77)
            recorded.append((stamp + delay, "/tf", TFMessage(transforms=[wrong])))
        if step % 4 == 1:
            recorded.append((stamp + 0.03, "/image", image(stamp + 0.013)))
    return recorded


@settings(max_examples=15)
@given(troubles=st.lists(TROUBLES, max_size=4))
def test_offline_loses_nothing_that_live_does_not(tmp_path_factory, troubles):
    path = write(tmp_path_factory.mktemp("drive") / "bag", drive(troubles))
    found, stamps = offline(path)
    assert live(path) <= found.keys()
    assert_true(found)
    if not any(trouble.kind in ("pause", "silence") for trouble in troubles):
        assert len(found) >= len(stamps) - 1  # nothing is known after the end


@pytest.mark.parametrize("kind, most", [("late", 0), ("zero", 0), ("future", 0), ("pause", 1)])
def test_one_stamp_does_not_decide_for_others(tmp_path, kind, most):
    found, stamps = offline(write(tmp_path / "bag", drive([Trouble(kind, 5.0, 20.0)])))
    assert len(found) >= len(stamps) - 1 - most
    assert_true(found)


def test_a_gap_is_not_bridged_by_a_guess(tmp_path):
    """No transform for 20 s while images go on: those in the gap have no pose."""
    recorded = [
        (START + t, "/tf", moving(START + t))
        for t in (*np.arange(0, 3, 0.1), *np.arange(23, 26, 0.1))
    ]
    recorded += [(START + t, "/image", image(START + t)) for t in np.arange(0.05, 25, 0.5)]
    found, stamps = offline(write(tmp_path / "bag", recorded))
    inside = {s for s in stamps if START + 2.9 < s / 1e9 < START + 23}
    assert len(inside) > 30 and not inside & found.keys()
    assert len(found) == len(stamps) - len(inside)


@pytest.mark.parametrize("back", [3.0, 8.0, 100.0])
def test_after_a_jump_back_each_run_has_its_own_poses(tmp_path, back):
    """The second run is elsewhere, and its stamps meet those of the first."""
    recorded = []
    for run, first in enumerate((START, START + 8 - back)):
        for k in range(160):
            t = k / 20
            x = SPEED * (first + t - START) + 1000 * run
            transform = TFMessage(transforms=[edge(first + t, x)])
            recorded.append((START + 8 * run + t + 0.01, "/tf", transform))
            if k % 4 == 1 and 0.5 < t < 7.5:
                recorded.append((START + 8 * run + t + 0.03, "/image", image(first + t + 0.013)))
    path = write(tmp_path / "bag", recorded)
    with BagReader(path) as bag, BagReader(path) as pose_bag:
        poses, seen, newest = BagPoses(pose_bag, PoseConfig(world_frame="odom")), 0, 0
        for _, time_ns, msg in bag.messages("/image"):
            stamp_ns = stamp_to_ns(msg.header.stamp)
            poses.read_until(time_ns)
            if stamp_ns < newest - ns(1):
                poses.start_over()
            newest = stamp_ns
            run = time_ns > ns(START + 8)
            x = poses.locate("camera", stamp_ns)[0, 3]
            assert x == pytest.approx(SPEED * (stamp_ns / 1e9 - START) + 1 + 1000 * run, abs=1e-5)
            seen += 1
    assert seen == 2 * 35


def test_transforms_that_come_seconds_after_their_images(tmp_path):
    recorded = [(START + t + 3.0, "/tf", moving(START + t)) for t in np.arange(0, 8, 0.1)]
    recorded += [(START + t, "/image", image(START + t)) for t in np.arange(0.05, 7.8, 0.2)]
    found, stamps = offline(write(tmp_path / "bag", recorded))
    assert len(found) == len(stamps)
    assert_true(found)


def test_a_static_transform_that_comes_late_or_changes(tmp_path):
    recorded = [(START + t, "/tf", moving(START + t)) for t in np.arange(0, 30, 0.1)]
    recorded += [(START + t, "/image", image(START + t)) for t in (0.05, 25.05)]
    again = TFMessage(transforms=[edge(START + 20, 5, "base", "camera")])
    recorded.append((START + 20, "/tf_static", again))
    found, _ = offline(write(tmp_path / "bag", recorded))
    first, last = found.values()
    assert (first, last) == (pytest.approx(SPEED * 0.05 + 1), pytest.approx(SPEED * 25.05 + 5))


def static_edge(x):
    return TFMessage(transforms=[edge(START, x, "base", "camera")])


def test_a_static_transform_counts_from_when_it_changes_on(tmp_path):
    """Only the first of a frame counts before it was sent."""
    recorded = [(START + t, "/tf", moving(START + t)) for t in np.arange(0, 9, 0.1)]
    recorded += [(START + t, "/tf_static", static_edge(t)) for t in (5, 7)]
    recorded += [(START + t, "/image", image(START + t)) for t in np.arange(0.05, 8.8, 0.5)]
    found, stamps = offline(write(tmp_path / "bag", recorded))
    assert [*found] == stamps
    for stamp_ns, x in found.items():
        t = stamp_ns / 1e9 - START
        assert x == pytest.approx(SPEED * t + (1 if t < 5 else 5 if t < 7 else 7), abs=1e-5)


@pytest.mark.parametrize("static_first", [False, True])
def test_a_frame_that_begins_or_ends_to_move(tmp_path, static_first):
    """From 5 s on by transforms that move, or by a static one: neither counts before."""
    recorded = []
    for t in np.arange(0, 10, 0.1):
        recorded.append((START + t, "/tf", moving(START + t)))
        if (t > 5) == static_first:
            turret = TFMessage(transforms=[edge(START + t, 2, "base", "turret")])
            recorded.append((START + t, "/tf", turret))
    static = TFMessage(transforms=[edge(START, 3, "base", "turret")])
    recorded.append((START - 1 if static_first else START + 5.03, "/tf_static", static))
    recorded.append((START, "/tf_static", TFMessage(transforms=[edge(START, 1, "turret", "eye")])))
    path = write(tmp_path / "bag", recorded)
    with BagReader(path) as bag:
        poses = BagPoses(bag, PoseConfig(world_frame="odom"))
        for t in (0.55, 2.05, 4.55, 5.55, 8.05):
            poses.read_until(ns(START + t))
            turret = 3 if (t < 5) == static_first else 2
            x = poses.locate("eye", ns(START + t))[0, 3]
            assert x == pytest.approx(SPEED * t + turret + 1, abs=1e-5)


def odometry(stamp, x, child="base"):
    msg = Odometry(header=messages.header("odom", ns(stamp)), child_frame_id=child)
    msg.pose.pose.position.x = x
    msg.pose.pose.orientation.w = 1.0
    return msg


def test_odometry_instead_of_the_same_edge_on_tf(tmp_path):
    recorded = []
    for t in np.arange(0, 3, 0.1):
        recorded.append((START + t, "/tf", TFMessage(transforms=[edge(START + t, 500)])))
        recorded.append((START + t, "/wheel", odometry(START + t, SPEED * t)))
    recorded += [(START + t, "/image", image(START + t)) for t in np.arange(0.05, 2.8, 0.2)]
    found, stamps = offline(write(tmp_path / "bag", recorded), source="odometry")
    assert len(found) == len(stamps)
    assert_true(found)


def test_which_odometry_is_not_guessed(tmp_path):
    recorded = [(START, topic, odometry(START, 0)) for topic in ("/wheel", "/visual")]
    path, config = write(tmp_path / "bag", recorded), PoseConfig(source="odometry")
    with BagReader(path) as bag:
        with pytest.raises(BagError, match="several odometries: --odometry with /visual, /wheel"):
            BagPoses(bag, config)
        with pytest.raises(TopicError, match="--odometry /gps: there are /visual, /wheel"):
            BagPoses(bag, config, odometry="/gps")
        assert BagPoses(bag, config, odometry="/wheel").refused == {}


def test_transforms_that_are_none_are_named_once(tmp_path):
    bad = TransformStamped(header=messages.header("odom", 1), child_frame_id="base")
    bad.transform.translation.x = float("nan")
    recorded = [(START + t, "/tf", TFMessage(transforms=[bad])) for t in np.arange(0, 1, 0.1)]
    path = write(tmp_path / "bag", recorded)
    with BagReader(path) as bag:
        poses = BagPoses(bag, PoseConfig())
        poses.read_until(ns(START + 2))
    assert list(poses.refused) == ["transform odom -> base contains NaN or infinity; it is ignored"]


def test_a_mount_that_is_refused_is_the_reason_and_stays_named(tmp_path):
    """Static transforms are read before anything is written, for all of the bag."""
    bad = edge(START, 1, "base", "lens")
    bad.transform.rotation.w = 1.1
    recorded = [(START + t, "/tf", moving(START + t)) for t in np.arange(0, 1, 0.1)]
    recorded += [(START, "/tf_static", TFMessage(transforms=[bad]))]
    recorded += [(START, "/tf_static", TFMessage(transforms=[edge(START, 1, "a", "other")]))]
    with BagReader(write(tmp_path / "bag", recorded)) as bag:
        poses = BagPoses(bag, PoseConfig(world_frame="odom"))
        poses.read_until(ns(START + 0.5))
        poses.forget_refused()
        for frame, reason in {
            "lens": "frame 'lens' does not exist in TF",
            "other": "no chain of transforms connects 'odom' and 'other'",
        }.items():
            with pytest.raises(TransformUnavailable, match=reason):
                poses.locate(frame, ns(START + 0.5))
    assert list(poses.refused) == [
        "transform base -> lens has a quaternion of length 1.1, must be 1; it is ignored"
    ]


def test_made_up_names_of_transforms_are_not_all_kept(tmp_path):
    bad = [edge(START, float("nan"), child=f"made_up_{i}") for i in range(500)]
    path = write(tmp_path / "bag", [(START, "/tf", TFMessage(transforms=bad))])
    with BagReader(path) as bag:
        poses = BagPoses(bag, PoseConfig())
        poses.read_until(ns(START + 2))
    assert len(poses.refused) == MOST_REFUSED + 1
    assert [*poses.refused][-1] == "more transforms than these are ignored"


def corrections(folder, moves, odom="odom"):
    """x of the frame of odometry in `map` when images were taken. moves: x of the base at s."""
    recorded = []
    for t in np.arange(0, 4, 0.1):
        slam = edge(START + t, 0.0 if t < 2 else 5.0, "map", odom)
        base = edge(START + t, moves(t), odom)
        recorded.append((START + t, "/tf", TFMessage(transforms=[slam, base])))
    with BagReader(write(folder / "bag", recorded)) as bag:
        bag_poses, found = BagPoses(bag, PoseConfig(world_frame="map")), []
        for t in (0.55, 1.95, 3.05):
            bag_poses.read_until(ns(START + t))
            T = bag_poses.correction("camera", ns(START + t))
            found.append(None if T is None else T[0, 3])
            assert bag_poses.locate("camera", ns(START + t)) is not None
        assert bag_poses.correction("camera", ns(START + 60)) is None
        return found


@pytest.mark.parametrize("odom", ["odom", "robot1/odom"])
def test_where_slam_has_placed_odometry(tmp_path, odom):
    found = corrections(tmp_path, lambda t: SPEED * t, odom)
    assert found == pytest.approx([0, 2.5, 5], abs=1e-4)


def test_only_a_frame_of_odometry_that_the_robot_moves_in_is_one(tmp_path):
    assert corrections(tmp_path, lambda t: 1.0) == [None] * 3
    (tmp_path / "b").mkdir()
    assert corrections(tmp_path / "b", lambda t: SPEED * t, "carrier") == [None] * 3
