"""What would explain that points are seen beside their epipolar lines: time stamps, or the lens.

Two things that go wrong on robots move all points of all views in a way of their own: poses of
another time than the pictures, and a wrong focal length. How far across the lines each would
move every sighting is known (to first order), so that one number for each is found by robust
least squares. Much smaller errors are found so than the eye sees in any single residual, and
what they do to depth is known as well: by far more than a pixel, where a camera turns.
"""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass, replace

import numpy as np
from scipy.spatial.transform import Rotation

from da3_ros.core import poses
from da3_ros.core.scale.points import Sightings, newton_step, residuals_of, split
from da3_ros.core.sliding_window import Window

STEP_S = 0.01
STEP_FOCAL = 0.01
FEWEST = 60
"""Sightings below which nothing is said."""

SHORTEST = 1e-3
"""s between frames below which stamps are not times of a moving camera."""

EXPLAINED = 0.75
"""Of the residuals at most this much may remain, or something else is wrong: poses that jump from
frame to frame, a rolling shutter. One delay and one focal length then mean nothing."""

SURE = 5.0
"""Standard deviations that are not chance."""

MOST_BIAS = 0.07
"""Change of depth beyond which points say nothing that can be used."""

REMEMBERED = 10
"""Windows whose median says more than any one of them; from `FEWEST_WINDOWS` on."""
FEWEST_WINDOWS = 3


@dataclass(frozen=True)
class Misfit:
    """delay: s by which poses are later than the pictures. focal: share by which the given
    focal length is too long. bias: median |ln| by which these two change the depth of the points,
    as far as they are sure; all 0 where nothing is. lasting: several windows agree.
    """

    delay: float = 0.0
    focal: float = 0.0
    bias: float = 0.0
    lasting: bool = False

    @property
    def is_large(self) -> bool:
        """Depth of these points would be wrong."""
        return self.bias > MOST_BIAS


def explanation(delay: float, focal: float) -> str:
    """Words for what a misfit would come from, in numbers; empty where it comes from neither.

    delay (s), focal (share): as of `Misfit`.
    """
    causes = []
    if abs(delay) >= 0.005:
        late = "late" if delay > 0 else "early"
        causes.append(f"poses that are {abs(delay) * 1e3:.0f} ms too {late}")
    if abs(focal) >= 0.005:
        long = "long" if focal > 0 else "short"
        causes.append(f"a focal length {abs(focal):.1%} too {long}")
    return f", as from {' and '.join(causes)}" if causes else ""


class MisfitWatch:
    """Looks for both errors in window after window; what stays is surer than what is seen once."""

    def __init__(self):
        self._found: deque[np.ndarray] = deque(maxlen=REMEMBERED)

    def look(self, window: Window, sightings: Sightings, w: np.ndarray) -> Misfit:
        """window: of one camera, in order of time, its reference that of the sightings.
        w: (P,) inverse depths that were fitted to them."""
        if np.isfinite(sightings.seen_at[..., 0]).sum() < FEWEST or len(window.frames) < 2:
            return Misfit()
        changed = (_later(window, sightings, STEP_S), _longer(sightings, 1 + STEP_FOCAL))
        columns, wanted, change = _effects(sightings, changed, w)
        steps, sigma = _fit(columns, wanted)
        if np.median(np.abs(wanted - columns @ steps)) > EXPLAINED * np.median(np.abs(wanted)):
            steps, sigma = np.zeros(2), np.full(2, np.inf)
        self._found.append(np.where(np.isfinite(sigma), steps, np.nan))
        own = np.where(np.abs(steps) > SURE * sigma, steps, 0.0)
        lasting = self._lasting()
        found = _misfit(lasting, change, lasting=True), _misfit(own, change, lasting=False)
        return max(found, key=lambda misfit: misfit.bias)

    def _lasting(self) -> np.ndarray:
        found = np.array(self._found)
        known = np.isfinite(found)
        enough = known.sum(axis=0) >= FEWEST_WINDOWS
        return np.array(
            [np.median(column[k]) if e else 0.0 for column, k, e in zip(found.T, known.T, enough)]
        )


def _misfit(steps: np.ndarray, change: np.ndarray, *, lasting: bool) -> Misfit:
    total = steps @ change
    known = np.isfinite(total)
    bias = float(np.median(np.abs(total[known]))) if known.any() else 0.0
    return Misfit(-float(steps[0]) * STEP_S, -float(steps[1]) * STEP_FOCAL, bias, lasting)


def _effects(
    sightings: Sightings, changed, w: np.ndarray
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """What each of two changes does, to first order.

    Returns (S, 2) how far it moves the sightings across their lines; (S,) what would bring them
    there; (2, P) ln of the inverse depth that then fits over w, NaN where there is none.
    """
    residual, slope = residuals_of(sightings, w)
    _, across = split(residual, slope)
    seen = np.isfinite(across)
    moved, change = [], []
    for other in changed:
        residual, other_slope = residuals_of(other, w)
        moved.append((split(residual, slope)[1] - across)[seen])
        with np.errstate(divide="ignore", invalid="ignore"):
            change.append(np.log1p(newton_step(residual, other_slope) / w))
    change = np.stack(change)
    return np.stack(moved, axis=1), -across[seen], np.where(np.isfinite(change), change, np.nan)


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


def _later(window: Window, sightings: Sightings, by: float) -> Sightings:
    """The same sightings, the cameras where they are `by` s later."""
    stamps_ns, given = [f.stamp_ns for f in window.frames], window.T_world_cam
    T = [_at(given, stamps_ns, i, by) for i in range(len(given))]
    T_ref = T.pop(window.reference)
    T_cam_ref = [poses.inverse(T_i) @ T_ref for T_i in T]
    return replace(sightings, T_cam_ref=np.reshape(T_cam_ref, (-1, 4, 4)))


def _at(T_world_cam: np.ndarray, stamps_ns: list[int], i: int, by: float) -> np.ndarray:
    a, b = (i, i + 1) if i + 1 < len(stamps_ns) else (i - 1, i)
    seconds = (stamps_ns[b] - stamps_ns[a]) * 1e-9
    if seconds < SHORTEST:
        return T_world_cam[i]
    fraction = (i - a) + by / seconds
    T_a, T_b = T_world_cam[[a, b]]
    turn = Rotation.from_matrix(T_a[:3, :3].T @ T_b[:3, :3]).as_rotvec()
    R = T_a[:3, :3] @ Rotation.from_rotvec(fraction * turn).as_matrix()
    return poses.compose(R, T_a[:3, 3] + fraction * (T_b[:3, 3] - T_a[:3, 3]))


def _longer(sightings: Sightings, times: float) -> Sightings:
    scale = np.diag([times, times, 1.0])
    centre = sightings.K.copy()
    centre[:2, :2] = np.eye(2)
    bring = centre @ scale @ np.linalg.inv(centre)
    return replace(sightings, K=bring @ sightings.K, others_K=bring @ sightings.others_K)
