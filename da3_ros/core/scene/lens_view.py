"""What drawing through a lens needs to know of a camera: its rays, and how much it bends lines."""

from __future__ import annotations

from functools import lru_cache

import cv2
import numpy as np

from da3_ros.core.camera_model import CameraModel
from da3_ros.core.pixel_spline import pixel_grid

WIDE = 1.4
"""rad from the axis, of views that no box around them at z = 1 can hold."""
_COLUMNS, _ROWS = 32, 24  # parts of the image that curvature is known of


class LensView:
    """What drawing needs to know of a camera.

    xy: (H * W,) complex64, x and y of the ray of each pixel, side by side in memory. z: (H * W,)
    float32, or None where it is 1. box: smallest and largest (x, y) at z = 1 of all rays; None
    where one is far from the axis. axis, cone: a direction and the largest angle from it (rad) at
    which a pixel sees. speck: rad, a part of a pixel.
    """

    def __init__(self, camera: CameraModel):
        self.camera = camera
        key = (camera.K.tobytes(), camera.distortion_model, camera.D.tobytes())
        self.xy, self.z, self.box, self.axis, self.cone, self._bend = _seen(
            camera.width, camera.height, *key
        )
        self.speck = 0.25 / max(camera.K[0, 0], camera.K[1, 1])

    def sag(self, corners: np.ndarray, longest: np.ndarray) -> np.ndarray:
        """(n,) px that edges (longest: px) of triangles (n, 3, 2) px bend; inf where too long."""
        cell = np.array([self.camera.width, self.camera.height]) / (_COLUMNS, _ROWS)
        middle = np.nan_to_num((corners[:, 0] + corners[:, 1] + corners[:, 2]) / 3)
        column, row = np.clip(middle // cell, 0, (_COLUMNS - 1, _ROWS - 1)).astype(int).T
        return np.where(longest <= cell.min(), self._bend[row, column] * longest**2 / 8, np.inf)


@lru_cache(maxsize=2)
def _seen(width, height, K: bytes, model: str, D: bytes):
    """xy, z, box, axis, cone and bend of a camera; kept, for many views have the same."""
    camera = CameraModel(width, height, np.frombuffer(K).reshape(3, 3), model, np.frombuffer(D))
    directions = camera.directions()
    is_perspective = model != "equidistant"
    flat = directions.reshape(-1, 3)
    xy = np.ascontiguousarray(flat[:, :2], np.float32).view(np.complex64)[:, 0]
    z = None if is_perspective else flat[:, 2].astype(np.float32)
    # The rim sees farthest; but within the image the lens may end.
    rim = (directions[0], directions[-1], directions[:, 0], directions[:, -1])
    some = np.concatenate([flat[:: max(1, len(flat) // 50_000)], *rim])
    some = some[np.isfinite(some[:, 0])]
    if len(some) == 0:
        return xy, z, None, np.array([0.0, 0, 1]), 0.0, np.ones((_ROWS, _COLUMNS))
    unit = some / np.linalg.norm(some, axis=1, keepdims=True)
    axis = unit.mean(axis=0)
    axis = axis / max(np.linalg.norm(axis), 1e-9)
    # Sampled, so with room to spare.
    cone = min(1.05 * np.arccos(np.clip(unit @ axis, -1, 1).min()) + 0.01, np.pi)
    box = None
    if unit[:, 2].min() > np.cos(WIDE):
        # The samples hold the rim, and so the extremes; a share more for those within.
        x, y = (some[:, :2] / some[:, 2:]).T
        spare = 0.05 * (np.ptp(x) + np.ptp(y))
        box = (x.min() - spare, y.min() - spare), (x.max() + spare, y.max() + spare)
    return xy, z, box, axis, cone, 2 * _bend(camera)


def _bend(camera: CameraModel) -> np.ndarray:
    """(rows, columns) 1/px: largest curvature of images of straight lines in parts of the image."""
    step = max(camera.width, camera.height) / 128
    u = (np.arange(_COLUMNS) + 0.5) * camera.width / _COLUMNS
    v = (np.arange(_ROWS) + 0.5) * camera.height / _ROWS
    here = pixel_grid(u, v)
    worst = np.full(len(here), 1e-9)
    for angle in np.arange(8) * np.pi / 8:
        across = step * np.array([np.cos(angle), np.sin(angle)])
        a, b = camera.unproject(here - across), camera.unproject(here + across)
        a, b = (d / np.linalg.norm(d, axis=1, keepdims=True) for d in (a, b))
        middle = camera.project(a + b) - here
        off = np.abs(middle[:, 0] * across[1] - middle[:, 1] * across[0]) / step
        worst = np.fmax(worst, 2 * off / step**2)
    # Of the parts around, too: a triangle may reach there.
    return cv2.dilate(worst.reshape(_ROWS, _COLUMNS), np.ones((3, 3)))
