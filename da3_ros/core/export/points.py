"""The point cloud of a prediction: which pixels are worth a point, and where they are."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from da3_ros.core import poses
from da3_ros.core.far_world import float32_origin
from da3_ros.core.prediction import Prediction
from da3_ros.core.scale import align
from da3_ros.core.user_input.options import Flag, Number, Options, Whole, option
from da3_ros.net.sky import SKY_SCORE

BLACK_BELOW = 16
WHITE_FROM = 240
"""A pixel is background when all its channels are darker, or at least as bright."""

PERCENT = Number(0, 100, "%")


@dataclass(frozen=True, eq=False)
class CloudOptions(Options):
    """Which pixels become points."""

    conf_thresh_percentile: float = option(
        40.0, PERCENT, "share of the least confident pixels that is left out"
    )
    num_max_points: int = option(1_000_000, Whole(0), "at most so many points, drawn evenly")
    conf_thresh: float = option(1.05, Number(0), "confidence that a pixel needs")
    ensure_thresh_percentile: float = option(
        90.0, PERCENT, "whatever the two say, pixels above this percentile stay"
    )
    filter_black_bg: bool = option(False, Flag(), "leave out nearly black pixels")
    filter_white_bg: bool = option(False, Flag(), "leave out nearly white pixels")
    filter_sky: bool = option(True, Flag(), "leave out sky, where the network tells it")


def chosen_pixels(prediction: Prediction, options: CloudOptions) -> np.ndarray:
    """(N, H, W) bool: the pixels that become points."""
    return thin_out(confident_pixels(prediction, options), options.num_max_points)


def confident_pixels(prediction: Prediction, options: CloudOptions) -> np.ndarray:
    """(N, H, W) bool: pixels with a depth that are not background and confident enough.

    The confidence threshold is `conf_thresh`, raised to the percentile
    `conf_thresh_percentile` and lowered to `ensure_thresh_percentile` of the pixels that
    the other filters leave. A prediction without confidence keeps them all; where it is NaN
    there is no point.
    """
    depth, images = prediction.depth, prediction.processed_images
    mask = np.isfinite(depth) & (depth > 0)
    if options.filter_black_bg:
        mask &= (images >= BLACK_BELOW).any(axis=-1)
    if options.filter_white_bg:
        mask &= (images < WHITE_FROM).any(axis=-1)
    if options.filter_sky and prediction.sky is not None:
        mask &= prediction.sky < SKY_SCORE
    if prediction.conf is not None:
        mask &= ~np.isnan(prediction.conf)
    if prediction.conf is None or not mask.any():
        return mask
    conf = prediction.conf if mask.all() else prediction.conf[mask]
    percentiles = options.conf_thresh_percentile, options.ensure_thresh_percentile
    low, high = np.percentile(conf, percentiles)
    return mask & (prediction.conf >= min(max(options.conf_thresh, low), high))


def thin_out(mask: np.ndarray, limit: int) -> np.ndarray:
    """The mask with at most `limit` pixels left, drawn evenly; the same ones every time."""
    chosen = np.flatnonzero(mask)
    if len(chosen) <= limit:
        return mask
    # Drawing the smaller of the two halves is the quicker way to the same thing.
    keeps_few = limit < len(chosen) // 2
    count = limit if keeps_few else len(chosen) - limit
    rng = np.random.default_rng(0)
    drawn = chosen[rng.choice(len(chosen), count, replace=False, shuffle=False)]
    thinned = np.zeros_like(mask) if keeps_few else mask.copy()
    thinned.reshape(-1)[drawn] = keeps_few
    return thinned


def unproject(prediction: Prediction, mask: np.ndarray, T_out_world=None) -> np.ndarray:
    """(M, 3) float32 points of the masked pixels, view after view, row after row.

    They are in the prediction's world frame, or carried on by `T_out_world` (4, 4); the
    matrices are multiplied in float64 first, so a far-away world costs no digits.
    """
    T_out_world = np.eye(4) if T_out_world is None else T_out_world
    T_out_cam = T_out_world @ align.to_camera_poses(prediction.extrinsics)
    points = [
        _unproject_view(depth, K, T, chosen)
        for depth, K, T, chosen in zip(prediction.depth, prediction.intrinsics, T_out_cam, mask)
    ]
    return np.concatenate(points)


def world_origin(prediction: Prediction) -> np.ndarray:
    """(3,) of the world, around which float32 points near the cameras keep their digits.

    Zero where the cameras are near the world's own, or unknown.
    """
    if prediction.extrinsics is None:
        return np.zeros(3)
    return float32_origin(align.to_camera_poses(prediction.extrinsics)[:, :3, 3])


def world_points(prediction: Prediction, mask: np.ndarray) -> np.ndarray:
    """(M, 3) points of the masked pixels in the world frame: float32, or float64 far out."""
    origin = world_origin(prediction)
    if not origin.any():
        return unproject(prediction, mask)
    return unproject(prediction, mask, poses.compose(np.eye(3), -origin)) + origin


def _unproject_view(depth, K, T_out_cam, chosen) -> np.ndarray:
    height, width = depth.shape
    # One matrix takes (u, v, 1) to the ray in the output frame.
    across, down, ahead = (T_out_cam[:3, :3] @ np.linalg.inv(np.float64(K))).T
    row = np.arange(width)[:, None] * across
    column = np.arange(height)[:, None] * down + ahead
    rays = row[None].astype(np.float32) + column[:, None].astype(np.float32)
    points = rays[chosen]
    points *= depth[chosen][:, None]
    points += T_out_cam[:3, 3].astype(np.float32)
    return points
