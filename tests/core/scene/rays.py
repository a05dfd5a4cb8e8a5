"""Rays against triangles, by an engine that shares nothing with ours: Embree where there is one."""

import numpy as np
from nearest_triangle import nearest_triangle


def first_hits(triangles: np.ndarray, origins: np.ndarray, directions: np.ndarray) -> np.ndarray:
    """(m,) float64 t of the first triangle at origin + t direction, t > 0; NaN where there is none.

    triangles: (n, 3, 3) corners. origins, directions: (m, 3).
    """
    if len(triangles) == 0:
        return np.full(len(origins), np.nan)
    hit = nearest_triangle(triangles, origins, directions)
    triangles = np.float64(triangles)
    a, b, c = triangles.transpose(1, 0, 2)
    normals = np.cross(b - a, c - a)
    start = ((a[hit] - origins) * normals[hit]).sum(axis=1)
    with np.errstate(invalid="ignore", divide="ignore"):
        t = start / (normals[hit] * directions).sum(axis=1)
    return np.where(hit >= 0, t, np.nan)
