"""What the matrices R and P of a camera info do to images and to the camera's place."""

from __future__ import annotations

import numpy as np
from sensor_msgs.msg import CameraInfo

from da3_ros.core import poses
from da3_ros.core.camera_model import CameraError
from da3_ros.core.rectify import Rectifier, rotation
from da3_ros.ros.messages import camera_model, rectified_camera_model


def rectifier(info: CameraInfo, *, is_raw: bool, is_second: bool = False) -> Rectifier:
    """Takes images of this camera to those that P describes, as image_proc does with K, D, R, P.

    is_raw: the images are as the lens made them; else they are rectified already. is_second:
    `header.frame_id` is the frame of the first camera of a stereo pair (`StereoFrames`), and the
    last column of P says where in it this one is (`Rectifier.centre`).
    Raises `CameraError` with one sentence.
    """
    rectified = rectified_camera_model(info)
    centre = _centre(info, is_second)
    if not is_raw:
        return Rectifier(rectified, centre=centre)
    R = np.reshape(info.r, (3, 3))
    return Rectifier(camera_model(info), R if R.any() else None, rectified.K, centre)


def optical_placement(info: CameraInfo, *, is_raw: bool, is_second: bool = False) -> np.ndarray:
    """(4, 4) camera in the frame of `header.frame_id`, whose axes are those of the rectified
    image: turned by R, where the image is raw, at the place that P gives; see `rectifier`.

    Raises `CameraError` with one sentence.
    """
    R = np.reshape(info.r, (3, 3))
    R = rotation(R) if is_raw and R.any() else np.eye(3)
    return poses.compose(R, _centre(info, is_second))


def baseline(info: CameraInfo) -> float:
    """Metres from the first camera of a stereo pair; 0 of the first, and where P is no camera's."""
    try:
        return float(np.linalg.norm(_centre(info, True)))
    except CameraError:
        return 0.0


def _centre(info: CameraInfo, is_second: bool) -> np.ndarray:
    """(3,) m: where the camera of P = K [I | -centre] is in its frame; see `rectifier`."""
    P = np.reshape(info.p, (3, 4))
    if not (is_second and P[:, 3].any()):
        return np.zeros(3)
    if not np.isfinite(P).all():
        raise CameraError("P must be finite")
    try:
        centre = -np.linalg.solve(P[:, :3], P[:, 3])
        poses.require_near(centre, "P: the camera")
    except np.linalg.LinAlgError as error:
        raise CameraError("P has no inverse: its first three columns are no camera's K") from error
    except poses.PoseError as error:
        raise CameraError(str(error)) from error
    return centre
