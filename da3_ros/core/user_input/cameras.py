"""Cameras as users give them to the public API: checked, named in every complaint."""

from __future__ import annotations

import numpy as np

from da3_ros.core import poses
from da3_ros.core.camera_model import CameraError, CameraModel, check_plausible


def check_extrinsics(extrinsics, name: str = "extrinsics", count: int | None = None) -> np.ndarray:
    """(N, 4, 4) float64 T_cam_world of world-to-camera matrices (N, 3, 4) or (N, 4, 4).

    `ValueError` names the argument, the view and what is wrong: shape, NaN, no rotation,
    or not `count` of them.
    """
    values = _floats(extrinsics, name)
    if values.ndim != 3 or values.shape[1:] not in ((3, 4), (4, 4)):
        raise ValueError(f"{name} has shape {values.shape}, must be (N, 4, 4) or (N, 3, 4)")
    _check_count(values, name, count)
    return np.stack([poses.rigid(T, f"{name}[{i}]") for i, T in enumerate(values)])


def check_intrinsics(
    intrinsics, sizes: list[tuple[int, int]], name: str = "intrinsics"
) -> np.ndarray:
    """(N, 3, 3) float64 K, one for each image size (height, width)."""
    values = _floats(intrinsics, name)
    if values.ndim != 3 or values.shape[1:] != (3, 3):
        raise ValueError(f"{name} has shape {values.shape}, must be (N, 3, 3)")
    _check_count(values, name, len(sizes))
    for i, (K, (height, width)) in enumerate(zip(values, sizes)):
        try:
            check_plausible(CameraModel(width, height, K))
        except CameraError as error:
            raise ValueError(f"{name}[{i}]: {error}") from error
    return values


def _floats(values, name: str) -> np.ndarray:
    try:
        return np.asarray(values, dtype=np.float64)
    except (TypeError, ValueError) as error:
        raise ValueError(f"{name} must be an array of numbers: {error}") from error


def _check_count(values: np.ndarray, name: str, count: int | None) -> None:
    if count is not None and len(values) != count:
        raise ValueError(f"{name} has {len(values)} matrices for {count} images")
