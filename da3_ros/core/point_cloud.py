"""Organised colored point cloud of one depth map, in the bytes of a PointCloud2."""

from __future__ import annotations

import cv2
import numpy as np

from da3_ros.core.camera_model import CameraModel

POINT = np.dtype(
    {
        "names": ["x", "y", "z", "rgb", "confidence"],
        "formats": ["<f4", "<f4", "<f4", "<u4", "<f4"],
        "offsets": [0, 4, 8, 16, 20],
        "itemsize": 32,
    }
)
"""One point: the layout of depth_image_proc, whose padding holds the confidence. `rgb` is
0x00RRGGBB; ROS calls it float32."""

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
    """Writes clouds into one buffer, which the next call overwrites; keeps the rays of the camera
    it wrote last, for a camera with autofocus has another K in every image."""

    def __init__(self, step: int = 1):
        """step: every n-th pixel of every n-th row."""
        self.step = step
        self._points: np.ndarray | None = None
        self._seen_by: tuple[int, int, bytes] | None = None
        self._rays: tuple[np.ndarray, np.ndarray] | None = None

    def __call__(
        self,
        depth: np.ndarray,
        image: np.ndarray,
        camera: CameraModel,
        centre: np.ndarray | None = None,
        conf: np.ndarray | None = None,
    ) -> np.ndarray:
        """Points (H, W) of dtype `POINT` in the optical frame, metres.

        depth: (H, W) float32 along z; NaN and infinity become NaN points. image: (H, W, 3)
        uint8 RGB. camera: pinhole model of exactly this size. centre: (3,) m, the camera's
        place in its frame, if it is not the origin. conf: (H, W) float32, at least 1; its
        `bounded_confidence` goes along, else 0.
        """
        size = (camera.height, camera.width)
        if depth.shape != size or image.shape != (*size, 3):
            raise ValueError(
                f"depth {depth.shape} and image {image.shape} must have the camera's size {size}"
            )
        depth, image = (m[:: self.step, :: self.step] for m in (depth, image))
        x, y = self._rays_of(camera)
        z = np.where(np.isfinite(depth), depth, np.float32(np.nan))
        axes = x * z, y * z, z
        if centre is not None and centre.any():
            for axis, shift in zip(axes, centre.astype(np.float32)):
                axis += shift
        # BGRA bytes are a little-endian 0xAARRGGBB; some consumers want no alpha.
        bgra = cv2.cvtColor(np.ascontiguousarray(image), cv2.COLOR_RGB2BGRA).view("<u4")[..., 0]
        bgra &= 0x00FFFFFF
        thinned = slice(None, None, self.step)
        none = np.zeros_like(z)
        known = none if conf is None else bounded_confidence(conf[thinned, thinned])
        # At once: written field by field, the whole cloud would go through the cache five times.
        planes = [*axes, none, bgra.view("<f4"), known, none, none]
        self._points = cv2.merge(planes, self._points)  # a new one where it does not fit
        return self._points.view(POINT)[..., 0]

    def _rays_of(self, camera: CameraModel) -> tuple[np.ndarray, np.ndarray]:
        """By value, not by the camera object, of which there is one per image."""
        key = camera.width, camera.height, camera.K.tobytes()
        if self._rays is None or self._seen_by != key:
            self._rays, self._seen_by = thin_rays(camera, self.step), key
        return self._rays


def bounded_confidence(conf: np.ndarray) -> np.ndarray:
    """0 to 1 of the network's confidence c, which is at least 1 and has no end: 1 - 1/c.

    It orders pixels of one picture as c does; it is not a probability.
    """
    return 1 - 1 / conf


def one_per_cell(points: np.ndarray, edge: float) -> np.ndarray:
    """Indices of the first of points (N, 3) in each cube of this edge, ascending by cube."""
    cells = np.floor(points / edge).astype(np.int64)
    cells -= cells.min(0) if len(cells) else 0
    sides = cells.max(0, initial=0) + 1
    keys = (cells[:, 0] * sides[1] + cells[:, 1]) * sides[2] + cells[:, 2]
    return np.unique(keys, return_index=True)[1]


def thin_rays(camera: CameraModel, step: int) -> tuple[np.ndarray, np.ndarray]:
    """x and y, (H, W) float32, at z = 1 of every n-th pixel and row of a pinhole camera."""
    rays = camera.pinhole().rays()[::step, ::step].astype(np.float32)
    return np.ascontiguousarray(rays[..., 0]), np.ascontiguousarray(rays[..., 1])
