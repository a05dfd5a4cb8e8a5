"""Depth of one camera seen from another beside it, and pictures without their lens."""

from __future__ import annotations

import cv2
import numpy as np

from da3_ros.core.camera_model import CameraModel


def register_depth(
    depth: np.ndarray, camera: CameraModel, T_to_from: np.ndarray, to: CameraModel
) -> np.ndarray:
    """(H, W) float32 m: every known pixel of `depth` (h, w) drawn where camera `to` sees it.

    T_to_from: (4, 4) from the frame of `camera` to that of `to`. The nearest surface wins; NaN
    where no pixel falls.
    """
    known = np.isfinite(depth)
    rays = camera.rays()[known]
    points = (rays * depth[known, None]) @ T_to_from[:3, :3].T + T_to_from[:3, 3]
    points = points[points[:, 2] > 0]
    column, row = np.rint(to.project(points)).T
    inside = (column >= 0) & (column < to.width) & (row >= 0) & (row < to.height)
    index = (row[inside] * to.width + column[inside]).astype(int)
    nearest = np.full(to.height * to.width, np.inf, np.float32)
    np.minimum.at(nearest, index, points[inside, 2].astype(np.float32))
    nearest[np.isinf(nearest)] = np.nan
    return nearest.reshape(to.height, to.width)


def rectify_depth(depth: np.ndarray, camera: CameraModel) -> np.ndarray:
    """(H, W) m of an image of `camera`, as its pinhole sees it; NaN where it saw nothing.

    The nearest pixel: between two surfaces there is none.
    """
    if not camera.is_distorted:
        return depth
    raw = camera.project(camera.pinhole().rays().reshape(-1, 3)).astype(np.float32)
    columns, rows = raw.reshape(*depth.shape, 2).transpose(2, 0, 1)
    return cv2.remap(
        depth,
        columns,
        rows,
        cv2.INTER_NEAREST,
        borderMode=cv2.BORDER_CONSTANT,
        borderValue=float("nan"),
    )


def resample(
    image: np.ndarray, camera: CameraModel, to: CameraModel
) -> tuple[np.ndarray, np.ndarray]:
    """The picture of `camera` as a camera `to` at the same place and turned alike sees it.

    First shrunk, so that no pixel is skipped. Returns the picture, and (H, W) bool, which of its
    pixels `camera` saw.
    """
    width, height = (
        min(have, round(have * want / see))
        for have, want, see in (
            (camera.width, to.K[0, 0], camera.K[0, 0]),
            (camera.height, to.K[1, 1], camera.K[1, 1]),
        )
    )
    small = camera.scaled(width=width, height=height)
    image = cv2.resize(image, (width, height), interpolation=cv2.INTER_AREA)
    at = small.project(to.rays().reshape(-1, 3)).astype(np.float32)
    columns, rows = at.reshape(to.height, to.width, 2).transpose(2, 0, 1)
    seen = (columns >= 0) & (columns <= width - 1) & (rows >= 0) & (rows <= height - 1)
    return cv2.remap(image, columns, rows, cv2.INTER_LINEAR), seen
