"""How far points are that were followed through posed pictures, and how well that is known.

A point of the reference view lies on its ray at one unknown inverse depth w. Another view
sees it at the pixel of ``R @ ray + w * t``: from w = 0, the point at infinity, it moves along
its epipolar line. The inverse depth that fits all views best is found by robust least squares
(Geman and McClure); its standard deviation follows from the noise of the pixels and from how
far they move. What is left is split: along the line only moving things and bad tracks leave
something; across it, poses, calibration or time stamps that do not fit the pictures do.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from da3_ros.core import poses
from da3_ros.core.scale.tracks import Tracker
from da3_ros.core.sliding_window import Window

ITERATIONS = 6
ROBUST_PX = 1.5
"""Reprojection error at which a view counts for a quarter."""

MOST_ERROR = (1.0, 2.5)
"""px; points that fit their views worse than four deviations of the others are dropped, within
these bounds."""

MOST_SIGMA = 0.2
"""Points whose depth is known less exactly than this share are dropped."""

LEAST_NOISE = 0.15
"""px; a corner is never found better, whatever the residuals say."""

SAME_PX = 1.5
"""px between two points that are one: corners are farther apart (tracks.MIN_DISTANCE)."""


@dataclass(frozen=True, eq=False)
class Sightings:
    """Points of a reference view, and where other views see them.

    pixels: (P, 2) px in the reference view. seen_at: (V, P, 2) px in the others, NaN where
    not. K: (3, 3) of the reference. others_K: (V, 3, 3). T_cam_ref: (V, 4, 4) metres.
    """

    pixels: np.ndarray
    seen_at: np.ndarray
    K: np.ndarray
    others_K: np.ndarray
    T_cam_ref: np.ndarray

    @staticmethod
    def of(window: Window, view: int, tracker: Tracker) -> Sightings:
        """Points of one view of a posed window that another frame of its camera sees."""
        frame = window.frames[view]
        others = [f for f in window.frames if f.camera_id == frame.camera_id and f is not frame]
        tracks = tracker[frame]
        seen_at = [tracker[f].find(tracks.ids) for f in others]
        seen_at = np.reshape(seen_at, (len(others), len(tracks.ids), 2))
        kept = np.isfinite(seen_at[..., 0]).any(axis=0)
        T_world_cam = dict(zip(window.frames, window.T_world_cam))
        T_cam_ref = [poses.inverse(T_world_cam[f]) @ T_world_cam[frame] for f in others]
        return Sightings(
            tracks.pixels[kept].astype(np.float64),
            seen_at[:, kept],
            frame.camera.K,
            np.reshape([f.camera.K for f in others], (-1, 3, 3)),
            np.reshape(T_cam_ref, (-1, 4, 4)),
        )

    @property
    def baseline(self) -> float:
        """Farthest that another view is away, m."""
        T_ref_cam = poses.inverse(self.T_cam_ref)
        return float(np.linalg.norm(T_ref_cam[:, :3, 3], axis=1).max(initial=0.0))


@dataclass(frozen=True, eq=False)
class ScenePoints:
    """Points of one view whose depth is known in metres.

    pixels: (P, 2) float64 px of the view's camera. depth: (P,) m along z. sigma: (P,)
    standard deviation of its logarithm.
    """

    pixels: np.ndarray
    depth: np.ndarray
    sigma: np.ndarray

    def __len__(self) -> int:
        return len(self.depth)

    def __getitem__(self, index) -> ScenePoints:
        return ScenePoints(self.pixels[index], self.depth[index], self.sigma[index])


def disagreement(a: ScenePoints, b: ScenePoints, K: np.ndarray, T_b_a: np.ndarray) -> np.ndarray:
    """(Q,) |ln| of the depths that two views of one camera give the points that both have.

    K: (3, 3). T_b_a: (4, 4) m. A point of `a` is a point of `b` where it is seen within `SAME_PX`.
    """
    rays = np.c_[a.pixels, np.ones(len(a))] @ np.linalg.inv(K).T
    x = (rays * a.depth[:, None]) @ T_b_a[:3, :3].T + T_b_a[:3, 3]
    x = x[x[:, 2] > 0]
    if not len(x) or not len(b):
        return np.zeros(0)
    image = x @ K.T
    away = np.linalg.norm((image[:, :2] / image[:, 2:])[:, None] - b.pixels, axis=-1)
    same = away.min(axis=1) < SAME_PX
    return np.abs(np.log(x[same, 2] / b.depth[away.argmin(axis=1)[same]]))


@dataclass(frozen=True)
class Residuals:
    """How well the given poses explain the tracks, medians over all sightings, px.

    across, along: the epipolar lines; NaN without sightings. sightings: how many.
    """

    across: float
    along: float
    sightings: int


def triangulate(sightings: Sightings, w: np.ndarray) -> tuple[ScenePoints, Residuals]:
    """Points that pass the gates, and what is left between poses and pictures.

    w: (P,) inverse depths, 1/m, as `refine` finds them.
    """
    residual, slope = residuals_of(sightings, w)
    along, across = split(residual, slope)
    error = np.linalg.norm(residual, axis=-1)
    seen = np.isfinite(error)
    # Across has lost nothing to w: its deviation is the noise of a pixel's coordinate.
    noise = max(LEAST_NOISE, 1.4826 * np.nan_to_num(_median(across[seen])))
    weight = np.where(seen, _weight(error), 0.0)
    information = np.sum(weight * np.sum(slope**2, axis=-1), axis=0) / noise**2
    with np.errstate(divide="ignore", invalid="ignore"):
        sigma = 1 / np.sqrt(information) / w
        mean_error = np.nansum(error, axis=0) / seen.sum(axis=0)
        good = (w > 0) & (sigma < MOST_SIGMA) & (mean_error < np.clip(4 * noise, *MOST_ERROR))
        points = ScenePoints(sightings.pixels[good], 1 / w[good], sigma[good])
    return points, Residuals(_median(across[seen]), _median(along[seen]), int(seen.sum()))


def refine(sightings: Sightings) -> np.ndarray:
    """(P,) inverse depths, 1/m, that fit all views: Gauss-Newton on the robust cost, from the best
    of what single views say."""
    turned, moved = _motion(sightings)
    seen_at = sightings.seen_at
    w = _start(turned, moved, seen_at)
    for _ in range(ITERATIONS):
        residual, slope = _residuals(turned, moved, seen_at, w)
        w = w + newton_step(residual, slope)
    return w


def newton_step(residual: np.ndarray, slope: np.ndarray) -> np.ndarray:
    """(P,) by which inverse depths go down the robust cost; both (V, P, 2), `residuals_of`."""
    weight = _weight(np.linalg.norm(residual, axis=-1))
    down = np.nansum(weight * np.sum(slope * residual, axis=-1), axis=0)
    curve = np.nansum(weight * np.sum(slope**2, axis=-1), axis=0)
    return np.where(curve > 0, down / np.maximum(curve, 1e-12), 0.0)


def residuals_of(sightings: Sightings, w: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """(V, P, 2) px seen minus expected, and how the expected pixel moves with w (P,)."""
    return _residuals(*_motion(sightings), sightings.seen_at, w)


def _motion(s: Sightings) -> tuple[np.ndarray, np.ndarray]:
    """(V, P, 3) and (V, 1, 3): homogeneous pixel of a point is turned + w * moved."""
    rays = np.c_[s.pixels, np.ones(len(s.pixels))] @ np.linalg.inv(s.K).T
    turned = np.einsum("vij,pj->vpi", s.others_K @ s.T_cam_ref[:, :3, :3], rays)
    return turned, np.einsum("vij,vj->vi", s.others_K, s.T_cam_ref[:, :3, 3])[:, None]


def _start(turned: np.ndarray, moved: np.ndarray, seen_at: np.ndarray) -> np.ndarray:
    """(P,) the best of every view's own inverse depth, all views' together, and infinity."""
    # (turned + w moved)[:2] = seen_at * (turned + w moved)[2] is linear in w.
    a = moved[..., :2] - seen_at * moved[..., 2:]
    b = seen_at * turned[..., 2:] - turned[..., :2]
    ab, aa = np.sum(a * b, axis=-1), np.sum(a * a, axis=-1)
    with np.errstate(divide="ignore", invalid="ignore"):
        candidates = np.concatenate(
            [ab / aa, (np.nansum(ab, axis=0) / np.nansum(aa, axis=0))[None], 0 * aa[:1]]
        )
    candidates = np.where(np.isfinite(candidates), candidates, 0.0)
    costs = [_cost(turned, moved, seen_at, w) for w in candidates]
    return np.take_along_axis(candidates, np.argmin(costs, axis=0)[None], axis=0)[0]


def _cost(turned, moved, seen_at, w) -> np.ndarray:
    residual, _ = _residuals(turned, moved, seen_at, w)
    square = np.sum(residual**2, axis=-1)
    return np.nansum(square / (ROBUST_PX**2 + square), axis=0)


def _weight(error: np.ndarray) -> np.ndarray:
    return (ROBUST_PX**2 / (ROBUST_PX**2 + error**2)) ** 2


def _residuals(turned, moved, seen_at, w) -> tuple[np.ndarray, np.ndarray]:
    """(V, P, 2) px seen minus expected, and how the expected pixel moves with w."""
    x = turned + w[:, None] * moved
    with np.errstate(divide="ignore", invalid="ignore"):
        z = np.where(x[..., 2:] > 1e-6, x[..., 2:], np.nan)
        expected = x[..., :2] / z
        slope = (moved[..., :2] - expected * moved[..., 2:]) / z
    residual = seen_at - expected
    # A point behind another camera cannot be seen there: as wrong as can be.
    behind = np.isfinite(seen_at) & ~np.isfinite(expected)
    return np.where(behind, 1e3, residual), np.where(np.isfinite(slope), slope, 0.0)


def split(residual: np.ndarray, slope: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Parts of residuals (V, P, 2) along and across the epipolar lines, px, signed.

    Where nothing moves with depth there is no line: all of it counts as across.
    """
    length = np.linalg.norm(slope, axis=-1, keepdims=True)
    line = np.where(length > 1e-9, slope / np.maximum(length, 1e-9), 0.0)
    along = np.sum(residual * line, axis=-1)
    normal = np.stack([-line[..., 1], line[..., 0]], axis=-1)
    across = np.sum(residual * normal, axis=-1)
    return along, np.where(length[..., 0] > 1e-9, across, np.linalg.norm(residual, axis=-1))


def _median(values: np.ndarray) -> float:
    return float(np.median(np.abs(values))) if len(values) else np.nan
