"""Worlds far from their origin (UTM, ECEF): float32 ends at half a metre there.

Coordinates are float64; where float32 is needed (graphics, files) it is around an origin of its
own, which is kept beside it in float64.
"""

from __future__ import annotations

import numpy as np

FAR = 1000.0
"""m from the world's origin, where float32 still has steps of 0.06 mm."""


def float32_origin(points: np.ndarray) -> np.ndarray:
    """(3,) float64, whole metres, near the middle of points (n, 3); zero where they are near it."""
    if len(points) == 0:
        return np.zeros(3)
    low, high = points.min(axis=0), points.max(axis=0)
    if max(np.abs(low).max(), np.abs(high).max()) <= FAR:
        return np.zeros(3)
    return np.round((np.float64(low) + high) / 2)
