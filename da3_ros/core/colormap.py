"""Depth as colors: near is red, far is violet (ColorBrewer's Spectral, 11 classes)."""

from __future__ import annotations

import math

import cv2
import numpy as np

LEGEND_WIDTH = 72
"""px of `depth_legend`."""

UNKNOWN = (40, 40, 40)
"""Color of pixels without a depth."""

UNCOLORED = 200
"""Grey, 0..255, of surfaces that no picture has shown."""

SMALLEST = float(np.finfo(np.float32).tiny)
"""m: the inverse of anything smaller is infinite in float32."""

_SPECTRAL_CLASSES = np.array(
    [
        [158, 1, 66],
        [213, 62, 79],
        [244, 109, 67],
        [253, 174, 97],
        [254, 224, 139],
        [255, 255, 191],
        [230, 245, 152],
        [171, 221, 164],
        [102, 194, 165],
        [50, 136, 189],
        [94, 79, 162],
    ]
)


def _table(classes: np.ndarray) -> np.ndarray:
    """(256, 3) uint8: the classes with straight lines between them."""
    position = np.linspace(0, len(classes) - 1, 256)
    channels = [np.interp(position, np.arange(len(classes)), c) for c in classes.T]
    return np.stack(channels, axis=-1).astype(np.uint8)


SPECTRAL = _table(_SPECTRAL_CLASSES)


def depth_range(depth: np.ndarray, percentile: float = 2.0) -> tuple[float, float]:
    """(near, far) between which colors are spread: percentiles of the inverse depth.

    Unknown pixels (NaN, infinite, not positive) do not count; (1, 1) when all are unknown. Both
    are at least `SMALLEST`.
    """
    known = depth[np.isfinite(depth) & (depth > 0)]
    if not known.size:
        return 1.0, 1.0
    inverse = 1 / np.maximum(known, SMALLEST)
    high, low = np.percentile(inverse, [100 - percentile, percentile]).astype(np.float64)
    return max(float(1 / high), SMALLEST), max(float(1 / low), SMALLEST)


def color_depth(depth: np.ndarray, near: float, far: float) -> np.ndarray:
    """(..., 3) uint8 of depth (...), linear in inverse depth; unknown pixels are grey."""
    known = np.isfinite(depth) & (depth > 0)
    spread = max(1 / near - 1 / far, 1e-6)
    inverse = 1 / np.maximum(np.where(known, depth, np.float32(near)), np.float32(SMALLEST))
    with np.errstate(over="ignore"):  # infinite is as red as can be
        index = np.clip((1 / near - inverse) * (256 / spread), 0, 255).astype(np.uint8)
    colors = SPECTRAL[index]
    colors[~known] = UNKNOWN
    return colors


def depth_legend(near: float, far: float, height: int, unit: str = "m") -> np.ndarray:
    """(height, `LEGEND_WIDTH`, 3) uint8: the colors from near (top) to far, with their depths.

    Linear in inverse depth like the colors. Without numbers where there are none. unit: empty
    where it is not known.
    """
    strip = np.full((height, LEGEND_WIDTH, 3), 255, np.uint8)
    depth = 1 / np.linspace(1 / near, 1 / far, height)
    strip[:, 6:20] = color_depth(depth, near, far)[:, None]
    rows = np.linspace(12, height - 6, max(2, height // 60)).astype(int)
    for row in rows if math.isfinite(far) else ():
        text = f"{depth[min(row, height - 1)]:.3g} {unit}".rstrip()
        cv2.putText(
            strip, text, (24, int(row)), cv2.FONT_HERSHEY_SIMPLEX, 0.36, (0, 0, 0), 1, cv2.LINE_AA
        )
    return strip
