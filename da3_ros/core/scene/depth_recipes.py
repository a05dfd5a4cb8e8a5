"""What people do with a rendered depth image. Examples: docs/render_depth.md.

depth is float32 (H, W), metres along z, NaN where nothing is seen; or (H, W, 2) with alpha, as
`render_depth` returns it by default.
"""

from __future__ import annotations

import os
from dataclasses import dataclass
from enum import IntEnum
from pathlib import Path

import numpy as np
from PIL import Image

from da3_ros.core import poses
from da3_ros.core.camera_model import CameraError, CameraModel
from da3_ros.core.files.atomic_file import atomic_path
from da3_ros.core.scene.mesh import Mesh
from da3_ros.core.scene.rasteriser import draw

LARGEST_PICTURE = 1_000_000_000
"""Pixels of a height field or a map: memory for some gigabytes is asked for at once."""


def depth_of(image: np.ndarray) -> np.ndarray:
    """(H, W) depth of what `render_depth` returns: that itself, or its first channel of two."""
    image = np.asarray(image)
    if image.ndim == 3 and image.shape[2] == 2:
        return image[..., 0]
    if image.ndim != 2:
        raise ValueError(f"depth has shape {image.shape}, must be (H, W), or (H, W, 2) with alpha")
    return image


def save_grey_png(path: str | os.PathLike, depth: np.ndarray) -> tuple[float, float]:
    """8-bit grey PNG: 1 the nearest valid pixel, 255 the farthest, 0 nothing seen.

    Returns (nearest, farthest) in metres: depth = nearest + (grey - 1) / 254 (farthest - nearest).
    Raises ValueError when no pixel is valid.
    """
    depth = depth_of(depth)
    valid = np.isfinite(depth)
    if not valid.any():
        raise ValueError("no pixel of the depth image is valid: nothing to scale")
    near, far = float(depth[valid].min()), float(depth[valid].max())
    grey = np.zeros(depth.shape, np.uint8)
    grey[valid] = np.round(1 + 254 * (depth[valid] - near) / max(far - near, 1e-12))
    _save(path, grey, "PNG")
    return near, far


def save_float_tiff(path: str | os.PathLike, depth: np.ndarray) -> None:
    """Lossless float32 TIFF, metres, NaN where nothing is seen."""
    _save(path, np.ascontiguousarray(depth_of(depth), dtype=np.float32), "TIFF")


def _save(path, pixels, kind: str) -> None:
    with atomic_path(path) as temporary:
        Image.fromarray(pixels).save(temporary, kind)


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

    depth: (H, W) rendered at this transform and calibration, or (H, W, 2) with alpha. A point is
    occluded when it lies farther than `tolerance` metres behind all of the surface that the four
    pixels around it show: a pixel sees the surface at its centre only, and a slanted surface or
    an outline goes on between the centres. Raises ValueError for depth of another size.
    """
    depth, size = depth_of(depth), (calibration.height, calibration.width)
    if depth.shape != size:
        raise ValueError(f"depth is {depth.shape}, its calibration {size}: (height, width)")
    T_cam_world = poses.inverse(poses.rigid(transform))
    points = np.asarray(points, dtype=np.float64).reshape(-1, 3)
    in_camera = points @ T_cam_world[:3, :3].T + T_cam_world[:3, 3]
    u, v = calibration.project(in_camera).T
    width, height = calibration.width, calibration.height
    # NaN, which the lens does not see, compares false.
    inside = (u >= -0.5) & (v >= -0.5) & (u < width - 0.5) & (v < height - 0.5)
    state = np.full(len(points), Visibility.OUTSIDE, np.uint8)
    farthest = _farthest_around(depth, u[inside], v[inside], calibration)
    distance = np.linalg.norm(in_camera[inside], axis=1)
    along = in_camera[inside, 2] / distance
    # Along the ray, for at 90 degrees from the axis z says nothing.
    hidden = np.abs(along) * (distance - farthest) > tolerance
    state[inside] = np.where(hidden, Visibility.OCCLUDED, Visibility.VISIBLE)
    return state


def _farthest_around(depth, u, v, calibration: CameraModel) -> np.ndarray:
    """(n,) m along the rays: the farthest surface in the pixels around (u, v); inf for nothing."""
    farthest = np.zeros(len(u))
    for right in (0, 1):
        for below in (0, 1):
            column = np.clip(np.floor(u).astype(int) + right, 0, calibration.width - 1)
            row = np.clip(np.floor(v).astype(int) + below, 0, calibration.height - 1)
            ray = calibration.unproject(np.stack([column, row], axis=-1))
            z = depth[row, column] / ray[:, 2]
            distance = z * np.linalg.norm(ray, axis=1)
            farthest = np.maximum(farthest, np.where(np.isfinite(distance), distance, np.inf))
    return farthest


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

    disparity = fx baseline / depth. Raises CameraError when the calibration has a lens, ValueError
    for a baseline that is not a number.
    """
    if calibration.is_distorted:
        raise CameraError("a stereo pair needs a rectified calibration; use its pinhole() model")
    if not np.isfinite(baseline):
        raise ValueError(f"baseline is {baseline}, must be metres")
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
    if not (x_max > x_min and y_max > y_min and cell > 0 and np.isfinite([*area, cell]).all()):
        raise ValueError(f"area {area} and cell {cell} must have positive sizes")
    _check_pixels((y_max - y_min) / cell, (x_max - x_min) / cell)
    shape = (int(np.ceil((y_max - y_min) / cell)), int(np.ceil((x_max - x_min) / cell)))
    vertices = mesh.vertices
    # Drawn as a picture whose inverse depth is the height above the lowest point.
    low = float(vertices[:, 2].min(initial=np.inf)) - 1.0 if len(vertices) else 0.0
    up = vertices[:, 2] - low
    column = (vertices[:, 0] - x_min) / cell - 0.5
    row = (y_max - vertices[:, 1]) / cell - 0.5
    q = np.stack([column / up, row / up, 1 / up], axis=-1).astype(np.float32)
    height = low + 1 / draw(q, mesh.faces, shape, cull_faces).astype(np.float64)
    return HeightField(height.astype(np.float32), x_min, y_max, cell)


def _check_pixels(rows: float, columns: float) -> None:
    if rows * columns > LARGEST_PICTURE:
        raise ValueError(
            f"{rows:.3g} x {columns:.3g} pixels are more than {LARGEST_PICTURE:,}: use larger cells"
        )


def nadir_camera(mesh: Mesh, cell: float, height: float) -> tuple[np.ndarray, CameraModel]:
    """Transform and calibration of a pinhole camera that looks straight down on the whole mesh.

    cell: m that a pixel covers at the lowest point. height: m of the camera above the highest
    point; the higher, the nearer to a map. Rows run south, columns east (world z up, y north).
    Raises ValueError for an empty mesh, sizes that are not positive, or too many pixels.
    """
    if len(mesh.faces) == 0:
        raise ValueError("the mesh is empty: nothing to look down on")
    if not (0 < cell < np.inf and 0 < height < np.inf):
        raise ValueError(f"cell {cell} and height {height} must be positive")
    low, high = mesh.bounds
    f = (high[2] + height - low[2]) / cell
    # What reaches up stands nearer, and is seen larger.
    columns, rows = (high - low)[:2] * f / height
    _check_pixels(rows, columns)
    width, depth = (int(np.ceil((high - low)[i] * f / height)) + 1 for i in (0, 1))
    K = np.array([[f, 0, (width - 1) / 2], [0, f, (depth - 1) / 2], [0, 0, 1]])
    middle = (low + high) / 2
    down = np.diag([1.0, -1.0, -1.0])
    centre = np.array([middle[0], middle[1], high[2] + height])
    return poses.compose(down, centre), CameraModel(width, depth, K)
