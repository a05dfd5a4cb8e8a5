"""Clouds and depth images that lie about themselves: points as they are meant, or one sentence."""

import cv2
import numpy as np
import pytest
from rclpy.serialization import serialize_message
from sensor_msgs.msg import CameraInfo, Image, PointField
from sensor_msgs_py import point_cloud2

from da3_ros.core.camera_model import CameraError
from da3_ros.core.config import Config, PoseConfig
from da3_ros.core.live_config import LiveConfig
from da3_ros.ros.bounds import MOST_CLOUD_FIELDS, field_count
from da3_ros.ros.health.throttled_log import ThrottledLog
from da3_ros.ros.inputs.anchor_input import (
    AnchorError,
    AnchorInput,
    cloud_xyz,
    depth_xyz,
)
from da3_ros.ros.inputs.pose_source import PoseSource
from da3_ros.ros.messages import header
from da3_ros.ros.rectifier import rectifier

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
    """Coordinates of UTM, in float64 as they must be: float32 has steps of half a metre there."""
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
    with pytest.raises(AnchorError, match=f"32FC1 image of width 20 has step {step}, needs 80"):
        depth_xyz(msg, info)


TURN = cv2.Rodrigues(np.array([0.02, -0.05, 0.01]))[0]


def right_camera(**changes):
    """Of a stereo pair 0.12 m apart, with a lens."""
    info = CameraInfo(width=20, height=10, distortion_model="plumb_bob", d=[-0.2, 0.05, 0, 0, 0.0])
    info.k = [20.0, 0, 9.5, 0, 20, 4.5, 0, 0, 1]
    info.r = TURN.ravel()
    info.p = [18.0, 0, 9, -18 * 0.12, 0, 18, 4, 0, 0, 0, 1, 0]
    for name, value in changes.items():
        setattr(info, name, value)
    return info


def depth_of(metres):
    msg = Image(width=20, height=10, step=80, encoding="32FC1")
    msg.data = np.broadcast_to(np.float32(metres), (10, 20)).tobytes()
    return msg


@pytest.mark.parametrize("is_raw", [True, False])
def test_depth_lies_where_a_color_image_of_the_same_camera_shows_it(is_raw):
    """Each point projects by P to the pixel where the rectified picture shows its pixel."""
    info = right_camera()
    points = depth_xyz(depth_of(2.0), info, is_raw=is_raw, is_second=True).astype(float)
    u, v = np.meshgrid(np.arange(20), np.arange(10))
    P = np.reshape(info.p, (3, 4))
    x, y, w = P @ np.c_[points, np.ones(200)].T
    if not is_raw:
        np.testing.assert_allclose([x / w, y / w], [u.ravel(), v.ravel()], atol=1e-4)
        return
    rectify = rectifier(info, is_raw=True, is_second=True)
    shown = [rectify((c * 10).astype(np.uint8)) / 10 for c in (u, v)]
    inside = (x / w > 2) & (x / w < 17) & (y / w > 2) & (y / w < 7)
    at = np.round(y / w).astype(int)[inside], np.round(x / w).astype(int)[inside]
    assert inside.sum() > 50
    assert np.abs(shown[0][at] - u.ravel()[inside]).max() < 0.8  # rounding to whole pixels
    assert np.abs(shown[1][at] - v.ravel()[inside]).max() < 0.8


@pytest.mark.parametrize(
    "changes, words",
    [
        ({"r": np.diag([1.0, 1, -1]).ravel()}, "R: rotation is a reflection"),
        ({"p": np.r_[np.zeros(3), 5.0, np.zeros(8)]}, "P has no inverse"),
        ({"p": np.r_[18.0, 0, 9, np.nan, np.zeros(8)]}, "P must be finite"),
    ],
)
def test_depth_of_a_camera_that_cannot_be_is_refused(changes, words):
    with pytest.raises(CameraError, match=words):
        depth_xyz(depth_of(2.0), right_camera(**changes), is_second=True)


def an_input(now_ns=10**9):
    """Anchors' way in, what it says, and what comes out."""
    said, taken = [], []
    log = ThrottledLog(type("Log", (), {"warning": lambda self, text: said.append(text)})())
    live, poses = LiveConfig(Config()), PoseSource(PoseConfig())
    return AnchorInput(live, log, poses, taken.append, lambda: now_ns), said, taken


def test_depth_whose_topic_is_named_as_rectified_is_described_by_P():
    anchors, said, taken = an_input()
    anchors.name_topic("/depth/image_rect")
    msg = depth_of(2.0)
    msg.header = header("odom", 10**9)
    for _ in range(2):
        anchors.on_info(right_camera())
        anchors.on_depth(msg)
    np.testing.assert_array_equal(taken[1].points, depth_xyz(msg, right_camera(), is_raw=False))
    rectified, second = said
    assert "/depth/image_rect is rectified already, by its name" in rectified
    assert "0.120 m beside the first of a stereo pair" in second


@pytest.mark.parametrize("frame_id", ["", "a", "lidar", "x" * 300])
def test_fields_are_counted_before_they_are_objects(frame_id):
    for count in (0, 1, 500):
        msg = cloud(*count * [field("f", 0)], frame_id=frame_id)
        assert field_count(serialize_message(msg)) == 3 + count


@pytest.mark.parametrize("raw", [b"", b"\0", b"\0\1\0\0", b"\0\1\0\0" + b"\xff" * 20])
def test_what_is_no_cloud_has_no_fields(raw):
    assert field_count(raw) == 0


def test_a_cloud_of_many_fields_is_dropped_and_named():
    anchors, said, taken = an_input()
    anchors.on_raw_points(serialize_message(cloud(*1000 * [field("f", 0)])))
    assert not taken and f"1,003 fields, must have at most {MOST_CLOUD_FIELDS}" in said[0]
    anchors.on_raw_points(b"\0\1\0\0garbage")
    assert not taken and "it is not a PointCloud2" in said[1]
    anchors.on_raw_points(serialize_message(cloud()))
    np.testing.assert_array_equal(taken[0].points, POINTS)
    assert anchors.counts == {"received": 3, "bad message": 2, "used": 1}


def test_of_depth_that_waits_for_its_camera_info_the_newest_is_taken_and_all_is_counted():
    anchors, _, taken = an_input(now_ns=3 * 10**9)
    for second in (1, 2):
        msg = depth_of(2.0)
        msg.header = header("odom", second * 10**9)
        anchors.on_depth(msg)
    assert anchors.counts == {"received": 2, "no camera info": 1}
    anchors.on_info(right_camera())
    assert [a.stamp_ns for a in taken] == [2 * 10**9]
    assert anchors.counts == {"received": 2, "no camera info": 1, "used": 1}
