"""Clouds and depth images that lie about themselves: points as they are meant, or one sentence."""

import numpy as np
import pytest
from rclpy.serialization import serialize_message
from sensor_msgs.msg import CameraInfo, Image, PointField
from sensor_msgs_py import point_cloud2

from da3_ros.core.config import Config, PoseConfig
from da3_ros.core.live_config import LiveConfig
from da3_ros.ros.health.throttled_log import ThrottledLog
from da3_ros.ros.inputs.anchor_input import (
    AnchorError,
    AnchorInput,
    cloud_xyz,
    depth_xyz,
)
from da3_ros.ros.inputs.bounds import MOST_CLOUD_FIELDS, field_count
from da3_ros.ros.inputs.pose_source import PoseSource
from da3_ros.ros.messages import header

POINTS = np.random.default_rng(0).random((50, 3)).astype(np.float32)
FLOAT = PointField.FLOAT32


def field(name, offset, datatype=FLOAT, count=1):
    return PointField(name=name, offset=offset, datatype=datatype, count=count)


def xyz(*offsets, **options):
    return [field(axis, offset, **options) for axis, offset in zip("xyz", offsets)]


def cloud(*others, frame_id="odom", **changes):
    """Of `POINTS`, 12 bytes each, with more fields beside x, y and z."""
    rows = POINTS.view([(axis, np.float32) for axis in "xyz"]).ravel()
    msg = point_cloud2.create_cloud(header(frame_id, 10**9), xyz(0, 4, 8), rows)
    msg.fields = [*msg.fields, *others]
    for name, value in changes.items():
        setattr(msg, name, value)
    return msg


@pytest.mark.parametrize(
    "msg",
    [
        cloud(field("ring", 0, datatype=255)),
        cloud(field("rgb", 2**31)),
        cloud(field("descriptor", 0, count=2**31)),
        cloud(field("", 0), field("", 4)),
        cloud(field("a\0\u202e", 0)),
        cloud(fields=xyz(0, 4, 8, count=0)),
        cloud(row_step=2**32 - 1),
    ],
    ids=["type", "offset", "count", "no names", "odd name", "count 0", "one row"],
)
def test_other_fields_may_be_anything(msg):
    np.testing.assert_array_equal(cloud_xyz(msg), POINTS)


def test_a_cloud_in_a_far_world_keeps_its_millimetres():
    """Coordinates of UTM, in float64; in float32 they have steps of half a metre."""
    far = POINTS + np.array([512345.37, 5404321.62, 431.18])
    rows = far.view([(axis, np.float64) for axis in "xyz"]).ravel()
    fields = xyz(0, 8, 16, datatype=PointField.FLOAT64)
    msg = point_cloud2.create_cloud(header("utm", 10**9), fields, rows)
    np.testing.assert_array_equal(cloud_xyz(msg), far)


@pytest.mark.parametrize(
    "msg, said",
    [
        (cloud(point_step=0), "x, y, z lie beyond them"),
        (cloud(fields=xyz(0, 4, 9)), "x, y, z lie beyond them"),
        (cloud(fields=xyz(0, 4, 2**31)), "x, y, z lie beyond them"),
        (cloud(fields=xyz(0, 4, 8, datatype=PointField.FLOAT64)), "x, y, z lie beyond them"),
        (cloud(fields=xyz(0, 4, 8, count=3)), "must be floats"),
        (cloud(fields=xyz(0, 4)), "must be floats"),
        (cloud(width=2**32 - 1), "bytes are not 4294967295x1 points"),
        (cloud(width=25, height=2, row_step=301), "rows are padded"),
    ],
)
def test_positions_that_are_not_there_are_named(msg, said):
    with pytest.raises(AnchorError, match=said):
        cloud_xyz(msg)


@pytest.mark.parametrize("step", [0, 1, 79])
def test_depth_whose_rows_are_shorter_than_its_pixels(step):
    """Their values would come from other places."""
    info = CameraInfo(width=20, height=10, k=[20.0, 0, 10, 0, 20, 5, 0, 0, 1])
    msg = Image(width=20, height=10, step=80, encoding="32FC1")
    msg.data = np.ones(200, np.float32).tobytes()
    assert len(depth_xyz(msg, info)) == 200
    msg.step = step
    with pytest.raises(AnchorError, match=f"its step is {step}, 32FC1 of that width needs 80"):
        depth_xyz(msg, info)


@pytest.mark.parametrize("frame_id", ["", "a", "lidar", "x" * 300])
def test_fields_are_counted_before_they_are_objects(frame_id):
    for count in (0, 1, 500):
        msg = cloud(*count * [field("f", 0)], frame_id=frame_id)
        assert field_count(serialize_message(msg)) == 3 + count


@pytest.mark.parametrize("raw", [b"", b"\0", b"\0\1\0\0", b"\0\1\0\0" + b"\xff" * 20])
def test_what_is_no_cloud_has_no_fields(raw):
    assert field_count(raw) == 0


def test_a_cloud_of_many_fields_is_dropped_and_named():
    said, taken = [], []
    log = ThrottledLog(type("Log", (), {"warning": lambda self, text: said.append(text)})())
    anchors = AnchorInput(
        LiveConfig(Config()), log, PoseSource(PoseConfig()), taken.append, lambda: 10**9
    )
    anchors.on_raw_points(serialize_message(cloud(*1000 * [field("f", 0)])))
    assert not taken and f"1,003 fields, must have at most {MOST_CLOUD_FIELDS}" in said[0]
    anchors.on_raw_points(b"\0\1\0\0garbage")
    assert not taken and "it is not a PointCloud2" in said[1]
    anchors.on_raw_points(serialize_message(cloud()))
    np.testing.assert_array_equal(taken[0].points, POINTS)
