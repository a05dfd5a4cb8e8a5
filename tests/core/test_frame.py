import gc
import weakref

import numpy as np
import pytest

from da3_ros.core.camera_model import CameraModel
from da3_ros.core.frame import Frame
from da3_ros.core.poses import PoseError

CAMERA = CameraModel(4, 3, np.diag([4.0, 4, 1]))
IMAGE = np.zeros((3, 4, 3), np.uint8)


def test_a_view_of_an_image_becomes_contiguous():
    """A BGR image turned by a slice is the usual case."""
    bgr = np.arange(36, dtype=np.uint8).reshape(3, 4, 3)
    frame = Frame("cam", 0, bgr[..., ::-1], CAMERA, np.eye(4))
    assert frame.image.flags.c_contiguous
    np.testing.assert_array_equal(frame.image, bgr[..., ::-1])


def test_frames_are_themselves():
    """Two equal pictures are two frames; a frame can be a weak key, and cannot be changed."""
    a, b = (Frame("cam", 0, IMAGE, CAMERA, None) for _ in range(2))
    assert a != b and len({a, b}) == 2
    with pytest.raises(AttributeError):
        a.stamp_ns = 1
    gone = weakref.ref(a)
    del a
    gc.collect()
    assert gone() is None


@pytest.mark.parametrize(
    "image, camera, T, error, words",
    [
        (IMAGE[:2], CAMERA, np.eye(4), ValueError, r"must be uint8 \(3, 4, 3\)"),
        (IMAGE[..., 0], CAMERA, np.eye(4), ValueError, "must be uint8"),
        (IMAGE.astype(float), CAMERA, np.eye(4), ValueError, "got float64"),
        (IMAGE, CameraModel(4, 3, CAMERA.K, "plumb_bob", np.ones(4)), None, ValueError, "rectify"),
        (IMAGE, CAMERA, np.full((4, 4), np.nan), PoseError, "T_world_cam: contains NaN"),
    ],
)
def test_bad_frames_are_refused(image, camera, T, error, words):
    with pytest.raises(error, match=words):
        Frame("cam", 0, image, camera, T)
