"""Straight lines straight: images of a camera with a lens, as a pinhole camera sees them."""

from __future__ import annotations

import cv2
import numpy as np

from da3_ros.core.camera_model import CameraModel


class Rectifier:
    """Takes images of `camera` to those of the pinhole camera `self.camera`.

    R: (3, 3) rotation raw optical frame -> rectified one (CameraInfo.R); identity if None.
    new_K: (3, 3) px of the rectified image (P[:3, :3] of CameraInfo); the camera's own K if
    None. The maps are computed once; keep one rectifier per camera. A camera without a
    lens, rotation or new K leaves its images untouched.
    """

    def __init__(
        self, camera: CameraModel, R: np.ndarray | None = None, new_K: np.ndarray | None = None
    ):
        R = np.eye(3) if R is None else np.asarray(R, np.float64)
        self.camera = CameraModel(camera.width, camera.height, camera.K if new_K is None else new_K)
        is_pinhole = not camera.is_distorted and np.array_equal(R, np.eye(3))
        if is_pinhole and np.array_equal(self.camera.K, camera.K):
            self._maps = None
            return
        self._maps = _maps(camera, R, self.camera)

    def __call__(self, image: np.ndarray) -> np.ndarray:
        """(H, W, 3) or (H, W) uint8 -> the same, rectified; black where nothing was seen."""
        size = (self.camera.height, self.camera.width)
        if image.shape[:2] != size:
            raise ValueError(f"image is {image.shape[:2]}, its camera says {size}")
        if self._maps is None:
            return image
        return cv2.remap(image, *self._maps, cv2.INTER_LINEAR)


def _maps(camera: CameraModel, R: np.ndarray, pinhole: CameraModel) -> tuple[np.ndarray, ...]:
    size = (pinhole.width, pinhole.height)
    if camera.distortion_model == "equidistant":
        return cv2.fisheye.initUndistortRectifyMap(
            camera.K, camera.D, R, pinhole.K, size, cv2.CV_16SC2
        )
    return cv2.initUndistortRectifyMap(camera.K, camera.D, R, pinhole.K, size, cv2.CV_16SC2)
