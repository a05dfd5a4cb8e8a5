"""A thinned map of all frames seen so far, whose memory does not grow without end."""

from __future__ import annotations

import numpy as np

from da3_ros.core.point_cloud import one_per_cell

MAX_POINTS = 300_000


class GrowingMap:
    """One point per voxel, the newest one; when there are too many, the voxels get larger.

    voxel: edge in metres to begin with.
    """

    def __init__(self, voxel: float = 0.03):
        self._first_voxel = voxel
        self.clear()

    def clear(self) -> None:
        """Forget everything."""
        self.voxel = self._first_voxel
        self._points = np.zeros((0, 3))
        self._colors = np.zeros((0, 3), np.uint8)
        self._new: list[tuple[np.ndarray, np.ndarray]] = []

    @property
    def has_grown(self) -> bool:
        """Whether something was added since `cloud` was asked for."""
        return bool(self._new)

    def add(self, points: np.ndarray, colors: np.ndarray) -> None:
        """points (N, 3) m in the world, colors (N, 3) uint8."""
        self._new.insert(0, (points, colors))
        if sum(len(points) for points, _ in self._new) > MAX_POINTS:
            self._merge()

    def cloud(self) -> tuple[np.ndarray, np.ndarray]:
        """Points (M, 3) m and colors (M, 3) uint8, at most `MAX_POINTS`."""
        self._merge()
        return self._points, self._colors

    def _merge(self) -> None:
        points, colors = zip(*self._new, (self._points, self._colors))
        self._points, self._colors, self._new = np.concatenate(points), np.concatenate(colors), []
        self._thin()
        while len(self._points) > MAX_POINTS:
            self.voxel *= 1.5
            self._thin()

    def _thin(self) -> None:
        """The first point of each voxel stays; new ones come first."""
        kept = one_per_cell(self._points, self.voxel)
        self._points, self._colors = self._points[kept], self._colors[kept]
