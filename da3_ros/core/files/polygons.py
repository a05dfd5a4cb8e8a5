"""Polygons to triangles."""

from __future__ import annotations

import numpy as np

from da3_ros.core.files.mesh_bounds import LARGEST_POLYGON


def triangles_of(points: np.ndarray, counts: np.ndarray, corners: np.ndarray) -> np.ndarray:
    """(F, 3) int64 triangles of flat polygons, anticlockwise as they are.

    points: (V, 3). counts: (n,) corners of each polygon. corners: all of them in a row, rows of
    `points`. Polygons of fewer than three corners are left out. Raises ValueError for corners
    that are not there, and a polygon that no fan of triangles fills.
    """
    counts, corners = np.asarray(counts).astype(np.int64), np.asarray(corners).astype(np.int64)
    if len(corners) and not (corners.min() >= 0 and corners.max() < len(points)):
        raise ValueError(f"faces name vertices outside 0..{len(points) - 1}")
    if counts.max(initial=0) > LARGEST_POLYGON:
        raise ValueError(
            f"a polygon has {counts.max():,} corners, at most {LARGEST_POLYGON:,} are split; "
            "triangulate the mesh first"
        )
    if (counts == 3).all():
        return corners.reshape(-1, 3)
    first = np.cumsum(counts) - counts
    found, origin = [], []
    for count in np.unique(counts[counts >= 3]):
        which = np.flatnonzero(counts == count)
        polygons = corners[first[which][:, None] + np.arange(count)]
        found.append(_fans(points, polygons).reshape(-1, 3))
        origin.append(np.repeat(which, count - 2))
    if not found:
        return np.zeros((0, 3), np.int64)
    # In the order of the file.
    return np.concatenate(found)[np.argsort(np.concatenate(origin), kind="stable")]


def _fans(points: np.ndarray, polygons: np.ndarray) -> np.ndarray:
    """(n, k - 2, 3) triangles of polygons (n, k), from a corner that sees the whole polygon.

    The first corner sees all of a convex one; in a hollow one, only some do.
    """
    count = polygons.shape[1]
    fans = np.zeros((len(polygons), count - 2, 3), np.int64)
    open_ones = np.arange(len(polygons))
    for apex in range(count):
        turned = np.roll(polygons[open_ones], -apex, axis=1)
        fan = np.stack([turned[:, [0] * (count - 2)], turned[:, 1:-1], turned[:, 2:]], axis=-1)
        corners = points[fan]
        normals = np.cross(
            corners[..., 1, :] - corners[..., 0, :], corners[..., 2, :] - corners[..., 0, :]
        )
        whole = normals.sum(axis=1, keepdims=True)
        fits = ((normals * whole).sum(axis=-1) >= 0).all(axis=1)
        fans[open_ones[fits]] = fan[fits]
        open_ones = open_ones[~fits]
        if len(open_ones) == 0:
            return fans
    raise ValueError(
        f"a polygon of {count} corners is too hollow to be split; triangulate the mesh first"
    )
