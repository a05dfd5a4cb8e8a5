"""Straight lines straight: images of a camera with a lens, as a pinhole camera sees them."""

from __future__ import annotations

import cv2
import numpy as np

from da3_ros.core import poses
from da3_ros.core.camera_model import CameraError, CameraModel
from da3_ros.core.frame import Frame
from da3_ros.core.pixel_spline import at_every_pixel

_EXACT = 1e-3  # px; `cv2.remap` rounds to a 32nd
_NOWHERE = -1e4  # px: far outside every image


class Rectifier:
    """Takes images of `camera` to those of the pinhole camera `self.camera`.

    R: (3, 3) rotation raw optical frame -> rectified one (CameraInfo.R); identity if None.
    new_K: (3, 3) px of the rectified image (P[:3, :3] of CameraInfo); the camera's own K if
    None. centre: (3,) m, the camera's place in its frame, from P's last column (`P = new_K
    [I | -centre]`): not zero for the right camera of a stereo pair, which by CameraInfo's
    definition shares the left one's frame. The maps are computed once; keep one rectifier per
    camera. A camera without a lens, rotation or new K leaves its images untouched.

    seen: (H, W) bool, the rectified pixels that the raw image shows; None where it shows all.
    Raises `CameraError` when R is not a rotation or no pixel is left.
    """

    def __init__(
        self,
        camera: CameraModel,
        R: np.ndarray | None = None,
        new_K: np.ndarray | None = None,
        centre: np.ndarray | None = None,
    ):
        R = np.eye(3) if R is None else rotation(R)
        self.camera = CameraModel(camera.width, camera.height, camera.K if new_K is None else new_K)
        self.centre = np.zeros(3) if centre is None else np.asarray(centre, np.float64)
        self.seen: np.ndarray | None = None
        is_straight = not camera.is_distorted and np.allclose(R, np.eye(3), rtol=0, atol=1e-9)
        if is_straight and np.array_equal(self.camera.K, camera.K):
            self._maps = None
            return
        u, v = _raw_pixels(camera, R, self.camera)
        seen = (u >= -0.5) & (v >= -0.5) & (u <= camera.width - 0.5) & (v <= camera.height - 0.5)
        if not seen.any():
            raise CameraError("the rectified image (R, P) shows nothing of what the camera sees")
        self.seen = None if seen.all() else seen
        # Half a pixel beyond the outer centres is still theirs; farther out is black.
        u = np.where(seen, np.clip(u, 0, camera.width - 1), np.float32(_NOWHERE))
        v = np.where(seen, np.clip(v, 0, camera.height - 1), np.float32(_NOWHERE))
        self._maps = cv2.convertMaps(u, v, cv2.CV_16SC2)

    def __call__(self, image: np.ndarray) -> np.ndarray:
        """(H, W, 3) or (H, W) uint8 -> the same, rectified; black where nothing was seen."""
        size = (self.camera.height, self.camera.width)
        if image.shape[:2] != size:
            raise ValueError(f"image is {image.shape[:2]}, its camera says {size}")
        if self._maps is None:
            return image
        return cv2.remap(image, *self._maps, cv2.INTER_LINEAR)

    def frame(
        self,
        camera_id: str,
        stamp_ns: int,
        image: np.ndarray,
        T_world_frame: np.ndarray | None,
        usable: np.ndarray | None,
        T_world_odom: np.ndarray | None = None,
    ) -> Frame:
        """The frame of a raw image (H, W, 3) uint8 RGB.

        T_world_frame: (4, 4), of the frame `camera_id`, beside whose origin the camera may stand
        (`centre`); None without poses. usable: (H, W) bool of the rectified image, as of
        `body_mask.usable_pixels`; None: all. T_world_odom: (4, 4), see `Frame`. Raises
        `ValueError` and `PoseError`.
        """
        T_world_cam = None
        if T_world_frame is not None:
            T_world_cam = T_world_frame @ poses.compose(np.eye(3), self.centre)
        rectified = self(image)
        placed = T_world_cam, usable, self.centre, T_world_odom
        return Frame(camera_id, stamp_ns, rectified, self.camera, *placed)


def rotation(R: np.ndarray) -> np.ndarray:
    """(3, 3) R of a camera info, if it is one. Raises `CameraError`."""
    try:
        return poses.rigid(poses.compose(np.reshape(R, (3, 3)), np.zeros(3)), "R")[:3, :3]
    except poses.PoseError as error:
        raise CameraError(str(error)) from error


def _raw_pixels(camera: CameraModel, R: np.ndarray, pinhole: CameraModel):
    """u and v (H, W) float32 in the raw image of each rectified pixel; NaN without any."""
    to_raw = R.T @ np.linalg.inv(pinhole.K)

    def raw(pixels: np.ndarray) -> np.ndarray:
        return camera.project(np.c_[pixels, np.ones(len(pixels))] @ to_raw.T)

    def error(pixels: np.ndarray, values: np.ndarray) -> np.ndarray:
        return np.abs(raw(pixels) - values)

    return at_every_pixel(raw, pinhole.width, pinhole.height, error, _EXACT, np.float32)
