"""Poses at the image's stamp: late, missing, interpolated, refused."""

import math
import re

import numpy as np
import pytest
from geometry_msgs.msg import TransformStamped
from nav_msgs.msg import Odometry
from tf2_msgs.msg import TFMessage

from da3_ros.core.config import PoseConfig
from da3_ros.ros.inputs.pose_source import PoseSource

MS = 1_000_000
SECOND = 1000 * MS


def transform(parent, child, stamp_ns, x) -> TransformStamped:
    msg = TransformStamped(child_frame_id=child)
    msg.header.frame_id = parent
    msg.header.stamp.sec, msg.header.stamp.nanosec = divmod(stamp_ns, SECOND)
    msg.transform.translation.x = float(x)
    return msg


def odometry(stamp_ns, x, frame="odom") -> Odometry:
    msg = Odometry(child_frame_id="base")
    msg.header.frame_id = frame
    msg.header.stamp.sec, msg.header.stamp.nanosec = divmod(stamp_ns, SECOND)
    msg.pose.pose.position.x = float(x)
    return msg


def source_with_mount(**config) -> PoseSource:
    source = PoseSource(PoseConfig(**config))
    mount = TFMessage(transforms=[transform("base", "camera", 0, 0.5)])
    assert source.take_transforms(mount, static=True) == []
    return source


def move(source, stamp_ns, x):
    msg = TFMessage(transforms=[transform("odom", "base", stamp_ns, x)])
    return source.take_transforms(msg, static=False)


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
    source.take_transforms(TFMessage(transforms=[transform("map", "odom", 0, 10)]), static=True)
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
            transform("odom", "base", SECOND, 1),
            transform("odom", "arm", SECOND, math.nan),
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
        msg = TFMessage(transforms=[transform(parent, child, stamp, 0)])
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
