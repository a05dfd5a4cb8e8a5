"""Cameras as users give them to the public API: checked, named in every complaint."""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from da3_ros.core import poses
from da3_ros.core.camera_model import CameraError, CameraModel, check_plausible, is_far_off_centre
from da3_ros.core.user_input.options import Kind, shown


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

    A batch of one, (1, N, 3, 3), counts. `ValueError` names the argument and the view. A warning
    names the first view whose principal point is far off the middle of its image.
    """
    values = _without_batch(_floats(intrinsics, name))
    if values.ndim != 3 or values.shape[1:] != (3, 3) or not len(values):
        raise ValueError(f"{name} has shape {values.shape}, must be (N, 3, 3)")
    _check_count(values, name, None if sizes is None else len(sizes))
    given = [(1, 1)] * len(values) if sizes is None else sizes
    cameras = []
    for i, (K, (height, width)) in enumerate(zip(values, given, strict=True)):
        try:
            cameras.append(check_plausible(CameraModel(width, height, K)))
        except CameraError as error:
            raise ValueError(f"{name}[{i}]: {error}") from error
    if sizes is not None:
        _warn_of_other_sizes(cameras, name)
    return values


def _warn_of_other_sizes(cameras: Sequence[CameraModel], name: str) -> None:
    """K of a larger or smaller picture: a prediction's own, given back, is at network size."""
    for i, camera in enumerate(cameras):
        if is_far_off_centre(camera):
            x, y = camera.K[:2, 2]
            warnings.warn(
                f"{name}[{i}] has its principal point at {x:g}, {y:g}, far off the middle of the "
                f"image of {camera.width}x{camera.height} pixels: unless it was cut out of a "
                "larger one, K is of another size; give K in pixels of the given images (a "
                "prediction's own is in pixels of its depth)",
                stacklevel=6,
            )
            return


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
        reason = _odd_one(values, name) or error
        raise ValueError(f"{name} must be an array of numbers: {reason}") from error


def _odd_one(values, name: str) -> str:
    """The view that does not go with the others, where a list has one."""
    if not isinstance(values, (list, tuple)) or not values:
        return ""
    first = None
    for i, value in enumerate(values):
        if value is None:
            return f"{name}[{i}] is None: leave its image out, or give no {name} at all"
        try:
            shape = np.asarray(value, dtype=np.float64).shape
        except (TypeError, ValueError, RuntimeError):
            return f"{name}[{i}] is {shown(value)}"
        first = first or shape
        if shape != first:
            return f"{name}[0] has shape {first}, but {name}[{i}] has shape {shape}"
    return ""


def _check_count(values: np.ndarray, name: str, count: int | None) -> None:
    if count is not None and len(values) != count:
        raise ValueError(f"{name} has {len(values)} matrices for {count} images")
