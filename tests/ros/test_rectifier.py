"""R and P of a camera info: definition of CameraInfo, rectified as image_proc does."""

import tracemalloc

import numpy as np
import pytest
from camera_info_messages import HEAD, K, info
from sensor_msgs.msg import CameraInfo, RegionOfInterest
from wire import sent

from da3_ros.core import poses
from da3_ros.core.camera_model import CameraError
from da3_ros.core.point_cloud import PointCloudWriter
from da3_ros.ros import messages
from da3_ros.ros.rectifier import rectifier

TURN = poses.from_quat_xyzw(np.array([0.01, -0.03, 0.004, 0.99949]), (0, 0, 0))[:3, :3]


def stereo(baseline=0.12, **changes) -> CameraInfo:
    P = np.zeros((3, 4))
    P[:, :3] = [[280.0, 0, 158], [0, 280, 118], [0, 0, 1]]
    P[0, 3] = -280 * baseline
    return info(r=TURN.ravel(), p=P.ravel(), d=[-0.2, 0.05, 0, 0, 0], **changes)


def test_the_rectified_picture_is_that_of_P_and_R():
    """A raw pixel and the rectified one that shows the same point of the left camera's frame."""
    rectify = rectifier(stereo(), is_raw=True, is_second=True)
    u, v = np.meshgrid(np.arange(320), np.arange(240))
    shown = rectify(np.round(u * 0.75).astype(np.uint8)), rectify(v.astype(np.uint8))
    raw = messages.camera_model(stereo())
    P = np.reshape(stereo().p, (3, 4))
    for point in ([0.3, 0.1, 2.0], [-0.4, 0.2, 3.0], [0.12, 0.0, 1.0]):
        x, y, w = P @ np.r_[point, 1]
        row, column = round(y / w), round(x / w)
        in_camera = np.array(point) - rectify.centre
        exact = raw.project((TURN.T @ in_camera)[None])[0]
        assert abs(shown[0][row, column] / 0.75 - exact[0]) < 2.5  # px, and a grey value's rounding
        assert abs(shown[1][row, column] - exact[1]) < 1.5
    np.testing.assert_allclose(rectify.centre, [0.12, 0, 0])
    np.testing.assert_array_equal(rectify.camera.K, P[:, :3])


@pytest.mark.parametrize("is_raw", [True, False])
def test_the_cloud_and_the_info_of_a_second_camera_are_in_the_frame_of_the_first(is_raw):
    """Every point of the cloud projects to its own pixel by the P that is published with it."""
    rectify = rectifier(stereo(), is_raw=is_raw, is_second=True)
    depth = np.linspace(1, 3, 320 * 240, dtype=np.float32).reshape(240, 320)
    picture = np.zeros((240, 320, 3), np.uint8)
    cloud = PointCloudWriter()(depth, picture, rectify.camera, rectify.centre)
    P = np.reshape(
        sent(messages.camera_info_message(rectify.camera, HEAD, rectify.centre)).p, (3, 4)
    )
    q = np.stack([cloud[axis].astype(float) for axis in "xyz"] + [np.ones_like(depth)]).reshape(
        4, -1
    )
    pixels = (P @ q)[:2] / (P @ q)[2]
    v, u = np.mgrid[:240, :320]
    np.testing.assert_allclose(pixels, [u.ravel(), v.ravel()], atol=1e-3)


def test_vertical_pairs_and_monocular_cameras():
    P = np.reshape(stereo(baseline=0).p, (3, 4)).copy()
    assert not rectifier(info(p=P.ravel()), is_raw=True, is_second=True).centre.any()
    P[1, 3] = -28.0
    np.testing.assert_allclose(
        rectifier(info(p=P.ravel()), is_raw=True, is_second=True).centre, [0, 0.1, 0]
    )


@pytest.mark.parametrize(
    "changes, words",
    [
        ({"r": np.diag([1.0, 1, 2]).ravel()}, "R: rotation is not orthonormal"),
        ({"r": np.diag([1.0, 1, -1]).ravel()}, "R: rotation is a reflection"),
        ({"p": np.r_[np.zeros(3), 5.0, np.zeros(8)]}, "P: K has focal length"),
        ({"r": np.diag([-1.0, 1, -1]).ravel()}, "shows nothing"),
    ],
)
def test_matrices_of_no_rectification_are_refused(changes, words):
    with pytest.raises(CameraError, match=words):
        rectifier(info(d=[0.1, 0, 0, 0, 0], **changes), is_raw=True)


@pytest.mark.parametrize("is_raw", [True, False])
def test_a_camera_with_a_frame_of_its_own_is_where_that_frame_is(is_raw):
    assert not rectifier(stereo(), is_raw=is_raw).centre.any()


FAR = np.c_[K, [1e18, 0, 0]].ravel()


@pytest.mark.parametrize(
    "changes, words",
    [
        ({"d": [1e300] * 5}, "D has a coefficient of 1e\\+300"),
        ({"p": FAR}, "P: the camera: lies .* m from the origin"),
        ({"roi": RegionOfInterest(width=40_000, height=40_000)}, "its size is 40000x40000"),
        ({"roi": RegionOfInterest(width=9, height=9, x_offset=2**32 - 1)}, "principal point"),
        ({"r": np.full(9, 1e300)}, "not orthonormal"),
    ],
)
@pytest.mark.filterwarnings("ignore::RuntimeWarning")
def test_camera_infos_of_no_camera_make_no_maps(changes, words):
    tracemalloc.start()
    with pytest.raises(CameraError, match=words):
        rectifier(info(**changes), is_raw=True, is_second=True)
    assert tracemalloc.get_traced_memory()[1] < 5e6
    tracemalloc.stop()
