"""Rays against triangles by Embree: an engine that shares nothing with ours."""

import numpy as np
from embreex.mesh_construction import TriangleMesh
from embreex.rtcore_scene import EmbreeScene


def first_hits(triangles: np.ndarray, origins: np.ndarray, directions: np.ndarray) -> np.ndarray:
    """(m,) float64 t of the first triangle at origin + t direction, t > 0; NaN where there is none.

    triangles: (n, 3, 3) corners. origins, directions: (m, 3).
    """
    scene = EmbreeScene()
    TriangleMesh(scene, np.ascontiguousarray(triangles, dtype=np.float32))
    hit = scene.run(np.float32(origins), np.float32(directions), query="INTERSECT")
    triangles = np.float64(triangles)
    a, b, c = triangles.transpose(1, 0, 2)
    normals = np.cross(b - a, c - a)
    start = ((a[hit] - origins) * normals[hit]).sum(axis=1)
    with np.errstate(invalid="ignore", divide="ignore"):
        t = start / (normals[hit] * directions).sum(axis=1)
    return np.where(hit >= 0, t, np.nan)
