"""Depth of triangles seen through a lens: drawn as in `rasteriser`, in the curved image itself.

Behind a lens the image of an edge is curved. Short edges are straight for all that pixels can
tell, so triangles are split until their edges are short, and drawn with straight ones:

    fine      the curve stays within 2e-3 px of the edge, and triangles are widened by that
    coarse    the curve stays within half a pixel: pixels nearer to an edge than the curve goes are
              tested against the planes through the camera and the triangle's true edges
    larger    is split in four, if any of it can be in view

Depth is exact whatever the edges: from the triangle's plane along each pixel's own ray.
Nothing is built or kept for a mesh, and the first view takes no longer than the next.
"""

from __future__ import annotations

import numpy as np

from da3_ros.core.camera_model import CameraError, CameraModel
from da3_ros.core.scene.lens_view import LensView
from da3_ros.core.scene.rasteriser import EDGE_TOLERANCE, cross, in_view, longest_first, spans

FINE = 2e-3
COARSE = 0.5
"""px between the image of an edge and the straight line between its ends."""
_AT_ONCE = 4096  # triangles; temporaries then stay in a core's cache
_ROWS_AT_ONCE = 16384
_LEVELS = 24
"""Splits after which what is left lies on the rim of the lens, or at the camera itself."""
MOST_PIECES = 1 << 20
"""Pieces of triangles at once, 200 MB: real lenses need some thousand, wild coefficients no end."""


def rasterise(
    vertices: np.ndarray,
    faces: np.ndarray,
    T_cam_world: np.ndarray,
    camera: CameraModel,
    cull_faces: bool,
) -> np.ndarray:
    """(H, W) float32 depth along z of the nearest triangle, NaN where there is none.

    NaN too where the lens has no ray for the pixel. Negative beyond 90 degrees from the axis.
    vertices: (V, 3) float64. faces: (F, 3) int64.
    """
    view = LensView(camera)
    points = vertices @ T_cam_world[:3, :3].T + T_cam_world[:3, 3]
    faces = _facing(points, _before(points, faces, view), cull_faces)
    pixels = _project(points, faces, camera)
    faces = _in_view(pixels, faces, view)
    size, sag = _sizes(pixels, faces, view)
    inverse = np.zeros(camera.height * camera.width, np.float32)
    with np.errstate(all="ignore"):
        for part in _batches(np.flatnonzero(sag <= COARSE), size):
            _Triangles(points[faces[part]], pixels[faces[part]], sag[part], view).draw(inverse)
        large = points[faces[~(sag <= COARSE)]]
        owner, corners, sag = _split(large, view)
        for part in _batches(np.arange(len(owner)), _longest_side(corners)):
            _Triangles(large[owner[part]], corners[part], sag[part], view).draw(inverse)
        depth = np.divide(1 if view.z is None else view.z, inverse, out=inverse)
    depth[np.isinf(depth)] = np.nan
    return depth.reshape(camera.height, camera.width)


def _before(points: np.ndarray, faces: np.ndarray, view: LensView) -> np.ndarray:
    """Without the faces wholly beyond one side of a box around the view, if it is so narrow."""
    if view.box is None:
        return faces
    return in_view(points.astype(np.float32), faces, *view.box)


def _project(points: np.ndarray, faces: np.ndarray, camera: CameraModel) -> np.ndarray:
    """(V, 2) pixels of the points that faces use, NaN elsewhere."""
    used = np.zeros(len(points), bool)
    used[faces] = True
    pixels = np.full((len(points), 2), np.nan)
    pixels[used] = camera.project(points[used])
    return pixels


def _in_view(pixels: np.ndarray, faces: np.ndarray, view: LensView) -> np.ndarray:
    """Without the small faces that lie wholly beyond one side of the image."""
    u, v = pixels.T
    outside = np.zeros(len(pixels), np.uint8)
    sides = (u < -1, u > view.camera.width, v < -1, v > view.camera.height)
    for bit, side in enumerate(sides):
        outside |= side.view(np.uint8) << np.uint8(bit)
    a, b, c = outside.take(faces).T
    beyond = np.flatnonzero(a & b & c)
    beyond = beyond[_sizes(pixels, faces[beyond], view)[1] <= COARSE]
    kept = np.ones(len(faces), bool)
    kept[beyond] = False
    return faces[kept]


def _facing(points: np.ndarray, faces: np.ndarray, cull_faces: bool) -> np.ndarray:
    """The faces that show their front, or with `cull_faces` off any side but their edge."""
    kept = np.empty(len(faces), bool)
    for part in _batches(np.arange(len(faces))):
        volume = _volume(points[faces[part]])
        kept[part] = volume < 0 if cull_faces else volume != 0
    return faces[kept]


def _volume(corners: np.ndarray) -> np.ndarray:
    """Determinant of corners (n, 3, 3): negative where the front is seen."""
    a, b, c = corners.transpose(1, 2, 0)
    return (
        a[0] * (b[1] * c[2] - b[2] * c[1])
        + a[1] * (b[2] * c[0] - b[0] * c[2])
        + a[2] * (b[0] * c[1] - b[1] * c[0])
    )


def _sizes(pixels: np.ndarray, faces: np.ndarray, view: LensView) -> tuple[np.ndarray, np.ndarray]:
    """(n,) px: the longest edge of each face (NaN where a corner has no pixel), and its sag."""
    size, sag = np.empty(len(faces)), np.empty(len(faces))
    for part in _batches(np.arange(len(faces))):
        corners = pixels[faces[part]]
        size[part] = _longest_side(corners)
        sag[part] = view.sag(corners, size[part])
    return size, sag


def _longest_side(corners: np.ndarray) -> np.ndarray:
    longest = np.zeros(len(corners))
    for i in range(3):
        du, dv = (corners[:, i] - corners[:, i - 1]).T
        longest = np.maximum(longest, du * du + dv * dv)
    return np.sqrt(longest)


def _batches(index: np.ndarray, rows: np.ndarray | None = None):
    """Parts of an index, of so many triangles, or so many image rows, that caches hold them."""
    if rows is None:
        return (index[first : first + _AT_ONCE] for first in range(0, len(index), _AT_ONCE))
    ends = np.cumsum(rows[index] + _ROWS_AT_ONCE / _AT_ONCE) // _ROWS_AT_ONCE
    return np.split(index, np.flatnonzero(np.diff(ends)) + 1)


def _split(large: np.ndarray, view: LensView) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Owner (n,), pixel corners (n, 3, 2) and sag (n,) of pieces of triangles (m, 3, 3)."""
    owner, pieces = np.arange(len(large)), large
    owners, corners, sags = [np.zeros(0, np.int64)], [np.zeros((0, 3, 2))], [np.zeros(0)]
    for _ in range(_LEVELS):
        radius, beyond = _cones(pieces, view)
        owner, pieces, radius = owner[~beyond], pieces[~beyond], radius[~beyond]
        pixels = view.camera.project(pieces.reshape(-1, 3)).reshape(-1, 3, 2)
        longest = _longest_side(pixels)
        sag = view.sag(pixels, longest)
        ready = sag <= COARSE
        owners.append(owner[ready])
        corners.append(pixels[ready])
        sags.append(sag[ready])
        # On the rim of the lens a corner has no pixel, however small the piece.
        again = ~ready & ~(np.isnan(longest) & (radius < view.speck))
        if 4 * np.count_nonzero(again) > MOST_PIECES:
            raise CameraError(
                "the lens bends straight lines without end, which cannot be drawn: check the "
                f"coefficients D ({view.camera.distortion_model})"
            )
        owner, pieces = np.repeat(owner[again], 4), _quarters(pieces[again])
        if len(owner) == 0:
            break
    return np.concatenate(owners), np.concatenate(corners), np.concatenate(sags)


def _cones(pieces: np.ndarray, view: LensView) -> tuple[np.ndarray, np.ndarray]:
    """(n,) rad, half the angle each piece fills, and whether it is outside the cone of the view."""
    middle = pieces.mean(axis=1)
    middle = middle / np.linalg.norm(middle, axis=1, keepdims=True)
    corners = pieces / np.linalg.norm(pieces, axis=2, keepdims=True)
    cosine = np.clip(np.einsum("nij,nj->ni", corners, middle), -1, 1).min(axis=1)
    radius, angle = np.arccos(cosine), np.arccos(np.clip(middle @ view.axis, -1, 1))
    return radius, (angle - radius > view.cone) & (radius < np.pi / 2)  # NaN is not outside


def _quarters(pieces: np.ndarray) -> np.ndarray:
    """(4 n, 3, 3) parts of triangles (n, 3, 3), split at the middles of their edges."""
    a, b, c = pieces.transpose(1, 0, 2)
    ab, bc, ca = (a + b) / 2, (b + c) / 2, (c + a) / 2
    parts = ((a, ab, ca), (ab, b, bc), (ca, bc, c), (ab, bc, ca))
    return np.stack([np.stack(part, axis=1) for part in parts], axis=1).reshape(-1, 3, 3)


class _Triangles:
    """A batch of triangles, or pieces of such, and the straight edges they are drawn with.

    true: (n, 3, 3) corners in the optical frame, of the triangle that a piece is part of.
    corners: (n, 3, 2) px, of the piece. sag: (n,) px that its edges bend.
    """

    def __init__(self, true: np.ndarray, corners: np.ndarray, sag: np.ndarray, view: LensView):
        self.view = view
        self.true = np.ascontiguousarray(true.transpose(1, 2, 0))  # corner, component, triangle
        self.corners = np.ascontiguousarray(corners.transpose(1, 2, 0))
        a, b, c = self.true
        normal = np.stack(cross(b - a, c - a))
        self.volume = (normal * a).sum(axis=0)
        # Inverse distance along a ray d is plane . d.
        self.plane = (normal / self.volume).astype(np.float32)
        self.is_fine = sag <= FINE
        self.tolerance = EDGE_TOLERANCE + np.maximum(sag, FINE)
        self.edges = self._edges()

    def _edges(self) -> np.ndarray:
        """(n, 3, 4) float32 slope, low, high, and what low and high are moved by."""
        edges = np.empty((self.corners.shape[2], 3, 4), np.float32)
        for i in range(3):
            (u, v), (u1, v1), (u2, v2) = (self.corners[(i + k) % 3] for k in range(3))
            dv = v1 - v
            dv = np.where(np.abs(dv) < 1e-9, 1e-9, dv)  # a level edge; its slope must stay finite
            slope = (u1 - u) / dv
            offset = u - slope * v
            is_left = u2 > slope * v2 + offset
            widened = (1 + np.abs(slope)) * self.tolerance
            edges[:, i, 0] = slope
            edges[:, i, 1] = np.where(is_left, offset - widened, -np.inf)
            edges[:, i, 2] = np.where(is_left, np.inf, offset + widened)
            edges[:, i, 3] = widened
        return edges

    def draw(self, inverse: np.ndarray) -> None:
        """Raise the flat (H * W,) inverse distance along the rays where these are nearer."""
        owner, row, low, length = spans(self.edges, *self._rows(), self.view.camera.width)
        start, first = row * self.view.camera.width, low.astype(np.int64)
        end = first + length
        tested = np.flatnonzero(~self.is_fine[owner])
        inner, inner_end = first.copy(), end.copy()
        inner[tested], inner_end[tested] = self._inner(
            owner[tested], row[tested], first[tested], end[tested]
        )
        self._fill(inverse, start + inner, inner_end - inner, owner)
        self._test(inverse, (start + first)[tested], (inner - first)[tested], owner[tested])
        self._test(inverse, (start + inner_end)[tested], (end - inner_end)[tested], owner[tested])

    def _rows(self) -> tuple[np.ndarray, np.ndarray]:
        """First image row and number of rows of each triangle."""
        left, top = np.minimum(np.minimum(*self.corners[:2]), self.corners[2])
        right, bottom = np.maximum(np.maximum(*self.corners[:2]), self.corners[2])
        last, wide = self.view.camera.height - 1, self.view.camera.width - 1
        first = np.ceil(np.clip(top - self.tolerance, 0, last + 1)).astype(np.int64)
        count = np.floor(np.clip(bottom + self.tolerance, -1, last)).astype(np.int64) - first + 1
        # Between two columns of pixel centres, or beside the image.
        u0 = np.ceil(np.maximum(left - self.tolerance, 0))
        count[u0 > np.floor(np.minimum(right + self.tolerance, wide))] = 0
        return first, np.maximum(count, 0)

    def _inner(self, owner, row, first, end) -> tuple[np.ndarray, np.ndarray]:
        """The part of each span, from and to, that is farther from all edges than they bend."""
        edges, v = self.edges.take(owner, axis=0), row.astype(np.float32)
        low, high = first.astype(np.float32), end.astype(np.float32)
        for i in range(3):
            u, inwards = edges[:, i, 0] * v, 2 * edges[:, i, 3]
            low = np.maximum(low, u + edges[:, i, 1] + inwards)
            high = np.minimum(high, u + edges[:, i, 2] - inwards)
        low = np.minimum(np.ceil(low).astype(np.int64), end)
        return low, np.clip(np.floor(high).astype(np.int64) + 1, low, end)

    def _fill(self, inverse, start, length, owner) -> None:
        some = np.flatnonzero(length > 0)
        order, reaching = longest_first(length[some].astype(np.uint16))
        order = some[order]
        start, plane = start[order], self.plane.take(owner[order], axis=1)
        for k, n in enumerate(reaching):
            pixel = start[:n] + k
            np.maximum.at(inverse, pixel, self._along(plane[:, :n], pixel))

    def _test(self, inverse, start, length, owner) -> None:
        """As `_fill`, but only pixels whose ray passes inside the true triangle."""
        owner = np.repeat(owner, length)
        pixel = np.arange(len(owner)) + np.repeat(start - (np.cumsum(length) - length), length)
        side = np.sign(self.volume)
        for i in range(3):
            edge = np.stack(cross(self.true[i], self.true[(i + 1) % 3])) * side
            edge = edge.astype(np.float32).take(owner, axis=1)
            inside = np.flatnonzero(self._along(edge, pixel) >= 0)
            owner, pixel = owner[inside], pixel[inside]
        np.maximum.at(inverse, pixel, self._along(self.plane.take(owner, axis=1), pixel))

    def _along(self, plane: np.ndarray, pixel: np.ndarray) -> np.ndarray:
        """plane . ray of each pixel; plane: (3, n)."""
        xy, z = self.view.xy.take(pixel, mode="clip"), self.view.z
        value = plane[0] * xy.real + plane[1] * xy.imag
        return value + (plane[2] if z is None else plane[2] * z.take(pixel, mode="clip"))
