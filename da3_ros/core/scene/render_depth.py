"""Depth of a mesh from any viewpoint, with any calibration."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from da3_ros.core import poses
from da3_ros.core.camera_model import CameraError, CameraModel
from da3_ros.core.scene import lens_rasteriser, rasteriser

if TYPE_CHECKING:
    from da3_ros.core.scene.mesh import Mesh

MAX_SIDE = 32767
"""px, of a rendered image."""


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
    if calibration.is_distorted:
        depth = lens_rasteriser.rasterise(
            mesh.vertices, mesh.faces, T_cam_world, calibration, cull_faces
        )
    else:
        depth = rasteriser.rasterise(
            mesh.vertices, mesh.faces, T_cam_world, calibration.K, size, cull_faces
        )
    return with_alpha(depth) if add_alpha else depth


def with_alpha(depth: np.ndarray) -> np.ndarray:
    """(H, W, 2) float32: depth, and 1 where it is known, else 0."""
    return np.stack([depth, np.isfinite(depth).astype(np.float32)], axis=-1)
