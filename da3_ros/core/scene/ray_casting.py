"""Rays against triangles: for views through a lens and for looking straight down."""

from __future__ import annotations

from functools import lru_cache

import numpy as np

from da3_ros.core.camera_model import CameraModel
from da3_ros.core.scene.nearest_triangle import nearest_triangle
from da3_ros.core.scene.rasteriser import in_view

LENS_TOLERANCE = 0.1
"""px: a ray that does not project back this near to its pixel is no solution of the lens."""


def cast_depth(
    vertices: np.ndarray,
    faces: np.ndarray,
    T_cam_world: np.ndarray,
    camera: CameraModel,
    cull_faces: bool,
) -> np.ndarray:
    """(H, W) float32 depth along z of the nearest triangle, NaN where there is none.

    NaN too where the lens model has no ray for the pixel.
    """
    rays = _rays(
        camera.width, camera.height, camera.K.tobytes(), camera.distortion_model, camera.D.tobytes()
    )
    usable = np.isfinite(rays[:, 0])
    depth = np.full(len(rays), np.nan, np.float32)
    triangles = _visible_triangles(vertices, faces, T_cam_world, rays[usable], cull_faces)
    depth[usable] = first_hits(triangles, np.zeros_like(rays[usable]), rays[usable])
    return depth.reshape(camera.height, camera.width)


@lru_cache(maxsize=4)
def _rays(width, height, K: bytes, distortion_model, D: bytes) -> np.ndarray:
    """(H * W, 3) float32 points at z = 1, NaN without a ray. Kept: inverting a lens is slow."""
    K, D = np.frombuffer(K).reshape(3, 3), np.frombuffer(D)
    camera = CameraModel(width, height, K, distortion_model, D)
    rays = camera.rays().reshape(-1, 3)
    pixels = np.stack(np.meshgrid(np.arange(width), np.arange(height)), axis=-1).reshape(-1, 2)
    error = np.abs(camera.project(np.nan_to_num(rays, nan=0.0)) - pixels).max(axis=1)
    rays[~(error < LENS_TOLERANCE)] = np.nan
    return rays.astype(np.float32)


def _visible_triangles(vertices, faces, T_cam_world, rays, cull_faces) -> np.ndarray:
    """(n, 3, 3) float32 corners in the optical frame of what the rays can meet.

    All rays start at the camera, so whether a triangle shows its back is the same for each.
    """
    if len(rays) == 0:
        return np.zeros((0, 3, 3), np.float32)
    T = T_cam_world.astype(np.float32)
    points = vertices @ np.ascontiguousarray(T[:3, :3].T) + T[:3, 3]
    faces = in_view(points, faces, rays[:, :2].min(axis=0), rays[:, :2].max(axis=0))
    triangles = points[faces]
    if not cull_faces:
        return triangles
    normal, first = face_normals(triangles), triangles[:, 0]
    return triangles[(normal * first).sum(axis=1) < 0]


def face_normals(triangles: np.ndarray) -> np.ndarray:
    """(n, 3) normals, as long as twice the area, of corners (n, 3, 3)."""
    return np.cross(triangles[:, 1] - triangles[:, 0], triangles[:, 2] - triangles[:, 0])


def first_hits(triangles: np.ndarray, origins: np.ndarray, directions: np.ndarray) -> np.ndarray:
    """(m,) float64 t of the first triangle at origin + t direction, t > 0; NaN where there is none.

    triangles: (n, 3, 3) corners. origins, directions: (m, 3).
    """
    if len(triangles) == 0 or len(origins) == 0:
        return np.full(len(origins), np.nan)
    hit = nearest_triangle(triangles, origins, directions)
    # From the plane itself: more exact than the traversal's float32 distance.
    triangles = triangles.astype(np.float64)
    normals = face_normals(triangles)
    start = ((triangles[hit, 0] - origins) * normals[hit]).sum(axis=1)
    with np.errstate(invalid="ignore", divide="ignore"):
        t = start / (normals[hit] * directions).sum(axis=1)
    return np.where(hit >= 0, t, np.nan)
