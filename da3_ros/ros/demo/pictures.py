"""The demo's pictures: depth in colors with a legend, and points seen from above."""

from __future__ import annotations

import math

import cv2
import numpy as np

from da3_ros.core.colormap import color_depth, depth_legend, depth_range

WHITE, RED = (255, 255, 255), (255, 80, 80)
MAP_SIZE = 800
MARGIN = 50


def draw_depth(depth: np.ndarray) -> np.ndarray:
    """(H, W') uint8 RGB of depth (H, W) in metres, a legend at its right; grey is unknown."""
    near, far = depth_range(depth)
    picture = color_depth(depth, near, far)
    scale = max(1, round(480 / picture.shape[0]))
    picture = cv2.resize(picture, None, fx=scale, fy=scale, interpolation=cv2.INTER_NEAREST)
    return np.hstack([picture, depth_legend(near, far, picture.shape[0])])


def draw_from_above(
    points: np.ndarray, colors: np.ndarray, path: np.ndarray, *, edge: float = 0.0
) -> np.ndarray:
    """(`MAP_SIZE`, `MAP_SIZE`, 3) uint8 RGB of points (N, 3) m, their colors (N, 3) uint8 and the
    camera's path (M, 3). edge: of a point's square, m; at least a pixel."""
    view = ViewFromAbove(points, path, edge=edge)
    view.add(points, colors)
    return view.picture(path)


class ViewFromAbove:
    """A map that points are added to; world z is up, higher points hide lower ones.

    points: (N, 3) m and path: (M, 3) m, all that will ever be shown: they say how far to look.
    size: px. edge: of a point's square, m; at least a pixel.
    """

    def __init__(
        self, points: np.ndarray, path: np.ndarray, *, size: int = MAP_SIZE, edge: float = 0.0
    ):
        self._size, self._edge = size, edge
        self._picture = np.full((size, size, 3), 20, np.uint8)
        self._height = np.full((size, size), -np.inf)
        self._centre, self._scale = np.zeros(2), 1.0
        points = points[np.isfinite(points).all(axis=1)]
        self._is_empty = not len(points) and not len(path)
        if not self._is_empty:
            self._look_at(np.vstack([points, path])[:, :2], path[:, :2])

    def _look_at(self, everything: np.ndarray, path: np.ndarray) -> None:
        low, high = np.percentile(everything, (1, 99), axis=0)
        if len(path):
            low, high = np.minimum(low, path.min(0)), np.maximum(high, path.max(0))
        self._scale = (self._size - 2 * MARGIN) / max(*(high - low), 1e-3)
        self._centre = (low + high) / 2

    def add(self, points: np.ndarray, colors: np.ndarray) -> None:
        """points: (N, 3) m, NaN unknown. colors: (N, 3) uint8."""
        order = np.argsort(points[:, 2])  # NaN last
        order = order[: np.isfinite(points).all(axis=1).sum()]
        points, colors = points[order], colors[order]
        pixels = self._to_pixels(points)
        side = max(1, math.ceil(self._edge * self._scale))
        for shift in np.ndindex(side, side):
            self._draw(pixels + shift - side // 2, points[:, 2], colors)

    def _draw(self, pixels: np.ndarray, heights: np.ndarray, colors: np.ndarray) -> None:
        """Of several in one pixel the last one counts: they come in order of height."""
        columns, rows = pixels.T
        seen = ((pixels >= 0) & (pixels < self._size)).all(axis=1)
        seen[seen] = heights[seen] >= self._height[rows[seen], columns[seen]]
        self._picture[rows[seen], columns[seen]] = colors[seen]
        self._height[rows[seen], columns[seen]] = heights[seen]

    def picture(self, path: np.ndarray) -> np.ndarray:
        """(size, size, 3) uint8 RGB with path (M, 3) and a bar of a metre, or ten times that."""
        picture = self._picture.copy()
        if self._is_empty:
            return picture
        way = self._to_pixels(path)
        cv2.polylines(picture, [way.reshape(-1, 1, 2)], False, RED, 2, cv2.LINE_AA)
        metres = 10.0 ** np.floor(np.log10(self._size / 2 / self._scale))
        start, end = (20, self._size - 20), (20 + round(metres * self._scale), self._size - 20)
        cv2.line(picture, start, end, WHITE, 2)
        _write(picture, f"{metres:g} m", (20, self._size - 28))
        _write(picture, "camera path", (self._size - 110, self._size - 20), RED)
        return picture

    def _to_pixels(self, points: np.ndarray) -> np.ndarray:
        """x to the right, y up."""
        offset = (points[:, :2] - self._centre) * (self._scale, -self._scale)
        return np.round(offset + self._size / 2).astype(np.int32)


def _write(picture: np.ndarray, text: str, at: tuple[int, int], color=WHITE) -> None:
    cv2.putText(picture, text, at, cv2.FONT_HERSHEY_SIMPLEX, 0.42, color, 1, cv2.LINE_AA)
