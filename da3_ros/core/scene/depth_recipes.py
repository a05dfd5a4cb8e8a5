"""What people do with a rendered depth image. Examples: docs/render_depth.md.

depth is float32 (H, W), metres along z, NaN where nothing is seen.
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from enum import IntEnum
from pathlib import Path

import numpy as np
from PIL import Image

from da3_ros.core import poses
from da3_ros.core.camera_model import CameraError, CameraModel
from da3_ros.core.files.atomic_file import atomic_path
from da3_ros.core.scene.mesh import Mesh
from da3_ros.core.scene.ray_casting import face_normals, first_hits


def save_grey_png(path: str | os.PathLike, depth: np.ndarray) -> tuple[float, float]:
    """8-bit grey PNG: 1 the nearest valid pixel, 255 the farthest, 0 nothing seen.

    Returns (nearest, farthest) in metres: depth = nearest + (grey - 1) / 254 (farthest - nearest).
    Raises ValueError when no pixel is valid.
    """
    valid = np.isfinite(depth)
    if not valid.any():
        raise ValueError("no pixel of the depth image is valid: nothing to scale")
    near, far = float(depth[valid].min()), float(depth[valid].max())
    grey = np.zeros(depth.shape, np.uint8)
    grey[valid] = np.round(1 + 254 * (depth[valid] - near) / max(far - near, 1e-12))
    _save(path, grey)
    return near, far


def save_float_tiff(path: str | os.PathLike, depth: np.ndarray) -> None:
    """Lossless float32 TIFF, metres, NaN where nothing is seen."""
    _save(path, np.asarray(depth, dtype=np.float32))


def _save(path, pixels) -> None:
    with atomic_path(path) as temporary:
        Image.fromarray(pixels).save(temporary)


class Visibility(IntEnum):
    """What a camera knows of a point."""

    OUTSIDE = 0
    OCCLUDED = 1
    VISIBLE = 2


def visibility(
    points: np.ndarray,
    depth: np.ndarray,
    transform: np.ndarray,
    calibration: CameraModel,
    tolerance: float = 0.02,
) -> np.ndarray:
    """(N,) uint8 `Visibility` of points (N, 3) in the scene, from their rendered depth.

    depth: (H, W) rendered at this transform and calibration. A point farther than
    `tolerance` metres behind the surface at its pixel is occluded.
    """
    T_cam_world = poses.inverse(poses.rigid(transform))
    points = np.asarray(points, dtype=np.float64).reshape(-1, 3)
    in_camera = points @ T_cam_world[:3, :3].T + T_cam_world[:3, 3]
    u, v = np.round(calibration.project(in_camera)).T
    # NaN, behind the camera, compares false.
    inside = (u >= 0) & (v >= 0) & (u < calibration.width) & (v < calibration.height)
    state = np.full(len(points), Visibility.OUTSIDE, np.uint8)
    surface = depth[v[inside].astype(int), u[inside].astype(int)]
    hidden = in_camera[inside, 2] > surface + tolerance
    state[inside] = np.where(hidden, Visibility.OCCLUDED, Visibility.VISIBLE)
    return state


@dataclass(frozen=True, eq=False)
class StereoPair:
    """Depth (H, W) m and disparity (H, W) px of both cameras; NaN where nothing is seen.

    A left pixel (u, v) is at (u - left_disparity, v) in the right image.
    """

    left_depth: np.ndarray
    right_depth: np.ndarray
    left_disparity: np.ndarray
    right_disparity: np.ndarray
    T_world_right: np.ndarray


def stereo_pair(
    mesh: Mesh, transform: np.ndarray, calibration: CameraModel, baseline: float
) -> StereoPair:
    """A rectified stereo camera: left at `transform`, right `baseline` metres along its x.

    disparity = fx baseline / depth. Raises CameraError when the calibration has a lens.
    """
    if calibration.is_distorted:
        raise CameraError("a stereo pair needs a rectified calibration; use its pinhole() model")
    T_world_left = poses.rigid(transform)
    T_world_right = T_world_left @ poses.compose(np.eye(3), np.array([baseline, 0, 0]))
    left, right = (
        mesh.render_depth(T, calibration, add_alpha=False) for T in (T_world_left, T_world_right)
    )
    product = np.float32(calibration.K[0, 0] * baseline)
    return StereoPair(left, right, product / left, product / right, T_world_right)


@dataclass(frozen=True, eq=False)
class HeightField:
    """Heights (H, W) float32 m, seen from straight above; NaN where there is nothing.

    Row 0 is the northern edge. Pixel (row, column) is at x = x_min + (column + 1/2) cell,
    y = y_max - (row + 1/2) cell.
    """

    height: np.ndarray
    x_min: float
    y_max: float
    cell: float

    def save(self, path: str | os.PathLike) -> None:
        """Float32 TIFF and its world file (`.tfw`), which GIS programs place it by."""
        path = Path(path)
        save_float_tiff(path, self.height)
        lines = (
            self.cell,
            0,
            0,
            -self.cell,
            self.x_min + self.cell / 2,
            self.y_max - self.cell / 2,
        )
        with atomic_path(path.with_suffix(".tfw")) as temporary:
            temporary.write_text("".join(f"{value:.12g}\n" for value in lines))


def nadir_height_field(
    mesh: Mesh,
    area: tuple[float, float, float, float],
    cell: float,
    cull_faces: bool = True,
) -> HeightField:
    """Orthographic view straight down on an area (x_min, y_min, x_max, y_max), world z up.

    cell: m per pixel. With `cull_faces` ceilings, which show their back, are left out.
    """
    x_min, y_min, x_max, y_max = area
    if not (x_max > x_min and y_max > y_min and cell > 0):
        raise ValueError(f"area {area} and cell {cell} must have positive sizes")
    shape = (int(np.ceil((y_max - y_min) / cell)), int(np.ceil((x_max - x_min) / cell)))
    x = x_min + (np.arange(shape[1]) + 0.5) * cell
    y = y_max - (np.arange(shape[0]) + 0.5) * cell
    triangles = mesh.vertices[mesh.faces]
    if cull_faces:
        triangles = triangles[face_normals(triangles)[:, 2] > 0]
    # Far enough above everything that float32 rays still start clearly outside.
    top = float(mesh.vertices[:, 2].max(initial=0)) + 1.0
    grid = np.stack(np.meshgrid(x, y), axis=-1).reshape(-1, 2)
    origins = np.c_[grid, np.full(len(grid), top)].astype(np.float32)
    down = np.broadcast_to(np.float32([0, 0, -1]), origins.shape)
    height = (top - first_hits(triangles, origins, down)).astype(np.float32)
    return HeightField(height.reshape(shape), x_min, y_max, cell)


def render_sequence(
    mesh: Mesh, views: Iterable[tuple[np.ndarray, CameraModel]], cull_faces: bool = True
) -> Iterator[np.ndarray]:
    """Depth (H, W) for every (transform, calibration), one at a time: a bag may be long."""
    for transform, calibration in views:
        yield mesh.render_depth(transform, calibration, cull_faces, add_alpha=False)
