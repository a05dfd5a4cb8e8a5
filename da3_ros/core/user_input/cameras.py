"""Cameras as users give them to the public API: checked, named in every complaint."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from da3_ros.core import poses
from da3_ros.core.camera_model import CameraError, CameraModel, check_plausible
from da3_ros.core.user_input.options import Kind


def check_extrinsics(extrinsics, name: str = "extrinsics", count: int | None = None) -> np.ndarray:
    """(N, 4, 4) float64 T_cam_world of world-to-camera matrices (N, 3, 4) or (N, 4, 4).

    A batch of one, (1, N, 3 | 4, 4), counts. `ValueError` names the argument, the view and
    what is wrong: shape, NaN, no rotation, or not `count` of them.
    """
    values = _without_batch(_floats(extrinsics, name))
    if values.ndim != 3 or values.shape[1:] not in ((3, 4), (4, 4)) or not len(values):
        raise ValueError(f"{name} has shape {values.shape}, must be (N, 4, 4) or (N, 3, 4)")
    _check_count(values, name, count)
    return np.stack([poses.rigid(T, f"{name}[{i}]") for i, T in enumerate(values)])


def check_intrinsics(
    intrinsics, sizes: list[tuple[int, int]] | None = None, name: str = "intrinsics"
) -> np.ndarray:
    """(N, 3, 3) float64 K, one for each image size (height, width) if sizes are given.

    A batch of one, (1, N, 3, 3), counts. `ValueError` names the argument and the view.
    """
    values = _without_batch(_floats(intrinsics, name))
    if values.ndim != 3 or values.shape[1:] != (3, 3) or not len(values):
        raise ValueError(f"{name} has shape {values.shape}, must be (N, 3, 3)")
    _check_count(values, name, None if sizes is None else len(sizes))
    sizes = [(1, 1)] * len(values) if sizes is None else sizes
    for i, (K, (height, width)) in enumerate(zip(values, sizes, strict=True)):
        try:
            check_plausible(CameraModel(width, height, K))
        except CameraError as error:
            raise ValueError(f"{name}[{i}]: {error}") from error
    return values


@dataclass(frozen=True)
class Extrinsics(Kind):
    """Option: world-to-camera matrices; see `check_extrinsics`."""

    def __str__(self) -> str:
        return "(F, 4, 4) or (F, 3, 4) world to camera"

    def check(self, name: str, value) -> np.ndarray:
        return check_extrinsics(value, name)


@dataclass(frozen=True)
class Intrinsics(Kind):
    """Option: matrices of intrinsics; see `check_intrinsics`."""

    def __str__(self) -> str:
        return "(F, 3, 3) px"

    def check(self, name: str, value) -> np.ndarray:
        return check_intrinsics(value, name=name)


def _without_batch(values: np.ndarray) -> np.ndarray:
    return values[0] if values.ndim == 4 and len(values) == 1 else values


def _floats(values, name: str) -> np.ndarray:
    try:
        return np.asarray(values, dtype=np.float64)
    except (TypeError, ValueError, RuntimeError) as error:
        raise ValueError(f"{name} must be an array of numbers: {error}") from error


def _check_count(values: np.ndarray, name: str, count: int | None) -> None:
    if count is not None and len(values) != count:
        raise ValueError(f"{name} has {len(values)} matrices for {count} images")
