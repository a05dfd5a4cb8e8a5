"""Points of the scene from posed pictures alone, window after window: no network is asked.

Followed (tracks.py), triangulated (points.py), and judged: whether poses, calibration and time
stamps fit the pictures (misfit.py), and whether there are enough points to speak for a picture.
"""

from __future__ import annotations

import numpy as np

from da3_ros.core.scale.misfit import Misfit, MisfitWatch
from da3_ros.core.scale.points import Residuals, ScenePoints, Sightings, refine, triangulate
from da3_ros.core.scale.tracks import Tracker
from da3_ros.core.sliding_window import Window

FEWEST_POINTS = 12
FEWEST_CELLS = 4
"""Of 4 x 4 cells of the picture, how many must hold points: one corner speaks for no picture."""

ENOUGH_SIGHTINGS = 40
"""Fewer say nothing of the poses."""

PERIOD_NS = 2_000_000_000
"""Points are sought afresh in the first window of each period of stamps: none drifts for long, and
what a window says depends on the seconds before it alone, wherever a recording begins."""


class Parallax:
    """Remembers points and what did not fit them from window to window.

    misfit: what the newest view looked at says, together with those before.
    """

    def __init__(self):
        self.clear()

    def clear(self) -> None:
        """Forget everything, as after a jump back in time."""
        self._tracker, self._watch = Tracker(), MisfitWatch()
        self._period: int | None = None
        self.misfit = Misfit()

    def leave_out(self) -> None:
        """Forget the points, but not what did not fit: the next window is of a later time."""
        self._tracker.clear()

    def look(self, window: Window, view: int, min_baseline: float) -> tuple[ScenePoints, Residuals]:
        """Points of one view of a posed window that were followed, and what is left unexplained.

        min_baseline: m; no points when no other view is as far away.
        """
        period, self._period = self._period, window.stamp_ns // PERIOD_NS
        if period != self._period:
            self._tracker.clear()
        self._tracker.follow(window.frames)
        sightings = Sightings.of(window, view, self._tracker)
        w = refine(sightings)
        points, residuals = triangulate(sightings, w)
        own = tuple(f for f in window.frames if f.camera_id == window.frames[view].camera_id)
        at = own.index(window.frames[view])
        self.misfit = self._watch.look(Window(own, at, (at,)), sightings, w)
        if sightings.baseline < min_baseline:
            points = points[:0]  # given poses are not known to the millimetre
        return points, residuals

    def is_misfit(self, residuals: Residuals, max_residual: float) -> bool:
        """Poses, calibration or time stamps do not fit the pictures. max_residual: px."""
        looked = residuals.sightings >= ENOUGH_SIGHTINGS
        return looked and (residuals.across > max_residual or self.misfit.is_large)


def are_too_few(points: int, cells: int) -> bool:
    """Whether so many points in so many cells (`cells_of`) do not speak for a picture."""
    return points < FEWEST_POINTS or cells < FEWEST_CELLS


def cells_of(place: np.ndarray) -> int:
    """How many cells of a quarter of the width hold points (P, 2), in widths of the picture."""
    return len(np.unique((place * 4).astype(int) @ (1, 16)))
