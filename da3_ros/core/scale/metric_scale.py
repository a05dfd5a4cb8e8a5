"""Metres per network unit, from camera distances that are known in metres.

The network sees the camera positions divided by a divisor (metres per input unit) and
predicts depth and poses in units of its own. Distances between cameras are known in
metres, so every pair of views measures the scale: given distance over predicted distance.
Two views or a straight line are enough, because no rotation has to be estimated.

Windows without a usable distance (standing still, turning on the spot) keep the last good
scale. What is held is the ratio of scale and divisor, since the prediction follows the
normalised input; and such a window is normalised by the held divisor too, since the rule
of the median would divide by mere noise.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

from da3_ros.core import poses
from da3_ros.core.config import ScaleConfig
from da3_ros.core.scale.placement import (
    METRES,
    UNKNOWN,
    DepthMaps,
    NetworkPoses,
    Placement,
    ScaleEstimate,
)
from da3_ros.core.sliding_window import Window

MAX_ROTATION_RESIDUAL = 0.35
"""rad; a trained network is off by a few hundredths."""


@dataclass(frozen=True)
class _Measurement:
    ratio: float  # metres per network unit, per metre of divisor
    divisor: float
    spread: float
    stamp_ns: int


class MetricScale:
    """The scale of the newest window, measured or held.

    metric: the network speaks metres, and is believed where nothing is measured.
    """

    def __init__(self, config: ScaleConfig, *, metric: bool = False):
        self.config = config
        self._fallback = METRES if metric else UNKNOWN
        self.clear()

    def clear(self) -> None:
        """Forget the held scale, as after a jump back in time."""
        self._held: _Measurement | None = None

    def views(self, window: Window) -> tuple[int, ...]:
        """The views to decode: the published ones."""
        return window.views

    def place(self, window: Window, output: NetworkPoses, maps: DepthMaps) -> Placement:
        """Scale of a window with given poses, and its predicted poses beside them."""
        given = window.T_world_cam
        scale = self.update(
            output.T_cam_ref, given, divisor=output.divisor, stamp_ns=window.stamp_ns
        )
        if not np.isfinite(scale.scale):
            scale = replace(self._fallback, window_spread=scale.window_spread)
        T_world_cam = align_to_given(output.T_cam_ref, given, scale.scale)
        residuals = pose_residuals(given, T_world_cam)
        return Placement(scale, True, scale.scale, T_world_cam, *residuals)

    def divisor(self, T_world_cam: np.ndarray) -> float | None:
        """Divisor for poses (N, 4, 4) that measure nothing; None: use the median rule."""
        distances = pairwise_distances(T_world_cam[:, :3, 3])
        if self._held is None or (distances >= self.config.min_baseline).any():
            return None
        return self._held.divisor

    def update(
        self, T_cam_ref: np.ndarray, T_world_cam: np.ndarray, *, divisor: float, stamp_ns: int
    ) -> ScaleEstimate:
        """Measure the scale of a window, or hold the last one.

        T_cam_ref: (N, 3, 4) poses as predicted, network units. T_world_cam: (N, 4, 4) as
        given, metres, same order. divisor: metres per unit of the network's input.
        """
        scale, spread = self._measure(T_cam_ref, T_world_cam)
        if spread <= self.config.max_spread:
            self._held = _Measurement(scale / divisor, divisor, spread, stamp_ns)
            return ScaleEstimate(scale, spread, age=0.0, measured=True, window_spread=spread)
        return replace(self._hold(divisor, stamp_ns), window_spread=spread)

    def _measure(self, T_cam_ref: np.ndarray, T_world_cam: np.ndarray) -> tuple[float, float]:
        """Scale and spread over all pairs of views; NaN when no pair says anything."""
        given = pairwise_distances(T_world_cam[:, :3, 3])
        predicted = pairwise_distances(camera_positions(T_cam_ref))
        useful = (given >= max(self.config.min_baseline, 1e-9)) & np.isfinite(predicted)
        if not useful.any():
            return np.nan, np.nan
        given, predicted = given[useful], predicted[useful]
        with np.errstate(divide="ignore"):
            ratios = given / predicted
        scale = weighted_median(ratios, given)
        if not np.isfinite(scale):
            return np.nan, np.nan
        return scale, weighted_median(np.abs(ratios / scale - 1), given)

    def _hold(self, divisor: float, stamp_ns: int) -> ScaleEstimate:
        if self._held is None:
            return ScaleEstimate(np.nan, np.nan, np.nan, measured=False)
        age = (stamp_ns - self._held.stamp_ns) * 1e-9
        trusted = age <= self.config.max_age
        scale = self._held.ratio * divisor if trusted else np.nan
        return ScaleEstimate(scale, self._held.spread, age, measured=False)


def align_to_given(T_cam_ref: np.ndarray, T_world_cam: np.ndarray, scale: float) -> np.ndarray:
    """Predicted poses (N, 3, 4), network units, as (N, 4, 4) world poses in metres.

    The rotation into the world is the one of the view that agrees best with all others,
    the translation the median over the views: one bad pose moves nothing, and no motion
    has to be there. NaN translations while the scale is unknown (NaN).
    """
    R_ref_cam = np.swapaxes(np.asarray(T_cam_ref[:, :3, :3], np.float64), 1, 2)
    p_ref_cam = scale * camera_positions(T_cam_ref)
    R_world_ref = _medoid(T_world_cam[:, :3, :3] @ np.swapaxes(R_ref_cam, 1, 2))
    p_world_cam = p_ref_cam @ R_world_ref.T
    aligned = np.tile(np.eye(4), (len(T_cam_ref), 1, 1))
    aligned[:, :3, :3] = R_world_ref @ R_ref_cam
    aligned[:, :3, 3] = p_world_cam + np.median(T_world_cam[:, :3, 3] - p_world_cam, axis=0)
    return aligned


def pose_residuals(T_world_a: np.ndarray, T_world_b: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Distance (N,) in metres and angle (N,) in radians between poses (N, 4, 4)."""
    R_a_b = np.swapaxes(T_world_a[:, :3, :3], 1, 2) @ T_world_b[:, :3, :3]
    distances = np.linalg.norm(T_world_a[:, :3, 3] - T_world_b[:, :3, 3], axis=1)
    return distances, poses.rotation_angle(R_a_b)


def turned_away(rotation_residuals: np.ndarray) -> str:
    """What is wrong with given poses that the network sees turned by angles (N,), rad; or empty."""
    if not rotation_residuals.max() > MAX_ROTATION_RESIDUAL:
        return ""
    return (
        f"the network sees the cameras turned by {rotation_residuals.max():.2f} rad against the "
        "given poses: check extrinsics, their direction"
    )


def camera_positions(T_cam_ref: np.ndarray) -> np.ndarray:
    """Camera centres (N, 3) in the reference frame of world-to-camera poses (N, 3, 4)."""
    T = np.asarray(T_cam_ref, np.float64)
    return -np.einsum("nji,nj->ni", T[:, :3, :3], T[:, :3, 3])


def pairwise_distances(positions: np.ndarray) -> np.ndarray:
    """Distances of all N (N - 1) / 2 pairs of positions (N, 3)."""
    i, j = np.triu_indices(len(positions), k=1)
    with np.errstate(invalid="ignore"):  # a network may say infinity twice
        return np.linalg.norm(positions[i] - positions[j], axis=1)


def weighted_median(values: np.ndarray, weights: np.ndarray) -> float:
    """Smallest value at which half of the weight is reached."""
    order = np.argsort(values)
    reached = np.cumsum(weights[order])
    return float(values[order][np.searchsorted(reached, reached[-1] / 2)])


def _medoid(rotations: np.ndarray) -> np.ndarray:
    """The one of (N, 3, 3) with the smallest sum of angles to the others."""
    cosines = (np.einsum("aij,bij->ab", rotations, rotations) - 1) / 2
    angles = np.arccos(np.clip(cosines, -1, 1))
    return rotations[np.argmin(angles.sum(axis=1))]
