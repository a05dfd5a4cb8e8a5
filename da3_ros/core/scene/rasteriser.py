"""Depth of triangles seen by a pinhole camera: every triangle at once in numpy.

Homogeneous rasterisation (Olano and Greer 1997): pixel r = (u, v, 1) sees the triangle with
corners q = K p (p in the optical frame) when r lies on the inner side of the three planes
through the camera and the triangle's edges, e_i = (q_j x q_k) . r >= 0. Depth comes from the
triangle's own plane, 1 / z = n . r / n . q_0. Nothing is divided by the depth of a corner
that may lie behind the camera, so triangles across the image plane need no clipping.

Triangles become spans of pixels, one per image row, and spans are drawn into a buffer
of inverse depth where the largest value stays.
"""

from __future__ import annotations

import numpy as np

EDGE_TOLERANCE = 5e-4
"""px by which triangles are widened, so that rounding opens no crack between neighbours."""
_AT_ONCE = 4096  # triangles; temporaries then stay in a core's cache


def rasterise(
    vertices: np.ndarray,
    faces: np.ndarray,
    T_cam_world: np.ndarray,
    K: np.ndarray,
    size: tuple[int, int],
    cull_faces: bool,
) -> np.ndarray:
    """(H, W) float32 depth along z of the nearest triangle, NaN where there is none.

    vertices: (V, 3) float64. faces: (F, 3) int64. size: (height, width).
    """
    return draw(_project(vertices, K @ T_cam_world[:3]), faces, size, cull_faces)


def draw(q: np.ndarray, faces: np.ndarray, size: tuple[int, int], cull_faces: bool) -> np.ndarray:
    """(H, W) float32 z of the nearest triangle, NaN where there is none.

    q: (V, 3) float32 corners as homogeneous pixels (u z, v z, z).
    """
    inverse_depth = np.zeros(size[0] * size[1], np.float32)
    faces = in_view(q, faces, (0, 0), (size[1] - 1, size[0] - 1))
    with np.errstate(all="ignore"):  # corners at depth 0 give infinities that compare away
        for first in range(0, len(faces), _AT_ONCE):
            # (3, 3, n): corner, component, triangle
            corners = q.take(faces[first : first + _AT_ONCE].T, axis=0).transpose(0, 2, 1)
            triangles, first_row, count = _setup(np.ascontiguousarray(corners), size, cull_faces)
            owner, row, low, length = spans(triangles, first_row, count, size[1])
            a, b, c = triangles[owner, 3].T
            value = a * low + (b * row.astype(np.float32) + c)
            _draw(inverse_depth, row * size[1] + low.astype(np.int64), length, value, a)
        depth = np.reciprocal(inverse_depth, out=inverse_depth)
    depth[np.isinf(depth)] = np.nan
    return depth.reshape(size)


def _project(vertices: np.ndarray, P: np.ndarray) -> np.ndarray:
    """(V, 3) float32 homogeneous pixels q = P (p, 1), summed in float64: P may be far out."""
    # Not a matrix product: threads of BLAS cost more than they bring for three columns.
    x, y, z = vertices.T
    q = np.empty(vertices.shape, np.float32)
    for k, (a, b, c, d) in enumerate(P):
        q[:, k] = a * x + b * y + c * z + d
    return q


def in_view(q: np.ndarray, faces: np.ndarray, low, high) -> np.ndarray:
    """The faces that are not wholly outside one side of the view.

    q: (V, 3) homogeneous image points; low, high: (u, v) bounds of the view, u = q_0 / q_2.
    """
    u, v, z = np.ascontiguousarray(q.T)
    # Float32 bounds a little too wide: an exact hit on the border must not be lost to rounding.
    low, high = np.float32(low) - EDGE_TOLERANCE, np.float32(high) + EDGE_TOLERANCE
    sides = (u < low[0] * z, u > high[0] * z, v < low[1] * z, v > high[1] * z, z <= 0)
    outside = np.zeros(len(q), np.uint8)
    for bit, side in enumerate(sides):
        outside |= side.view(np.uint8) << np.uint8(bit)
    a, b, c = outside.take(faces).T
    return faces.take(np.flatnonzero((a & b & c) == 0), axis=0)


def _setup(corners: np.ndarray, size, cull_faces: bool):
    """Triangles (n, 4, 3) float32, their first image row and number of rows.

    For each edge (slope, low, high): in row v the triangle lies between slope v + low and
    slope v + high, one of which is infinite. Last a, b, c of 1 / z = a u + b v + c.
    """
    first_row, row_count = _rows(corners, size)
    q0, q1, q2 = corners
    side0, side1, side2 = q2 - q1, q0 - q2, q1 - q0
    normal = cross(side1, side2)
    volume = _dot(normal, q0)  # negative where the front is seen
    keep = np.flatnonzero((row_count > 0) & (volume < 0 if cull_faces else volume != 0))
    volume = volume[keep]
    outwards = np.where(volume < 0, np.float32(-EDGE_TOLERANCE), np.float32(EDGE_TOLERANCE))
    triangles = np.empty((len(keep), 4, 3), np.float32)
    for i, (q, side) in enumerate(((q1, side0), (q2, side1), (q0, side2))):
        a, b, c = cross(q.take(keep, axis=1), side.take(keep, axis=1))
        a[a == 0] = np.float32(1e-12) * b[a == 0]  # a level edge; its slope must stay finite
        c += outwards * (np.abs(a) + np.abs(b))
        scale = np.float32(-1) / a
        offset = c * scale
        triangle_is_right = (a > 0) == (volume > 0)
        triangles[:, i, 0] = b * scale
        triangles[:, i, 1] = np.where(triangle_is_right, offset, np.float32(-np.inf))
        triangles[:, i, 2] = np.where(triangle_is_right, np.float32(np.inf), offset)
    for k in range(3):
        triangles[:, 3, k] = normal[k][keep] / volume
    return triangles, first_row[keep], row_count[keep]


def cross(a, b) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Cross product of (3, n) and (3, n), by component."""
    return a[1] * b[2] - a[2] * b[1], a[2] * b[0] - a[0] * b[2], a[0] * b[1] - a[1] * b[0]


def _dot(a, b) -> np.ndarray:
    return a[0] * b[0] + a[1] * b[1] + a[2] * b[2]


def _rows(corners: np.ndarray, size) -> tuple[np.ndarray, np.ndarray]:
    """First image row and number of rows of each triangle; 0 when it covers no pixel centre."""
    height, width = size
    z = corners[:, 2]
    u, v = corners[:, 0] / z, corners[:, 1] / z
    left, top = (x.min(axis=0) - EDGE_TOLERANCE for x in (u, v))
    right, bottom = (x.max(axis=0) + EDGE_TOLERANCE for x in (u, v))
    behind = (z <= 0).any(axis=0)
    # The projection of a triangle that reaches behind the camera is not bounded by its corners.
    top[behind], bottom[behind], left[behind], right[behind] = 0, height - 1, 0, width - 1
    first = np.ceil(np.clip(top, 0, height)).astype(np.int32)
    count = np.floor(np.clip(bottom, -1, height - 1)).astype(np.int32) - first + 1
    count[np.ceil(np.maximum(left, 0)) > np.floor(np.minimum(right, width - 1))] = 0
    return first, np.maximum(count, 0)


def spans(triangles, first_row, row_count, width):
    """Owner (index of its triangle), row, first column and length of each span of pixels.

    triangles: (n, >= 3, >= 3), for each edge (slope, low, high, ...) as `_setup` makes them.
    """
    owner = np.repeat(np.arange(len(triangles)), row_count)
    starts = np.cumsum(row_count) - row_count
    row = np.arange(len(owner)) - (starts - first_row)[owner]
    t = triangles.take(owner, axis=0)
    v = row.astype(np.float32)
    low, high = np.float32(0), np.float32(width - 1)
    for edge in range(3):
        u = t[:, edge, 0] * v
        low = np.maximum(low, u + t[:, edge, 1])
        high = np.minimum(high, u + t[:, edge, 2])
    low = np.ceil(low)
    length = np.floor(high) - low + 1
    some = np.flatnonzero(length > 0)
    # uint16 because numpy sorts that by radix, ten times faster; no image is wider.
    return owner[some], row[some], low[some], length[some].astype(np.uint16)


def _draw(inverse_depth, start, length, value, slope) -> None:
    """Raise the flat (H * W,) inverse depth to that of the spans where they are nearer."""
    order, reaching = longest_first(length)
    start, value, slope = start[order], value[order], slope[order]
    for k, n in enumerate(reaching):
        np.maximum.at(inverse_depth, start[:n] + k, value[:n] + np.float32(k) * slope[:n])


def longest_first(length: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Order of spans by length (uint16), and how many have a k-th pixel: then always a prefix."""
    order = np.argsort(np.iinfo(np.uint16).max - length, kind="stable")
    length = length[order]
    longest = int(length[0]) if len(length) else 0
    return order, len(length) - np.searchsorted(length[::-1], np.arange(longest), side="right")
