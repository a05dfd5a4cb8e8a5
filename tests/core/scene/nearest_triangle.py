"""Which triangle a ray meets first: by Embree, or by numpy where Embree has no package.

Embree comes as wheels for x86_64 only. numpy finds the same triangles, some ten times slower.
"""

from __future__ import annotations

import numpy as np

PAIRS_AT_ONCE = 1 << 13
"""So many pairs of ray and triangle are tried outright; more rays are split first."""


def nearest_triangle(
    triangles: np.ndarray, origins: np.ndarray, directions: np.ndarray
) -> np.ndarray:
    """(m,) int index of the first triangle at origin + t direction, t > 0; -1 where there is none.

    triangles: (n, 3, 3) corners, n > 0. origins, directions: (m, 3).
    """
    try:
        from embreex.mesh_construction import TriangleMesh
        from embreex.rtcore_scene import EmbreeScene
    except ImportError:
        return by_numpy(triangles, origins, directions)
    scene = EmbreeScene()
    TriangleMesh(scene, np.ascontiguousarray(triangles, dtype=np.float32))
    return scene.run(np.float32(origins), np.float32(directions), query="INTERSECT")


def by_numpy(triangles: np.ndarray, origins: np.ndarray, directions: np.ndarray) -> np.ndarray:
    """The same: halves the rays until few triangles are left in the beam around each part.

    Fast where rays lie close together, as those of a camera or straight down do.
    """
    triangles = triangles.astype(np.float64)
    rays = np.concatenate([origins, directions], axis=1).astype(np.float64)
    rays[:, 3:] /= np.linalg.norm(rays[:, 3:], axis=1, keepdims=True)
    found = np.full(len(rays), -1)
    parts = [(np.arange(len(rays)), np.arange(len(triangles)))]
    while parts:
        part, near = parts.pop()
        near = near[_in_beam(triangles[near], rays[part])]
        if len(near) == 0:
            continue
        if len(part) * len(near) <= PAIRS_AT_ONCE or len(part) == 1:
            hit = _try_all(triangles[near], rays[part])
            found[part] = np.where(hit < 0, -1, near[hit])
        else:
            parts += [(half, near) for half in _halves(part, rays[part])]
    return found


def _halves(part: np.ndarray, rays: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """The rays on both sides of the median where they differ most."""
    order = np.argpartition(rays[:, np.ptp(rays, axis=0).argmax()], len(rays) // 2)
    return part[order[: len(rays) // 2]], part[order[len(rays) // 2 :]]


def _in_beam(triangles: np.ndarray, rays: np.ndarray) -> np.ndarray:
    """(n,) bool: False only for triangles that lie wholly outside one side of the beam of rays."""
    axes = np.linalg.svd(rays[:, 3:].mean(axis=0)[None])[2]  # the first one along the beam
    origins, directions = rays[:, :3] @ axes.T, rays[:, 3:] @ axes.T
    if directions[0, 0] < 0:
        axes, origins, directions = -axes, -origins, -directions
    if directions[:, 0].min() < 0.1:
        return np.ones(len(triangles), bool)  # too wide: a beam has no such sides
    slopes = directions[:, 1:] / directions[:, :1]
    start = origins[:, 0].min()
    base = origins[:, 1:] - slopes * (origins[:, :1] - start)  # where each ray crosses the start
    x, y, z = (triangles.reshape(-1, 3) @ axes.T).T.reshape(3, -1, 3)
    x = x - start
    inside = _largest(x) >= 0
    tiny = 1e-9 * np.abs(triangles).max()
    for i, across in enumerate((y, z)):
        inside &= _largest(across - slopes[:, i].min() * x) >= base[:, i].min() - tiny
        inside &= _largest(slopes[:, i].max() * x - across) >= -base[:, i].max() - tiny
    return inside


def _largest(values: np.ndarray) -> np.ndarray:
    """(n,) of (n, 3)."""
    return np.maximum(np.maximum(values[:, 0], values[:, 1]), values[:, 2])


def _try_all(triangles: np.ndarray, rays: np.ndarray) -> np.ndarray:
    """(m,) index into triangles, -1 for none, by the sides on which a ray passes the edges.

    In Plücker coordinates: neighbours see their common edge with opposite signs, so that no ray
    slips through between them.
    """
    corner, directions = triangles - rays[0, :3], rays[:, 3:]
    origins = rays[:, :3] - rays[0, :3]
    following = np.roll(corner, -1, axis=1)
    edges = np.concatenate([np.cross(corner, following), following - corner], axis=2)
    lines = np.concatenate([directions, np.cross(origins, directions)], axis=1)
    side = np.einsum("mk,nek->emn", lines, edges, optimize=True)
    inside = (side >= 0).all(axis=0) | (side <= 0).all(axis=0)
    normals = np.cross(corner[:, 1] - corner[:, 0], corner[:, 2] - corner[:, 0])
    with np.errstate(divide="ignore", invalid="ignore"):
        ahead = ((corner[:, 0] * normals).sum(axis=1) - origins @ normals.T) / (
            directions @ normals.T
        )
        t = np.where(inside & (ahead > 0), ahead, np.inf)
    nearest = t.argmin(axis=1)
    return np.where(np.isfinite(t[np.arange(len(t)), nearest]), nearest, -1)
