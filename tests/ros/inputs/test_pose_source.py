"""Poses at the image's stamp: late, missing, interpolated, refused."""

import math
import re

import numpy as np
import pytest
from nav_msgs.msg import Odometry
from rclpy.serialization import serialize_message
from tf2_msgs.msg import TFMessage
from transforms import MS, SECOND, move, source_with_mount, transform

from da3_ros.core.config import PoseConfig
from da3_ros.ros.bounds import MOST_FRAMES, MOST_TRANSFORMS
from da3_ros.ros.inputs.pose_source import PoseSource
from da3_ros.ros.inputs.tf_buffer import TransformUnavailable


def odometry(stamp_ns, x, frame="odom") -> Odometry:
    msg = Odometry(child_frame_id="base")
    msg.header.frame_id = frame
    msg.header.stamp.sec, msg.header.stamp.nanosec = divmod(stamp_ns, SECOND)
    msg.pose.pose.position.x = float(x)
    return msg


def test_pose_from_tf():
    source = source_with_mount()
    move(source, 10 * SECOND, 1)
    move(source, 11 * SECOND, 3)
    assert source.locate("camera", 10 * SECOND + 500 * MS)[0, 3] == pytest.approx(2.5)


def test_pose_from_odometry_ignores_the_same_edge_on_tf():
    source = source_with_mount(source="odometry")
    assert source.take_odometry(odometry(10 * SECOND, 1)) == []
    move(source, 10 * SECOND + 500 * MS, 77)
    source.take_odometry(odometry(11 * SECOND, 3))
    assert source.locate("camera", 10 * SECOND + 500 * MS)[0, 3] == pytest.approx(2.5)


def test_odometry_in_another_frame_goes_through_tf():
    source = source_with_mount(source="odometry", world_frame="map")
    source.take_transforms(
        TFMessage(transforms=[transform("map", "odom", 0, (10, 0, 0))]), static=True
    )
    source.take_odometry(odometry(SECOND, 1))
    assert source.locate("camera", SECOND)[0, 3] == pytest.approx(11.5)


def test_bad_odometry_is_refused_with_its_names():
    source = source_with_mount(source="odometry")
    ((cause, sentence),) = source.take_odometry(odometry(SECOND, math.nan))
    assert "odom -> base contains NaN" in sentence and cause == "NaN or infinity"


def test_refused_odometry_leaves_the_edge_to_tf():
    source = source_with_mount(source="odometry")
    assert source.take_odometry(odometry(SECOND, math.nan)) != []
    move(source, SECOND, 1)
    assert source.locate("camera", SECOND)[0, 3] == pytest.approx(1.5)


def test_no_poses_at_all():
    assert PoseSource(PoseConfig(source="none")).locate("camera", 5) is None


def test_good_transforms_beside_a_bad_one_are_kept():
    source = source_with_mount()
    msg = TFMessage(
        transforms=[
            transform("odom", "base", SECOND, (1, 0, 0)),
            transform("odom", "arm", SECOND, (math.nan, 0, 0)),
        ]
    )
    ((_, sentence),) = source.take_transforms(msg, static=False)
    assert "odom -> arm" in sentence
    assert source.locate("camera", SECOND)[0, 3] == 1.5


def test_clear_keeps_the_mount():
    source = source_with_mount()
    move(source, 10 * SECOND, 1)
    source.clear()
    move(source, SECOND, 2)
    np.testing.assert_allclose(source.locate("camera", SECOND)[:3, 3], (2.5, 0, 0))


@pytest.mark.parametrize("ahead", [5 * SECOND, 10 * SECOND, 3600 * SECOND, 2**31 * SECOND - 1])
def test_a_transform_from_before_time_was_set_back_blinds_nobody(ahead):
    """The clock said so first; what was still under way, or wild, comes after."""
    source = source_with_mount()
    source.clear()
    assert move(source, min(SECOND + ahead, 2**31 * SECOND - 1), 99) == []
    ((_, sentence),) = move(source, SECOND, 1)
    assert re.fullmatch(r"transforms of 'base' jumped back by [\d.]+ s: starting over", sentence)
    assert move(source, 2 * SECOND, 3) == []
    assert source.locate("camera", SECOND + 500 * MS)[0, 3] == pytest.approx(2.5)


def test_transforms_slightly_out_of_order_are_welcome():
    source = source_with_mount()
    for stamp, x in ((SECOND, 1), (3 * SECOND, 5), (2 * SECOND + 100 * MS, 3)):
        assert move(source, stamp, x) == []
    assert source.locate("camera", 2 * SECOND + 100 * MS)[0, 3] == pytest.approx(3.5)


def test_known_until_the_oldest_of_the_newest_on_the_way():
    """What moves beside the way does not count, nor does what never moves."""
    source = source_with_mount(world_frame="map")
    assert source.known_until_ns() is None
    for parent, child, stamp in (
        ("map", "odom", 2 * SECOND),
        ("odom", "base", SECOND),
        ("odom", "base", 3 * SECOND),
        ("base", "arm", 9 * SECOND),
    ):
        msg = TFMessage(transforms=[transform(parent, child, stamp)])
        assert source.take_transforms(msg, static=False) == []
    assert source.known_until_ns() is None  # nobody has asked for a frame yet
    source.locate("camera", 2 * SECOND)
    assert source.known_until_ns() == 2 * SECOND
    source.clear()
    assert source.known_until_ns() is None


def test_refusals_are_counted_by_cause():
    source = source_with_mount()
    move(source, SECOND, math.nan)
    assert source.refused == {"NaN or infinity": 1}


# ---- two clocks, floods, wild numbers ----


def drive(source, stamps_ns, frame="base", parent="odom"):
    """Sends transforms, each as far along x as its own clock says; what was said of them."""
    said = []
    for stamp_ns in stamps_ns:
        msg = TFMessage(transforms=[transform(parent, frame, stamp_ns, (stamp_ns / SECOND, 0, 0))])
        said += source.take_transforms(msg, static=False)
    return said


def two_clocks(offset_ns, count=60, step=50 * MS):
    """Two publishers of the same rate; the stamps of the second are off."""
    for k in range(count):
        yield from (10 * SECOND + k * step, 10 * SECOND + k * step + offset_ns)


@pytest.mark.parametrize("offset", [-1.5, 1.5, -8.0, 3600.0])
def test_two_clocks_of_a_frame_that_nobody_needs_cost_no_pose(offset):
    source = source_with_mount()
    odd = list(two_clocks(round(offset * SECOND)))
    for good, *pair in zip(odd[::2], odd[::2], odd[1::2]):
        assert drive(source, [good]) == []
        drive(source, pair, frame="gripper", parent="base")
        assert source.locate("camera", good)[0, 3] == pytest.approx(good / SECOND + 0.5)


@pytest.mark.parametrize("offset", [-1.5, 1.5, -8.0, 3600.0])
def test_of_two_clocks_on_the_way_the_one_of_the_images_is_followed(offset):
    source = source_with_mount()
    lost, said = 0, []
    stamps = list(two_clocks(round(offset * SECOND)))
    for k in range(1, 60):
        said += drive(source, stamps[2 * k : 2 * k + 2])
        try:
            x = source.locate("camera", stamps[2 * k] - 10 * MS)[0, 3]
        except LookupError:
            lost += 1
            continue
        assert x == pytest.approx(stamps[2 * k] / SECOND - 0.01 + 0.5)
    assert lost <= 3
    (sentence,) = {sentence for cause, sentence in said if cause == "from another clock"}
    where = f"{abs(offset):.1f} s {'ahead of' if offset > 0 else 'behind'}"
    assert where in sentence and "two programs publish it" in sentence
    assert source.refused["from another clock"] >= 56


def test_when_the_clock_that_was_followed_ends_the_other_one_is_right():
    source = source_with_mount()
    stamps = list(two_clocks(-2 * SECOND))
    drive(source, stamps)
    source.locate("camera", stamps[-2])
    later = stamps[-1] + 10 * SECOND
    drive(source, range(stamps[-1], later, 50 * MS))
    assert source.locate("camera", later - 100 * MS)[0, 3] == pytest.approx(later / SECOND + 0.4)


@pytest.mark.parametrize("loops", [1, 2, 7])
def test_a_looped_bag_is_no_second_clock(loops):
    source = source_with_mount()
    for loop in range(loops):
        start = 10 * SECOND + (3600 * SECOND if loop % 5 == 4 else 0)
        for stamp in range(start, start + 3 * SECOND, 100 * MS):
            drive(source, [stamp])
            assert source.locate("camera", stamp)[0, 3] == pytest.approx(stamp / SECOND + 0.5)
    assert source.refused == {}


def test_a_message_of_a_hundred_thousand_frames_is_not_read():
    source = source_with_mount()
    many = TFMessage(transforms=[transform("odom", f"f{k}", SECOND) for k in range(5000)])
    ((cause, sentence),) = source.take_raw_transforms(serialize_message(many), static=False)
    assert cause == "message too large" and "must have at most 256: send some hundred" in sentence
    few = TFMessage(transforms=[transform("odom", "base", SECOND, (1, 0, 0))])
    assert source.take_raw_transforms(serialize_message(few), static=False) == []
    assert source.locate("camera", SECOND)[0, 3] == 1.5
    ((cause, _),) = source.take_raw_transforms(b"\0\1\0\0garbage", static=False)
    assert cause == "no message"


def test_frames_are_bounded_and_those_that_are_known_go_on():
    source = source_with_mount()
    move(source, SECOND, 1)
    many = TFMessage()
    many.transforms = [transform(f"p{k}", f"f{k}", SECOND) for k in range(MOST_FRAMES)]
    ((_, sentence),) = source.take_transforms(many, static=False)
    assert "more than 5000 frames; it is ignored" in sentence
    assert source.refused["too many frames"] == MOST_FRAMES // 2 + 2
    assert move(source, 2 * SECOND, 2) == []
    assert source.locate("camera", 2 * SECOND)[0, 3] == 2.5


@pytest.mark.parametrize(
    "parent, child, x, cause, said",
    [
        ("odom", "x" * 256, 1.0, "name too long", "-> " + "x" * 77 + "... has a name of more than"),
        ("o" * 10**6, "base", 1.0, "name too long", "o" * 77 + "... -> base has a name of more"),
        ("odom", "base", 1e15, "too far away", "is 1e+15 m long, must be within 1e+12 m"),
        ("odom", "base", -1e300, "too far away", "is 1e+300 m long"),
        ("odom", "a\n[ERR] b\x1b[2J", math.nan, "NaN or infinity", r"a\n[ERR] b\x1b[2J contains"),
    ],
)
def test_names_and_numbers_beyond_all_robots(parent, child, x, cause, said):
    source = source_with_mount()
    msg = TFMessage(transforms=[transform(parent, child, SECOND, (x, 0, 0))])
    ((found, sentence),) = source.take_transforms(msg, static=False)
    assert found == cause and said in sentence and len(sentence) < 300


def test_transforms_that_multiply_beyond_the_bound_are_no_pose():
    source = source_with_mount()
    for parent, child in (("odom", "a"), ("a", "base")):
        msg = TFMessage(transforms=[transform(parent, child, SECOND, (0.9e12, 0, 0))])
        assert source.take_transforms(msg, static=False) == []
    with pytest.raises(LookupError, match="lies 1.8e.12 m from the origin"):
        source.locate("camera", SECOND)


def chain(length):
    """Transforms from odom to f<length>, one on the other; the first one moves."""
    names = ["odom", *(f"f{k}" for k in range(1, length + 1))]
    return [transform(p, c, SECOND, (0.5, 0, 0)) for p, c in zip(names, names[1:])]


def test_a_chain_without_end_is_no_pose():
    source = source_with_mount()
    source.take_transforms(TFMessage(transforms=chain(MOST_TRANSFORMS + 1)), static=False)
    deepest = source.locate(f"f{MOST_TRANSFORMS}", SECOND)
    assert deepest[0, 3] == pytest.approx(0.5 * MOST_TRANSFORMS)
    with pytest.raises(
        TransformUnavailable, match="more than 200 transforms above 'f201'"
    ) as error:
        source.locate(f"f{MOST_TRANSFORMS + 1}", SECOND)
    assert not error.value.may_come


def test_frames_asked_for_are_forgotten_with_their_time():
    source = source_with_mount()
    move(source, SECOND, 1)
    move(source, 2 * SECOND, 2)
    source.locate("camera", SECOND)
    assert source.known_until_ns() == 2 * SECOND
    source.clear()
    move(source, 3 * SECOND, 3)
    assert source.known_until_ns() is None
    source.locate("camera", 3 * SECOND)
    assert source.known_until_ns() == 3 * SECOND


def test_odometry_that_never_came_is_said_beside_the_frames_of_tf():
    source = source_with_mount(source="odometry")
    with pytest.raises(TransformUnavailable) as raised:
        source.locate("camera", SECOND)
    assert "; no odometry has come yet; there are base, camera" in source.explain(raised.value)
    source.take_odometry(odometry(SECOND, 1))
    assert "no odometry" not in source.explain(raised.value)


def test_a_second_parent_is_named_where_a_camera_hangs_on_it():
    source = source_with_mount()
    move(source, SECOND, 1)
    source.locate("camera", SECOND)

    def said(parent, child):
        msg = TFMessage(transforms=[transform(parent, child, 2 * SECOND, (0, 0, 0))])
        return [refused.sentence for refused in source.take_transforms(msg, static=False)]

    assert not said("odom", "base") and not said("table", "cup") and not said("hand", "cup")
    (sentence,) = said("map", "base")
    assert sentence.startswith("the parent of frame 'base' was 'odom' and is 'map' now")
    assert "was 'map' and is 'odom' now" in said("odom", "base")[0]


def test_odometry_takes_over_the_place_that_tf_gave():
    """Of two filters one publishes map -> base on a topic, the other map -> odom -> base on TF."""
    source = source_with_mount(source="odometry")
    move(source, SECOND, 1)
    source.locate("camera", SECOND)
    message = odometry(2 * SECOND, 5)
    message.header.frame_id = "map"
    assert source.take_odometry(message) == []
    move(source, 2 * SECOND, 2)  # ignored from now on
    message = odometry(3 * SECOND, 5)
    message.header.frame_id = "map"
    assert source.take_odometry(message) == []
    assert source.lookup("map", "base", 2 * SECOND)[0, 3] == pytest.approx(5)
