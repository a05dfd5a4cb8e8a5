"""Sim(3) between two sets of camera poses: what one trajectory is in units of the other.

Umeyama 1991 on the camera centres, with the conventions of evo (as upstream's API uses
it). Where the centres cannot fix a rotation (one or two views, straight lines, pure
rotation) the cameras' own orientations do; the scale formula is the same.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from da3_ros.core import poses
from da3_ros.net.similarity import size_ratio, umeyama

RANSAC_MIN_VIEWS = 10
RANSAC_ITERATIONS = 10
RANSAC_SEED = 42


@dataclass(frozen=True, eq=False)
class Similarity:
    """``x_target = scale * R @ x_source + t``. `scale` is None when it cannot be known."""

    R: np.ndarray
    t: np.ndarray
    scale: float | None

    def apply(self, points: np.ndarray) -> np.ndarray:
        """Points (N, 3) of the source in the target frame (a scale of None counts as 1)."""
        return (self.scale or 1.0) * points @ self.R.T + self.t

    def inverse(self) -> Similarity:
        """From the target frame back to the source frame."""
        shrink = 1 / (self.scale or 1.0)
        return Similarity(self.R.T, -shrink * self.R.T @ self.t, self.scale and shrink)


def align_cameras(T_source_cam: np.ndarray, T_target_cam: np.ndarray) -> Similarity:
    """Similarity that carries the source cameras onto the target cameras.

    Both (N, 4, 4) camera-to-world, N >= 1, paired by index. Ten views and more use the
    RANSAC of upstream's API (seed 42, ten draws of half the views), so that both agree.
    `scale` is None when the source or the target cameras share one centre: nothing then tells it.
    """
    source, target = np.float64(T_source_cam), np.float64(T_target_cam)
    if len(source) < RANSAC_MIN_VIEWS or _rank(source, target) < 2:
        return _fit(source, target)
    return _ransac(source, target)


def _fit(source: np.ndarray, target: np.ndarray) -> Similarity:
    x, y = source[:, :3, 3], target[:, :3, 3]
    if _rank(source, target) >= 2:
        return Similarity(*umeyama(x, y))
    R = _mean_rotation(source, target)
    scale = _scale(x, y)
    return Similarity(R, y.mean(axis=0) - (scale or 1.0) * R @ x.mean(axis=0), scale)


def _scale(x: np.ndarray, y: np.ndarray) -> float | None:
    return None if _is_one_point(x) or _is_one_point(y) else size_ratio(x, y)


def _is_one_point(points: np.ndarray) -> bool:
    spread = np.abs(points - points.mean(axis=0)).max()
    return bool(spread <= 1e-6 + 1e-9 * np.abs(points).max())


def _rank(source: np.ndarray, target: np.ndarray) -> int:
    """Directions in which the centres move together; rounding does not count."""
    x, y = source[:, :3, 3], target[:, :3, 3]
    D = np.linalg.svd((y - y.mean(axis=0)).T @ (x - x.mean(axis=0)) / len(x), compute_uv=False)
    return int(np.sum(D > max(1e-12 * D[0], np.finfo(float).eps)))


def _mean_rotation(source: np.ndarray, target: np.ndarray) -> np.ndarray:
    """Rotation that best turns the source cameras' orientations into the target's."""
    turns = target[:, :3, :3] @ np.swapaxes(source[:, :3, :3], 1, 2)
    return poses.nearest_rotation(np.sum(turns, axis=0))


def _ransac(source: np.ndarray, target: np.ndarray) -> Similarity:
    """Best of ten fits on random halves, refitted on its inliers."""
    rng = np.random.default_rng(RANSAC_SEED)
    count = len(source)
    threshold = _median_nearest_distance(_fit(source, target), source, target)
    best, best_inliers, best_score = _fit(source, target), None, (-1, -np.inf)
    for _ in range(RANSAC_ITERATIONS):
        sample = rng.choice(count, size=(count + 1) // 2, replace=False)
        if _rank(source[sample], target[sample]) < 2:
            continue
        fit = _fit(source[sample], target[sample])
        errors = np.linalg.norm(fit.apply(source[:, :3, 3]) - target[:, :3, 3], axis=1)
        inliers = errors <= threshold
        score = (inliers.sum(), -errors[inliers].mean() if inliers.any() else -np.inf)
        if score > best_score:
            best, best_inliers, best_score = fit, inliers, score
    if best_inliers is None or best_inliers.sum() < 3:
        return best
    return _fit(source[best_inliers], target[best_inliers])


def _median_nearest_distance(fit: Similarity, source: np.ndarray, target: np.ndarray) -> float:
    moved, fixed = fit.apply(source[:, :3, 3]), target[:, :3, 3]
    return float(np.median(np.linalg.norm(moved[:, None] - fixed[None], axis=2).min(axis=1)))


def to_camera_poses(extrinsics: np.ndarray) -> np.ndarray:
    """Camera-to-world (N, 4, 4) float64 of world-to-camera extrinsics (N, 3, 4) or (N, 4, 4)."""
    T_cam_world = np.tile(np.eye(4), (len(extrinsics), 1, 1))
    T_cam_world[:, :3] = np.asarray(extrinsics, dtype=np.float64)[:, :3]
    return poses.inverse(T_cam_world)
