"""Messages and the core's types: round trips, and what consumers read out of the bytes."""

import numpy as np
import pytest
from camera_info_messages import HEAD, K, info
from hypothesis import given, settings
from hypothesis import strategies as st
from sensor_msgs.msg import Image, PointCloud2
from sensor_msgs_py.point_cloud2 import read_points
from wire import sent

from da3_ros.core import poses
from da3_ros.core.camera_model import CameraError, CameraModel
from da3_ros.core.point_cloud import POINT, PointCloudWriter
from da3_ros.ros import messages


def test_header_keeps_the_time_to_the_nanosecond():
    assert (HEAD.stamp.sec, HEAD.stamp.nanosec) == (12, 345_678_901)


def test_a_lens_of_zeros_is_no_lens():
    camera = messages.camera_model(info())
    assert (camera.width, camera.height, camera.is_distorted) == (320, 240, False)
    np.testing.assert_array_equal(camera.K, K)


def test_lens_is_kept():
    camera = messages.camera_model(info(d=[0.1, -0.2, 0.0, 0.0, 0.01]))
    assert camera.distortion_model == "plumb_bob" and camera.D[1] == -0.2


def test_fisheye_with_zero_coefficients_is_still_a_fisheye():
    assert messages.camera_model(info(distortion_model="equidistant", d=[0.0] * 4)).is_distorted


@pytest.mark.parametrize(
    "changes, words",
    [
        ({"k": np.zeros(9)}, "fx=0, fy=0"),
        ({"k": np.full(9, np.nan)}, "finite"),
        ({"width": 0}, "0x240"),
        ({"distortion_model": "spherical", "d": [1.0]}, "'spherical' is not supported"),
        ({"d": [1.0, 2.0]}, "coefficients, got 2"),
    ],
)
def test_bad_camera_infos_say_why(changes, words):
    with pytest.raises(CameraError, match=words):
        messages.camera_model(info(**changes))


def test_binning_of_odd_sizes_leaves_the_last_row_and_column_out():
    """Two pixels are one, whatever is left over: fx and cx do not depend on it."""
    K = np.array([[120.0, 0, 84], [0, 120, 56], [0, 0, 1]])
    msg = messages.camera_info_message(CameraModel(169, 113, K), messages.header("camera", 0))
    msg.binning_x = msg.binning_y = 2
    for camera in (messages.camera_model(msg), messages.rectified_camera_model(msg)):
        assert (camera.width, camera.height) == (84, 56)
        np.testing.assert_allclose(camera.K, [[60, 0, 41.75], [0, 60, 27.75], [0, 0, 1]])


def test_region_of_interest_and_binning_move_the_pixels():
    msg = info(binning_x=2, binning_y=2)
    msg.roi.x_offset, msg.roi.y_offset, msg.roi.width, msg.roi.height = 40, 20, 200, 160
    camera = messages.camera_model(msg)
    assert (camera.width, camera.height) == (100, 80)
    point = np.array([[0.1, -0.05, 2.0]])
    full = CameraModel(320, 240, K).project(point)[0]
    # A binned pixel covers two: its centre lies between theirs.
    expected = (full - (40, 20) + 0.5) / 2 - 0.5
    np.testing.assert_allclose(camera.project(point)[0], expected)


def test_rectified_images_use_the_projection_matrix():
    P = np.zeros((3, 4))
    P[:, :3] = K * [[0.9], [0.9], [1]]
    P[0, 3] = -12.0
    camera = messages.rectified_camera_model(info(p=P.ravel(), d=[0.3, 0.0, 0.0, 0.0, 0.0]))
    np.testing.assert_allclose(camera.K, P[:, :3])
    assert not camera.is_distorted
    np.testing.assert_array_equal(messages.rectified_camera_model(info()).K, K)


def test_camera_info_round_trip():
    camera = CameraModel(320, 240, K)
    msg = sent(messages.camera_info_message(camera, HEAD))
    assert msg.header == HEAD and not any(msg.d)
    np.testing.assert_array_equal(messages.camera_model(msg).K, K)
    np.testing.assert_array_equal(messages.rectified_camera_model(msg).K, K)


def test_depth_in_metres_keeps_nan_and_infinity():
    depth = np.array([[1.5, np.nan], [np.inf, 0.25], [3, 4]], np.float32)
    msg = sent(messages.depth_message(depth, "32FC1", HEAD))
    assert (msg.width, msg.height, msg.step, msg.encoding) == (2, 3, 8, "32FC1")
    np.testing.assert_array_equal(np.frombuffer(msg.data, np.float32).reshape(3, 2), depth)


def test_depth_in_millimetres_is_zero_where_unknown():
    depth = np.array([[1.5, np.nan, np.inf], [0.0004, 65.535, 66]], np.float32)
    msg = sent(messages.depth_message(depth, "16UC1", HEAD))
    assert np.frombuffer(msg.data, np.uint16).tolist() == [1500, 0, 0, 0, 65535, 0]


def test_image_of_a_slice_is_packed():
    pixels = np.arange(60, dtype=np.uint8).reshape(4, 5, 3)[:, 1:4]
    msg = sent(messages.image_message(pixels, "rgb8", HEAD))
    assert msg.step == 9
    np.testing.assert_array_equal(np.frombuffer(msg.data, np.uint8).reshape(4, 3, 3), pixels)


def test_cloud_bytes_are_what_the_fields_say():
    depth = np.linspace(1, 3, 320 * 240, dtype=np.float32).reshape(240, 320)
    depth[5, 7] = np.nan
    rgb = np.random.default_rng(0).integers(0, 255, (240, 320, 3), np.uint8)
    camera = CameraModel(320, 240, K)
    msg: PointCloud2 = sent(messages.cloud_message(PointCloudWriter()(depth, rgb, camera), HEAD))
    assert (msg.height, msg.width, msg.row_step) == (240, 320, 320 * msg.point_step)
    assert not msg.is_dense and not msg.is_bigendian and msg.header == HEAD
    data = np.frombuffer(msg.data, np.uint8).reshape(240, 320, msg.point_step)
    offsets = {field.name: field.offset for field in msg.fields}
    xyz = np.stack([field_of(data, offsets[axis]) for axis in "xyz"], axis=-1)
    np.testing.assert_allclose(xyz, camera.rays() * depth[..., None], rtol=1e-5)
    packed = data[..., offsets["rgb"] : offsets["rgb"] + 4]
    np.testing.assert_array_equal(packed[..., [2, 1, 0]], rgb)


def test_confidence_is_one_more_field_of_the_cloud():
    """Read by ROS's own library; the other fields and the size stay."""
    depth, conf = np.ones((240, 320), np.float32), np.full((240, 320), 4.0, np.float32)
    rgb = np.zeros((240, 320, 3), np.uint8)
    points = PointCloudWriter()(depth, rgb, CameraModel(320, 240, K), None, conf)
    plain, more = (
        sent(messages.cloud_message(points, HEAD, confidence=has)) for has in (False, True)
    )
    assert [f.name for f in plain.fields] == ["x", "y", "z", "rgb"]
    assert [f.name for f in more.fields] == ["x", "y", "z", "rgb", "confidence"]
    assert (more.point_step, len(more.data)) == (plain.point_step, len(plain.data))
    read = read_points(more, field_names=["z", "confidence"]).ravel()
    assert set(read["confidence"]) == {0.75} and set(read["z"]) == {1.0}


def field_of(data, offset):
    return np.ascontiguousarray(data[..., offset : offset + 4]).view(np.float32)[..., 0]


def test_messages_keep_what_they_were_given():
    """The depth and the buffer of the cloud are written again for the next frame."""
    depth, points = np.ones((10, 12), np.float32), np.ones((10, 12), POINT)
    image = messages.depth_message(depth, "32FC1", HEAD)
    cloud = messages.cloud_message(points, HEAD)
    depth[:], points["z"] = 2, 2
    assert set(np.frombuffer(image.data, np.float32)) == {1}
    assert set(messages.cloud_points(cloud)["z"].ravel()) == {1}


def test_images_survive_the_wire_at_full_size():
    pixels = np.random.default_rng(0).integers(0, 255, (720, 1280, 3), np.uint8)
    msg: Image = sent(messages.image_message(pixels, "rgb8", HEAD))
    np.testing.assert_array_equal(np.frombuffer(msg.data, np.uint8).reshape(720, 1280, 3), pixels)


finite = st.floats(-1e6, 1e6)
component = st.floats(-1, 1)


@settings(max_examples=100, deadline=None)
@given(
    translation=st.tuples(finite, finite, finite),
    quat=st.tuples(component, component, component, component).filter(
        lambda q: np.linalg.norm(q) > 0.1
    ),
)
def test_poses_round_trip(translation, quat):
    T = poses.from_quat_xyzw(np.array(quat) / np.linalg.norm(quat), translation)
    np.testing.assert_allclose(messages.pose_matrix(messages.pose_message(T)), T, atol=1e-9)
    msg = messages.transform_message(T, HEAD, "child")
    t, q = msg.transform.translation, msg.transform.rotation
    again = poses.from_quat_xyzw((q.x, q.y, q.z, q.w), (t.x, t.y, t.z))
    np.testing.assert_allclose(again, T, atol=1e-9)


@pytest.mark.parametrize(
    "model, d, same_as",
    [
        ("plumb_bob", [-0.2, 0.05, 1e-3, 0, 0.01, 0, 0, 0], ("plumb_bob", 5)),
        ("plumb_bob", [-0.2, 0.05, 1e-3, 0, 0, 0, 0, 0, 0, 0, 0, 0], ("plumb_bob", 5)),
        ("plumb_bob", [-0.2, 0.05, 1e-3, 0, 0.01, 0.3, 0.1, 0], ("rational_polynomial", 8)),
        ("rational_polynomial", [-0.2, 0.05, 0, 0, 0, 0.3, 0, 0, 0, 0], ("rational_polynomial", 8)),
        ("equidistant", [-0.2, 0.05, 1e-3, 0, 0], ("equidistant", 4)),
        ("equidistant", [0.0] * 5, ("equidistant", 4)),
    ],
)
def test_counts_of_coefficients_that_drivers_send(model, d, same_as):
    camera = messages.camera_model(info(distortion_model=model, d=d))
    assert (camera.distortion_model, camera.D.size) == same_as
    np.testing.assert_array_equal(camera.D, d[: same_as[1]])


@pytest.mark.parametrize(
    "model, d, words",
    [
        ("equidistant", [0.1, 0, 0, 0, 0.2], "equidistant takes 4 coefficients, got 5"),
        ("plumb_bob", [0.1, 0, 0, 0, 0, 0.2], "rational_polynomial takes 8 or 12 or 14"),
        ("spherical", [0.0] * 4, "'spherical' is not supported"),
        ("", [0.1, 0, 0, 0, 0], "distortion_model is empty, but D has 5 coefficients"),
    ],
)
def test_lenses_that_are_not_modelled_are_refused(model, d, words):
    with pytest.raises(CameraError, match=words):
        messages.camera_model(info(distortion_model=model, d=d))
