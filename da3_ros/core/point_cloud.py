"""Organised colored point cloud of one depth map, in the bytes of a PointCloud2."""

from __future__ import annotations

from functools import lru_cache

import cv2
import numpy as np

from da3_ros.core.camera_model import CameraModel

POINT = np.dtype(
    {
        "names": ["x", "y", "z", "rgb"],
        "formats": ["<f4", "<f4", "<f4", "<u4"],
        "offsets": [0, 4, 8, 16],
        "itemsize": 32,
    }
)
"""One point: the layout of depth_image_proc. `rgb` is 0x00RRGGBB; ROS calls it float32."""

FAR_POINT = np.dtype(
    {
        "names": ["x", "y", "z", "rgb"],
        "formats": ["<f8", "<f8", "<f8", "<u4"],
        "offsets": [0, 8, 16, 24],
        "itemsize": 32,
    }
)
"""One point of a world so far from its origin that float32 would lose its millimetres."""


class PointCloudWriter:
    """Writes clouds into one buffer, which the next call overwrites."""

    def __init__(self, step: int = 1):
        """step: every n-th pixel of every n-th row."""
        self.step = step
        self._points = np.zeros((0, 0), POINT)

    def __call__(
        self,
        depth: np.ndarray,
        image: np.ndarray,
        camera: CameraModel,
        centre: np.ndarray | None = None,
    ) -> np.ndarray:
        """Points (H, W) of dtype `POINT` in the optical frame, metres.

        depth: (H, W) float32 along z; NaN and infinity become NaN points. image: (H, W, 3)
        uint8 RGB. camera: pinhole model of exactly this size. centre: (3,) m, the camera's
        place in its frame, if it is not the origin.
        """
        size = (camera.height, camera.width)
        if depth.shape != size or image.shape != (*size, 3):
            raise ValueError(
                f"depth {depth.shape} and image {image.shape} must have the camera's size {size}"
            )
        depth, image = (m[:: self.step, :: self.step] for m in (depth, image))
        x, y = _rays(camera.width, camera.height, camera.K.tobytes(), self.step)
        points = self._buffer(depth.shape)
        z = np.where(np.isfinite(depth), depth, np.float32(np.nan))
        points["z"] = z
        np.multiply(x, z, out=points["x"])
        np.multiply(y, z, out=points["y"])
        if centre is not None and centre.any():
            for axis, shift in zip("xyz", centre.astype(np.float32)):
                points[axis] += shift
        # BGRA bytes are a little-endian 0xAARRGGBB; some consumers want no alpha.
        bgra = cv2.cvtColor(np.ascontiguousarray(image), cv2.COLOR_RGB2BGRA)
        np.bitwise_and(bgra.view("<u4")[..., 0], 0x00FFFFFF, out=points["rgb"])
        return points

    def _buffer(self, shape: tuple[int, int]) -> np.ndarray:
        if self._points.shape != shape:
            self._points = np.zeros(shape, POINT)
        return self._points


@lru_cache(maxsize=32)
def _rays(width: int, height: int, K: bytes, step: int) -> tuple[np.ndarray, np.ndarray]:
    """x and y at z = 1 of every n-th pixel; keyed by value, not by the camera object."""
    camera = CameraModel(width, height, np.frombuffer(K).reshape(3, 3))
    rays = camera.rays()[::step, ::step].astype(np.float32)
    return np.ascontiguousarray(rays[..., 0]), np.ascontiguousarray(rays[..., 1])
