"""Points from outside that are known in metres: landmarks, a lidar's cloud, a depth camera.

They are kept in the world frame and seen from a frame of the window: projected, and dropped
where something nearer lies around them. They need no parallax and no second view.
"""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass
from threading import Lock

import numpy as np

from da3_ros.core import poses
from da3_ros.core.camera_model import CameraModel
from da3_ros.core.frame import Frame
from da3_ros.core.scale.points import ScenePoints

MOST_POINTS = 20_000
"""Points kept of one message, evenly thinned."""

MOST_SEEN = 500
"""Points of one view that a correction is fitted to."""

MOST_MESSAGES, MOST_HELD = 1000, 32 * MOST_POINTS
"""Kept: messages, and points of all of them. Sparse ones come often: windows look seconds back."""

SIGMA = 0.02
"""How exactly points from outside are taken to be known, as a share of their depth."""

NEARER = 1.25
"""A point that lies this many times deeper than those around it is hidden behind them."""


@dataclass(frozen=True, eq=False)
class Anchors:
    """Points (P, 3) float64 m of one message: in the world, seen at stamp_ns.

    T_world_odom: (4, 4) at that stamp, as of a `Frame`.
    """

    stamp_ns: int
    points: np.ndarray
    T_world_odom: np.ndarray | None = None

    @staticmethod
    def of(
        stamp_ns: int,
        points: np.ndarray,
        T_world_source: np.ndarray,
        T_world_odom: np.ndarray | None = None,
    ) -> Anchors:
        """Of points (..., 3) in the frame of their source; those that are not finite are left out.

        Raises `ValueError` when points are not an array of x, y, z.
        """
        points = np.asarray(points)
        if points.ndim < 2 or points.shape[-1] != 3:
            raise ValueError(f"points must be (..., 3), got {points.shape}")
        points = points.reshape(-1, 3)
        points = points[np.isfinite(points).all(axis=1)]
        step = -(-len(points) // MOST_POINTS) or 1
        kept = points[::step].astype(np.float64)
        points = kept @ T_world_source[:3, :3].T + T_world_source[:3, 3]
        return Anchors(stamp_ns, points, T_world_odom)

    def seen_from(self, frame: Frame) -> np.ndarray:
        """(P, 3) m in the optical frame of a posed one, whatever SLAM has corrected in between."""
        T_cam_world = poses.inverse(frame.pose_under(self.T_world_odom))
        return self.points @ T_cam_world[:3, :3].T + T_cam_world[:3, 3]


class AnchorStore:
    """The newest anchors. Whoever receives them adds; the pipeline's thread looks."""

    def __init__(self):
        self._held: deque[Anchors] = deque(maxlen=MOST_MESSAGES)
        self._lock = Lock()

    def add(self, anchors: Anchors) -> None:
        """Keep them until newer ones push them out."""
        with self._lock:
            self._held.append(anchors)
            while sum(len(held.points) for held in self._held) > MOST_HELD:
                self._held.popleft()

    def since(self, stamp_ns: int) -> list[Anchors]:
        """Those of this stamp and later ones."""
        with self._lock:
            return [anchors for anchors in self._held if anchors.stamp_ns >= stamp_ns]

    def clear(self) -> None:
        """Forget all, as after a jump back in time."""
        with self._lock:
            self._held.clear()

    def seen_by(self, frame: Frame, max_age: float) -> ScenePoints:
        """Points that a posed frame sees, of stamps at most `max_age` s from its own."""
        with self._lock:
            near = [a for a in self._held if abs(a.stamp_ns - frame.stamp_ns) <= max_age * 1e9]
        points = np.concatenate([np.zeros((0, 3)), *(a.seen_from(frame) for a in near)])
        return project(points, frame.camera, frame.seen)


def project(
    points_cam: np.ndarray, camera: CameraModel, seen: np.ndarray | None = None
) -> ScenePoints:
    """What a camera sees of points (P, 3) m in its optical frame, thinned evenly.

    seen: (H, W) bool of usable pixels; None: all.
    """
    pixels = camera.project(points_cam)
    depth = points_cam[:, 2]
    low, high = -0.5, np.array([camera.width, camera.height]) - 0.5
    with np.errstate(invalid="ignore"):
        inside = (depth > 0) & ((pixels > low) & (pixels < high)).all(axis=1)
    pixels, depth = pixels[inside], depth[inside]
    if seen is not None and len(pixels):
        columns, rows = np.rint(pixels).astype(np.intp).T
        usable = seen[rows.clip(0, camera.height - 1), columns.clip(0, camera.width - 1)]
        pixels, depth = pixels[usable], depth[usable]
    kept = ~_hidden(pixels, depth, camera)
    pixels, depth = pixels[kept], depth[kept]
    kept = _evenly(pixels, camera)
    return ScenePoints(pixels[kept], depth[kept], np.full(len(kept), SIGMA))


def _cells(pixels: np.ndarray, camera: CameraModel, count: int) -> tuple[np.ndarray, np.ndarray]:
    """Row and column (P,) of each point in a grid of about `count` square cells."""
    side = np.sqrt(camera.width * camera.height / max(count, 1))
    columns, rows = ((pixels + 0.5) / side).astype(np.intp).T.clip(0)
    return rows, columns


def _hidden(pixels: np.ndarray, depth: np.ndarray, camera: CameraModel) -> np.ndarray:
    """(P,) points with something nearer on three of four sides: behind it, not on its slope."""
    if not len(depth):
        return np.zeros(0, bool)
    rows, columns = _cells(pixels, camera, len(depth))
    nearest = np.full((rows.max() + 3, columns.max() + 3), np.inf)
    np.minimum.at(nearest, (rows + 1, columns + 1), depth)
    sides = np.zeros(len(depth), int)
    for down in (0, 2):
        for right in (0, 2):
            corner = nearest[rows + down, columns + right]
            beside = np.minimum(
                nearest[rows + 1, columns + right], nearest[rows + down, columns + 1]
            )
            sides += np.minimum(corner, beside) * NEARER < depth
    return sides >= 3


def _evenly(pixels: np.ndarray, camera: CameraModel) -> np.ndarray:
    """Indices of at most about `MOST_SEEN` points, one for each cell of the picture."""
    if len(pixels) <= MOST_SEEN:
        return np.arange(len(pixels))
    rows, columns = _cells(pixels, camera, MOST_SEEN)
    return np.unique(rows * (columns.max() + 1) + columns, return_index=True)[1]
