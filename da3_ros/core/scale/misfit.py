"""What would explain that points are seen beside their epipolar lines: time stamps, or the lens.

Two things that go wrong on robots move all points of all views in a way of their own: poses of
another time than the pictures, and a wrong focal length. How far across the lines each would
move every sighting is known (to first order), so that one number for each is found by robust
least squares. Much smaller errors are found so than the eye sees in any single residual, and
what they do to depth is known as well: by far more than a pixel, where a camera turns.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
from scipy.spatial.transform import Rotation

from da3_ros.core import poses
from da3_ros.core.frame import Frame
from da3_ros.core.scale.points import Sightings, refine, residuals_of, split

STEP_S = 0.01
STEP_FOCAL = 0.01
FEWEST = 60
"""Sightings below which nothing is said."""

SURE = 5.0
"""Standard deviations that are no chance."""


@dataclass(frozen=True)
class Misfit:
    """delay: s that the poses are late against the pictures. focal: share by which the given
    focal length is too long. Each with its standard deviation; NaN where nothing tells it.
    bias: median |ln| by which these two change the depth of the points, as far as they are
    sure; 0 when they are not."""

    delay: float = np.nan
    delay_sigma: float = np.nan
    focal: float = np.nan
    focal_sigma: float = np.nan
    bias: float = 0.0


def find_misfit(frames: tuple[Frame, ...], view: int, sightings: Sightings) -> Misfit:
    """frames: of one camera, in order of time; view: index of the sightings' reference."""
    w = refine(sightings)
    if np.isfinite(sightings.seen_at[..., 0]).sum() < FEWEST:
        return Misfit()
    residual, slope = residuals_of(sightings, w)
    _, across = split(residual, slope)
    seen = np.isfinite(across)
    changed = (_later(frames, view, sightings, STEP_S), _longer(sightings, 1 + STEP_FOCAL))
    effect = []
    for other in changed:
        moved, _ = residuals_of(other, w)
        effect.append(split(moved, slope)[1] - across)
    columns = np.stack([e[seen] for e in effect], axis=1)
    steps, sigma = _fit(columns, -across[seen])
    return Misfit(
        -steps[0] * STEP_S, sigma[0] * STEP_S, -steps[1] * STEP_FOCAL, sigma[1] * STEP_FOCAL,
        _bias(changed, w, steps, sigma),
    )  # fmt: skip


def _fit(columns: np.ndarray, values: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Robust least squares of (S, 2) columns: solution and standard deviations; 0 and infinity
    of a column that moves nothing."""
    told = np.sqrt(np.mean(columns**2, axis=0)) > 1e-3
    x, sigma = np.zeros(2), np.full(2, np.inf)
    if not told.any():
        return x, sigma
    A, rest = columns[:, told], values
    for _ in range(6):
        unit = 1.4826 * np.median(np.abs(rest)) + 1e-6
        weight = 1 / (1 + (rest / (2 * unit)) ** 2) ** 2
        normal = (A * weight[:, None]).T @ A + 1e-9 * np.eye(told.sum())
        x[told] = np.linalg.solve(normal, (A * weight[:, None]).T @ values)
        rest = values - A @ x[told]
    sigma[told] = unit * np.sqrt(np.diag(np.linalg.inv(normal)))
    return x, sigma


def _bias(changed, w: np.ndarray, steps: np.ndarray, sigma: np.ndarray) -> float:
    total = np.zeros(len(w))
    for other, step, deviation in zip(changed, steps, sigma):
        if abs(step) > SURE * deviation:
            with np.errstate(divide="ignore", invalid="ignore"):
                total += step * np.log(refine(other, w) / w)
    known = np.isfinite(total)
    return float(np.median(np.abs(total[known]))) if known.any() else 0.0


def _later(frames: tuple[Frame, ...], view: int, sightings: Sightings, by: float) -> Sightings:
    """The same sightings, the cameras where they are `by` s later."""
    T = [_at(frames, i, by) for i in range(len(frames))]
    T_cam_ref = [poses.inverse(T[i]) @ T[view] for i in range(len(frames)) if i != view]
    return replace(sightings, T_cam_ref=np.reshape(T_cam_ref, (-1, 4, 4)))


def _at(frames: tuple[Frame, ...], i: int, by: float) -> np.ndarray:
    a, b = (i, i + 1) if i + 1 < len(frames) else (i - 1, i)
    seconds = (frames[b].stamp_ns - frames[a].stamp_ns) * 1e-9
    fraction = (i - a) + by / seconds
    T_a, T_b = frames[a].T_world_cam, frames[b].T_world_cam
    turn = Rotation.from_matrix(T_a[:3, :3].T @ T_b[:3, :3]).as_rotvec()
    R = T_a[:3, :3] @ Rotation.from_rotvec(fraction * turn).as_matrix()
    return poses.compose(R, T_a[:3, 3] + fraction * (T_b[:3, 3] - T_a[:3, 3]))


def _longer(sightings: Sightings, times: float) -> Sightings:
    scale = np.diag([times, times, 1.0])
    centre = sightings.K.copy()
    centre[:2, :2] = np.eye(2)
    bring = centre @ scale @ np.linalg.inv(centre)
    return replace(sightings, K=bring @ sightings.K, others_K=bring @ sightings.others_K)
