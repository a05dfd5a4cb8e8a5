"""Depth of a mesh from any viewpoint, with any calibration."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np

from da3_ros.core import poses
from da3_ros.core.camera_model import CameraError, CameraModel
from da3_ros.core.scene import lens_rasteriser, rasteriser

if TYPE_CHECKING:
    from da3_ros.core.scene.mesh import Mesh

MAX_SIDE = 32767
"""px, of a rendered image."""

BAND_PIXELS = 1 << 24
"""Larger images are drawn band by band: what drawing needs, up to 50 bytes a pixel, is then for
one of them only."""


def render_depth(
    mesh: Mesh,
    transform: np.ndarray,
    calibration: CameraModel,
    cull_faces: bool = True,
    add_alpha: bool = True,
) -> np.ndarray:
    """See `Mesh.render_depth`."""
    if not isinstance(calibration, CameraModel):
        raise CameraError(
            f"calibration is a {type(calibration).__name__}, must be a CameraModel: "
            "CameraModel(width, height, K), with a lens CameraModel(width, height, K, model, D)"
        )
    T_cam_world = poses.inverse(poses.rigid(transform, "transform"))
    size = (calibration.height, calibration.width)
    if max(size) > MAX_SIDE:
        raise ValueError(f"calibration: {size[1]}x{size[0]} is too large; {MAX_SIDE} px at most")
    depth = _draw(mesh, T_cam_world, calibration, cull_faces)
    return with_alpha(depth) if add_alpha else depth


def _draw(mesh: Mesh, T_cam_world: np.ndarray, camera: CameraModel, cull: bool) -> np.ndarray:
    """(H, W) float32, in bands of whole rows."""
    rows = max(1, BAND_PIXELS // camera.width)
    if camera.height <= rows:
        return _draw_band(mesh, T_cam_world, camera, cull)
    depth = np.empty((camera.height, camera.width), np.float32)
    for top in range(0, camera.height, rows):
        K = camera.K.copy()
        K[1, 2] -= top
        height = min(rows, camera.height - top)
        band = replace(camera, height=height, K=K)
        depth[top : top + height] = _draw_band(mesh, T_cam_world, band, cull)
    return depth


def _draw_band(mesh: Mesh, T_cam_world: np.ndarray, camera: CameraModel, cull: bool) -> np.ndarray:
    vertices, faces = mesh.vertices, mesh.faces
    if camera.is_distorted:
        return lens_rasteriser.rasterise(vertices, faces, T_cam_world, camera, cull)
    size = (camera.height, camera.width)
    return rasteriser.rasterise(vertices, faces, T_cam_world, camera.K, size, cull)


def with_alpha(depth: np.ndarray) -> np.ndarray:
    """(H, W, 2) float32: depth, and 1 where it is known, else 0."""
    return np.stack([depth, np.isfinite(depth).astype(np.float32)], axis=-1)
