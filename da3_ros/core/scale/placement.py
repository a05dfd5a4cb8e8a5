"""Where a window is and how long its unit is: the one question of this folder.

Whoever answers it is a `ScaleSource`:

    metric_scale.MetricScale     poses are given: metres from the distances between cameras
    window_chain.WindowChain     none are given: one unit and one world for all windows
    network_scale.NetworkScale   the network itself knows no poses: one view at a time

    scene_scale.SceneScale       points of the scene correct the answer of one of these

Another source is a file beside these with a class of the same three methods;
`Pipeline._source_of_scale` is the one place that chooses.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

import numpy as np

from da3_ros.core.camera_model import CameraModel
from da3_ros.core.sliding_window import Window


@dataclass(frozen=True)
class ScaleEstimate:
    """Metres per network unit of one window.

    scale: NaN while unknown. spread: weighted median of the pairs' relative deviation, of
    the measurement in use; NaN without one. age: seconds since that measurement.
    measured: this window measured it; otherwise it is held. window_spread: of this window's
    own pairs, whether in use or not; NaN where they say nothing.
    """

    scale: float
    spread: float
    age: float
    measured: bool
    window_spread: float = np.nan

    @property
    def is_contradictory(self) -> bool:
        """The window's pairs of views disagreed too much to be used."""
        return not self.measured and bool(np.isfinite(self.window_spread))


METRES = ScaleEstimate(scale=1.0, spread=np.nan, age=0.0, measured=False)
"""Scale of a network that speaks metres by itself."""

UNKNOWN = ScaleEstimate(scale=np.nan, spread=np.nan, age=np.nan, measured=False)


@dataclass(frozen=True)
class ChainLink:
    """How a window without given poses is chained to the ones before.

    segment: counts from 0; another segment is another world and another unit.
    shared: views that earlier windows of the segment had placed; 0 when it begins.
    scale: chain units per network unit; measured against the windows before.
    position_residual (chain units), rotation_residual (rad): median distance of the shared
    views from where they were last placed; NaN without any.
    broken: why the chain broke before this window, or why it has no place; else empty.
    """

    segment: int
    shared: int
    scale: ScaleEstimate
    position_residual: float = np.nan
    rotation_residual: float = np.nan
    broken: str = ""


TOO_FEW = "too few points"
CONTRADICTION = "the points contradict each other"
MISFIT = "poses, calibration or time stamps do not fit the pictures"
"""Why points of the scene are not used."""


@dataclass(frozen=True)
class Evidence:
    """What the metres of a window rest on, and how well that fits.

    source: `anchors`, `parallax` (points of the scene), `cameras` (distances between the given
    poses), `network` (it speaks metres), `held` (an earlier window), or `none`.
    correction: the kind that made depth agree with the points (correction.py); `none` without.
    points: how many were used. spread: weighted median of their deviation from one scale, ln.
    depth_error: mean relative error of the published depth at points left out of the fit.
    across, along: medians of what is left between tracks and epipolar lines, px at working size
    (tracks.py), over `sightings`. delay (s), focal (share): by which poses seem late and the focal
    length too long (misfit.py); 0 unless that is sure. change: ln of the scale over that of the
    window before; doubt: what their uncertainties allow. NaN where nothing was measured. before:
    the source of that window.
    fault: why points are not used, one of the three above; else empty.
    """

    source: str
    correction: str = "none"
    points: int = 0
    spread: float = np.nan
    depth_error: float = np.nan
    across: float = np.nan
    along: float = np.nan
    sightings: int = 0
    delay: float = 0.0
    focal: float = 0.0
    change: float = np.nan
    doubt: float = np.nan
    before: str = ""
    fault: str = ""

    @property
    def has_jumped(self) -> bool:
        """The scale changed by more than its own uncertainty."""
        return abs(self.change) > self.doubt

    @property
    def jump(self) -> str:
        """What a change of the source did to the metres, if more than they are certain; or empty.

        While the source stays, the points do: only the network's own unit has changed then.
        """
        if self.source == self.before or not self.has_jumped:
            return ""
        return (
            f"metres changed by {np.expm1(self.change):+.0%} when they came to rest on "
            f"{self.source} instead of {self.before}; their uncertainty is {self.doubt:.0%}"
        )


@dataclass(frozen=True, eq=False)
class NetworkPoses:
    """Camera poses as the network predicted them, in its own unit.

    T_cam_ref: (N, 3, 4) float64, all frames in the window's order; None of a one-view network.
    divisor: metres per unit of the poses it was given; 1 without.
    """

    T_cam_ref: np.ndarray | None
    divisor: float = 1.0


@dataclass(frozen=True, eq=False)
class DepthMaps:
    """What the network said of the M views that were decoded, in its own unit.

    views: their indices into the window. cameras: theirs at (h, w). depth, conf, sky:
    (M, h, w) float32; conf and sky may be None.
    """

    views: tuple[int, ...]
    cameras: tuple[CameraModel, ...]
    depth: np.ndarray
    conf: np.ndarray | None = None
    sky: np.ndarray | None = None

    def of(self, views: tuple[int, ...]) -> DepthMaps:
        """Those of some of the views."""
        if views == self.views:
            return self
        rows = [self.views.index(i) for i in views]
        conf, sky = (None if x is None else x[rows] for x in (self.conf, self.sky))
        return DepthMaps(views, tuple(self.cameras[r] for r in rows), self.depth[rows], conf, sky)


@dataclass(frozen=True, eq=False)
class Placement:
    """Where a window is, and the unit of its depth.

    scale: metres per network unit, as far as it is known. is_metric: `factor` makes metres;
    else units of the chain, or of the network. factor: what the depth of the published views
    (`window.views`) is multiplied with: one number, or a field (M, h, w); NaN where unknown.
    T_world_cam: (N, 4, 4) poses as predicted: moved onto the given ones and scaled, or without
    given poses in the chain's world; None of a one-view network.
    position_residuals (N,) m, rotation_residuals (N,) rad: predicted against given poses.
    link: how a window without given poses was placed. evidence: what the metres rest on.
    """

    scale: ScaleEstimate
    is_metric: bool
    factor: float | np.ndarray
    T_world_cam: np.ndarray | None = None
    position_residuals: np.ndarray | None = None
    rotation_residuals: np.ndarray | None = None
    link: ChainLink | None = None
    evidence: Evidence | None = None

    @property
    def unit(self) -> float:
        """What lengths of the network are multiplied with, poses and Gaussians for example: as
        `factor`, but one number in any case.
        """
        if self.link:
            return self.link.scale.scale
        return self.scale.scale if self.is_metric else 1.0


class ScaleSource(Protocol):
    """Says where a window is and how long its unit is; remembers what earlier windows told."""

    def views(self, window: Window) -> tuple[int, ...]:
        """The views to decode, ascending: the published ones, and what `place` needs besides."""

    def place(self, window: Window, output: NetworkPoses, maps: DepthMaps) -> Placement:
        """Place a window. maps: of the views that `views` asked for."""

    def clear(self) -> None:
        """Forget earlier windows, as after a jump back in time."""
