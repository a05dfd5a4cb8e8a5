"""What the page shows of one published frame, wherever it came from."""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache

import numpy as np

from da3_ros.core.camera_model import CameraModel
from da3_ros.core.point_cloud import thin_rays

MAX_POINTS = 40_000
"""Points of one frame's cloud; more add nothing to see and fill the tab's memory."""

FARTHEST = 1000.0
"""m from the camera: a point beyond it is a fault, and would make the voxels of the whole map
larger."""


@dataclass(frozen=True, eq=False)
class ViewFrame:
    """rgb: (H, W, 3) uint8. depth: (H, W) float32 m, NaN or infinite where unknown.

    camera: theirs. T_world_cam: (4, 4) float64; None where nobody placed the camera. unit: of
    depth, `m`, or empty where nobody knows it.
    """

    camera_name: str
    stamp_ns: int
    rgb: np.ndarray
    depth: np.ndarray
    camera: CameraModel
    T_world_cam: np.ndarray | None
    unit: str = ""

    def cloud(self) -> tuple[np.ndarray, np.ndarray]:
        """Points (N, 3) float64 m in the world, or in the optical frame of a camera without a
        place, and their colors (N, 3) uint8; thinned to about `MAX_POINTS`, without those
        that are not before the camera or beyond `FARTHEST`."""
        step = max(1, int(np.ceil(np.sqrt(self.depth.size / MAX_POINTS))))
        depth, rgb = self.depth[::step, ::step], self.rgb[::step, ::step]
        x, y = _rays(self.camera.width, self.camera.height, self.camera.K.tobytes(), step)
        longest = FARTHEST / np.sqrt(1 + np.square(x, dtype=np.float64) + np.square(y))
        known = (depth > 0) & (depth <= longest)
        x, y = x[known], y[known]
        z = depth[known].astype(np.float64)
        points = np.stack([x * z, y * z, z], axis=-1)
        if self.T_world_cam is not None:
            points = points @ self.T_world_cam[:3, :3].T + self.T_world_cam[:3, 3]
        return points, rgb[known]


@lru_cache(maxsize=32)
def _rays(width: int, height: int, K: bytes, step: int) -> tuple[np.ndarray, np.ndarray]:
    """As `thin_rays`, of about `MAX_POINTS`: 0.3 MB; by value, not by the camera object."""
    return thin_rays(CameraModel(width, height, np.frombuffer(K).reshape(3, 3)), step)
