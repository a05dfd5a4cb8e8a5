"""The demo's pictures: depth in colors with a legend, and the cloud seen from above."""

from __future__ import annotations

import cv2
import numpy as np

from da3_ros.core.export.colormap import color_depth, depth_range

WHITE, RED = (255, 255, 255), (255, 80, 80)
LEGEND_WIDTH = 100
MAP_SIZE = 800
MARGIN = 50


def draw_depth(depth: np.ndarray) -> np.ndarray:
    """(H, W') uint8 RGB of depth (H, W) in metres, a legend at its right; grey is unknown."""
    near, far = depth_range(depth)
    picture = color_depth(depth, near, far)
    scale = max(1, round(480 / picture.shape[0]))
    picture = cv2.resize(picture, None, fx=scale, fy=scale, interpolation=cv2.INTER_NEAREST)
    return np.hstack([picture, _legend(near, far, picture.shape[0])])


def _legend(near: float, far: float, height: int) -> np.ndarray:
    # Linear in inverse depth like the colors, so that their steps are equally high.
    inverse = np.linspace(1 / near, 1 / far, height)
    legend = np.zeros((height, LEGEND_WIDTH, 3), np.uint8)
    legend[:, 10:30] = color_depth(1 / inverse, near, far)[:, None]
    for row in np.linspace(12, height - 6, 8).astype(int):
        _write(legend, f"{1 / inverse[row]:.2f} m", (36, row))
    return legend


def draw_from_above(points: np.ndarray, colors: np.ndarray, path: np.ndarray) -> np.ndarray:
    """(800, 800, 3) uint8 RGB: points (N, 3) metres and camera path (M, 3), world z up.

    colors: (N, 3) uint8. Higher points hide lower ones. The bar is one metre or a
    multiple of ten.
    """
    picture = np.full((MAP_SIZE, MAP_SIZE, 3), 20, np.uint8)
    known = np.isfinite(points).all(axis=1)
    points, colors = points[known], colors[known]
    if not len(points) and not len(path):
        return picture
    everything = np.vstack([points, path])[:, :2]
    low, high = np.percentile(everything, (1, 99), axis=0)
    low, high = np.minimum(low, path[:, :2].min(0)), np.maximum(high, path[:, :2].max(0))
    scale = (MAP_SIZE - 2 * MARGIN) / max(*(high - low), 1e-3)
    centre = (low + high) / 2
    order = np.argsort(points[:, 2])
    pixels = _to_pixels(points[order], centre, scale)
    inside = ((pixels >= 0) & (pixels < MAP_SIZE)).all(axis=1)
    picture[pixels[inside, 1], pixels[inside, 0]] = colors[order][inside]
    way = _to_pixels(path, centre, scale)
    cv2.polylines(picture, [way.reshape(-1, 1, 2)], False, RED, 2, cv2.LINE_AA)
    _draw_bar(picture, scale)
    return picture


def _to_pixels(points: np.ndarray, centre: np.ndarray, scale: float) -> np.ndarray:
    """x to the right, y up."""
    offset = (points[:, :2] - centre) * (scale, -scale)
    return np.round(offset + MAP_SIZE / 2).astype(np.int32)


def _draw_bar(picture: np.ndarray, scale: float) -> None:
    metres = 10.0 ** np.floor(np.log10(MAP_SIZE / 2 / scale))
    start, end = (20, MAP_SIZE - 20), (20 + round(metres * scale), MAP_SIZE - 20)
    cv2.line(picture, start, end, WHITE, 2)
    _write(picture, f"{metres:g} m", (20, MAP_SIZE - 28))
    _write(picture, "camera path", (MAP_SIZE - 110, MAP_SIZE - 20), RED)


def _write(picture: np.ndarray, text: str, at: tuple[int, int], color=WHITE) -> None:
    cv2.putText(picture, text, at, cv2.FONT_HERSHEY_SIMPLEX, 0.42, color, 1, cv2.LINE_AA)
