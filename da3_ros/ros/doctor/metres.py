"""Check of metres: points are followed through posed pictures, as in the node, without a network.

A few stretches of the recording are looked at, window by window. What the points say of poses,
calibration and time stamps, and of each other, is one finding.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import islice, pairwise

import numpy as np

from da3_ros.core import poses
from da3_ros.core.config import Config
from da3_ros.core.frame import Frame
from da3_ros.core.scale.misfit import Misfit, explanation
from da3_ros.core.scale.parallax import Parallax, are_too_few, cells_of
from da3_ros.core.scale.placement import CONTRADICTION, MISFIT
from da3_ros.core.scale.points import Residuals, ScenePoints, disagreement
from da3_ros.core.sliding_window import SlidingWindow, Window
from da3_ros.ros.doctor.findings import Finding, ok, warn
from da3_ros.ros.doctor.posed_frames import PosedFrames
from da3_ros.ros.doctor.recording import Event, Recording

METRES = "metres"
"""Name of the check."""

STRETCHES, WINDOWS = 3, 15
"""How many stretches of a recording are looked at, and windows of all of them together."""
AGREED = 2
"""How many times the median deviation over windows a delay or a focal length must be."""
ANCHORS = "give points from outside (anchor/points, anchor/depth)"


@dataclass(frozen=True, eq=False)
class _Look:
    """What one window says. stretch: its number. frame: the view that the points belong to."""

    stretch: int
    frame: Frame
    points: ScenePoints
    residuals: Residuals
    misfit: Misfit
    is_misfit: bool

    @property
    def are_too_few(self) -> bool:
        """The points are too few to speak for the picture."""
        place = (self.points.pixels + 0.5) / self.frame.camera.width
        return are_too_few(len(self.points), cells_of(place))


def check_metres(seen: Recording, config: Config) -> Finding:
    """What metres rest on, and whether poses, calibration and time stamps fit the pictures."""
    if config.window.size < 2:
        return ok(METRES, "not from parallax: window.size is 1; from anchors, or the network's own")
    try:
        frames = PosedFrames(seen, config)
        looks = list(_looks(frames, config))
    except ValueError as problem:
        return warn(METRES, f"not judged: {problem}", "see images and camera info")
    return _judge(looks, config) if looks else _without_windows(frames, config)


def _looks(frames: PosedFrames, config: Config) -> Iterator[_Look]:
    """The first windows of every stretch in which the camera moves sideways."""
    parallax = Parallax()
    count = max(1, min(STRETCHES, len(frames.events) // (config.window.size + WINDOWS)))
    for number, part in enumerate(np.array_split(np.arange(len(frames.events)), count)):
        parallax.leave_out()
        windows = _windows(frames, [frames.events[i] for i in part], config)
        for window in islice(windows, WINDOWS // count):
            yield _look(parallax, number, window, config)


def _windows(frames: PosedFrames, events: list[Event], config: Config) -> Iterator[Window]:
    kept = SlidingWindow(config.window)
    for event in events:
        window = kept.push(frames.frame(event)).window
        if window and _baseline(window.T_world_cam, window.reference) >= config.scale.min_baseline:
            yield window


def _baseline(T_world_cam: np.ndarray, reference: int) -> float:
    """Farthest that a view is from the reference, m."""
    centres = T_world_cam[:, :3, 3]
    return float(np.linalg.norm(centres - centres[reference], axis=1).max())


def _look(parallax: Parallax, stretch: int, window: Window, config: Config) -> _Look:
    points, residuals = parallax.look(window, window.reference, config.scale.min_baseline)
    is_misfit = parallax.is_misfit(residuals, config.scale.max_residual)
    frame = window.frames[window.reference]
    return _Look(stretch, frame, points, residuals, parallax.misfit, is_misfit)


def _without_windows(frames: PosedFrames, config: Config) -> Finding:
    """No window had points to look at: too few pictures, or no motion."""
    T_world_frame = np.reshape(frames.T_world_frame, (-1, 4, 4))
    size, least = config.window.size, config.scale.min_baseline
    if len(T_world_frame) < size:
        what = f"not judged: {len(T_world_frame)} images have a pose, a window needs {size}"
        return warn(METRES, what, "record longer; see tf")
    moved = _baseline(T_world_frame, 0)
    if moved < least:
        what = (
            f"unknown: the camera stands still, or only turns; it moved {moved:.2f} m, points and "
            f"camera distances need {least} m (scale.min_baseline)"
        )
        return warn(METRES, what, f"move it sideways, or {ANCHORS}")
    what = f"unknown: the camera moves {least} m in no window of {size} views (scale.min_baseline)"
    fix = f"move faster, see window.min_baseline and window.max_age, or {ANCHORS}"
    return warn(METRES, what, fix)


def _judge(looks: list[_Look], config: Config) -> Finding:
    wrong = [look for look in looks if look.is_misfit]
    if 2 * len(wrong) >= len(looks):
        return _misfit(wrong, len(looks))
    good = [look for look in looks if not look.is_misfit and not look.are_too_few]
    if 2 * len(good) < len(looks):
        return _too_few(looks)
    spread = _spread(good)
    if spread > config.scale.max_spread:
        what = f"{CONTRADICTION}: by {spread:.0%} between windows (scale.max_spread)"
        return warn(
            METRES, what, "keep what moves out of the picture (input.mask: the robot itself)"
        )
    given = {"anchors": "scale.source is anchors, ", "cameras": "scale.source is cameras, "}
    apart = f"{spread:.1%} apart between windows, " if np.isfinite(spread) else ""
    return ok(
        METRES,
        f"{given.get(config.scale.source, 'from parallax: ')}{_count(good)} points a window "
        f"(median of {len(looks)}), {apart}{_across(good):.2f} px off their epipolar lines",
    )


def _misfit(wrong: list[_Look], count: int) -> Finding:
    delay = _agreed([look.misfit.delay for look in wrong])
    focal = _agreed([look.misfit.focal for look in wrong])
    what = (
        f"{MISFIT}: points are {_across(wrong):.1f} px off their epipolar lines (median, in "
        f"{len(wrong)} of {count} windows){explanation(delay, focal)}"
    )
    return warn(METRES, what, "check extrinsics, camera_info and time stamps of images and poses")


def _agreed(values: list[float]) -> float:
    """Their median; 0 where windows differ too much for one cause to be named."""
    median = np.median(values)
    doubt = np.median(np.abs(values - median))
    return float(median) if abs(median) > AGREED * doubt else 0.0


def _too_few(looks: list[_Look]) -> Finding:
    what = (
        f"from distances between cameras alone: {_count(looks)} points a window could be followed "
        f"(median of {len(looks)})"
    )
    fix = f"look at something textured, record more images a second, or {ANCHORS}"
    return warn(METRES, what, fix)


def _count(looks: list[_Look]) -> int:
    return int(np.median([len(look.points) for look in looks]))


def _across(looks: list[_Look]) -> float:
    """px, median over windows; NaN where nothing was followed."""
    return float(np.median([look.residuals.across for look in looks]))


def _spread(looks: list[_Look]) -> float:
    """Median |ln| by which neighbouring windows disagree about a point; NaN without shared ones."""
    apart = [
        disagreement(
            a.points,
            b.points,
            a.frame.camera.K,
            poses.inverse(b.frame.T_world_cam) @ a.frame.pose_under(b.frame.T_world_odom),
        )
        for a, b in pairwise(looks)
        if a.stretch == b.stretch
    ]
    together = np.concatenate([np.zeros(0), *apart])
    return float(np.median(together)) if len(together) else np.nan
