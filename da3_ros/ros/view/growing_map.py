"""A thinned map of all frames seen so far, whose memory does not grow without end."""

from __future__ import annotations

import numpy as np

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
        self.points = np.zeros((0, 3))
        self.colors = np.zeros((0, 3), np.uint8)

    def add(self, points: np.ndarray, colors: np.ndarray) -> None:
        """points (N, 3) m in the world, colors (N, 3) uint8."""
        self.points = np.concatenate([points, self.points])
        self.colors = np.concatenate([colors, self.colors])
        self._thin()
        while len(self.points) > MAX_POINTS:
            self.voxel *= 1.5
            self._thin()

    def _thin(self) -> None:
        """The first point of each voxel stays; new ones come first."""
        cells = np.floor(self.points / self.voxel).astype(np.int64)
        cells -= cells.min(0) if len(cells) else 0
        sides = cells.max(0) + 1 if len(cells) else np.ones(3, np.int64)
        keys = (cells[:, 0] * sides[1] + cells[:, 1]) * sides[2] + cells[:, 2]
        _, first = np.unique(keys, return_index=True)
        self.points, self.colors = self.points[first], self.colors[first]
