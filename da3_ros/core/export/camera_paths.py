"""Camera paths for videos: along the given views, between them, or around one of them."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from da3_ros.core import poses

FPS = 24
MIN_SECONDS, LONG_SECONDS, MAX_SECONDS = 2, 10, 18
"""A path between views lasts at least MIN_SECONDS; one of more than MAX_SECONDS is sped up to
about LONG_SECONDS."""

SMOOTHING_FRAMES = 51
"""Width of the Gaussian window that smooths a path."""

WANDER_PIXELS = 24.0
"""How far the focus seems to move in the image while wandering."""

DOLLY_SHARE = 0.5
"""How far the dolly goes back, as a share of the focus distance."""


@dataclass(frozen=True, eq=False)
class CameraPath:
    """T_world_cam (F, 4, 4) and K (F, 3, 3) px, frame by frame."""

    T_world_cam: np.ndarray
    K: np.ndarray

    def __len__(self) -> int:
        return len(self.K)

    def __getitem__(self, index) -> CameraPath:
        return CameraPath(self.T_world_cam[index], self.K[index])

    def then(self, other: CameraPath) -> CameraPath:
        """This path followed by the other."""
        joined = ((a, b) for a, b in zip(vars(self).values(), vars(other).values()))
        return CameraPath(*(np.concatenate(pair) for pair in joined))


def smooth(views: CameraPath) -> CameraPath:
    """The views with a steadier hand: Gaussian window over positions and rotations."""
    window = min(SMOOTHING_FRAMES, len(views) - 1 + len(views) % 2)
    if window < 3:
        return views
    sigma = 0.3 * ((window - 1) / 2 - 1) + 0.8
    offset = np.arange(window) - window // 2
    weights = np.exp(-(offset**2) / (2 * sigma**2))
    padded = np.pad(views.T_world_cam, ((window // 2, window // 2), (0, 0), (0, 0)), mode="reflect")
    frames = np.lib.stride_tricks.sliding_window_view(padded, window, axis=0)
    mean = frames @ (weights / weights.sum())
    mean[:, :3, :3] = poses.nearest_rotation(mean[:, :3, :3])
    return CameraPath(mean, views.K)


def interpolate(views: CameraPath) -> CameraPath:
    """From view to view, slowing down at each."""
    gaps = len(views) - 1
    if gaps < 1:
        raise ValueError("a path between views needs at least 2 of them; use wander or dolly_zoom")
    steps = 8
    if gaps * steps > FPS * MAX_SECONDS:
        steps = max(1, FPS * LONG_SECONDS // gaps)
    elif gaps * steps < FPS * MIN_SECONDS:
        steps = FPS * MIN_SECONDS // gaps
    fractions = (1 - np.cos(np.pi * np.arange(steps) / steps)) / 2
    where = [(i, f) for i in range(gaps) for f in fractions] + [(gaps - 1, 1.0)]
    T, K = views.T_world_cam, views.K
    return CameraPath(
        np.stack([poses.interpolate(T[i], T[i + 1], f) for i, f in where]),
        np.stack([(1 - f) * K[i] + f * K[i + 1] for i, f in where]),
    )


def interpolate_smooth(views: CameraPath) -> CameraPath:
    """`interpolate`, then `smooth`."""
    return smooth(interpolate(views))


def wander(view: CameraPath, focus: float, frames: int = 120) -> CameraPath:
    """A tilted circle around one view and back to it.

    focus: distance whose points seem to move by `WANDER_PIXELS`.
    """
    angle = np.linspace(0, 2 * np.pi, frames)
    radius = WANDER_PIXELS * focus / view.K[0, 0, 0]
    sine, cosine = np.sin(angle), np.cos(angle) / 3
    T = _shifted(view, -radius * np.stack([sine, cosine, cosine], axis=-1))
    T = np.concatenate([view.T_world_cam[:1], T, view.T_world_cam[:1]])
    return CameraPath(T, np.tile(view.K[0], (frames + 2, 1, 1)))


def dolly_zoom(view: CameraPath, focus: float, frames: int = 120) -> CameraPath:
    """Back and forth with the zoom turned against it: what is at `focus` keeps its size."""
    back = (1 - np.cos(np.linspace(0, 2 * np.pi, frames))) / 2 * DOLLY_SHARE * focus
    T = _shifted(view, np.stack([0 * back, 0 * back, -back], axis=-1))
    K = np.tile(view.K[0], (frames, 1, 1))
    K[:, [0, 1], [0, 1]] *= ((focus + back) / focus)[:, None]
    return CameraPath(T, K)


def extend(views: CameraPath, focus: float) -> CameraPath:
    """`interpolate_smooth`, in its middle a wander and a dolly zoom; one view has only these."""
    path = interpolate_smooth(views) if len(views) > 1 else views
    middle = len(path) // 2
    frames = int(np.clip(middle // 2, 36, 60))
    here = path[middle : middle + 1]
    aside = wander(here, focus, frames).then(dolly_zoom(here, focus, frames))
    return path[:middle].then(aside).then(path[middle:])


def _shifted(view: CameraPath, t_cam: np.ndarray) -> np.ndarray:
    """(F, 4, 4): the first pose moved by t_cam (F, 3) in its own axes."""
    T = np.tile(view.T_world_cam[0], (len(t_cam), 1, 1))
    T[:, :3, 3] += t_cam @ T[0, :3, :3].T
    return T


MODES = {
    "original": lambda views, focus: views,
    "smooth": lambda views, focus: smooth(views),
    "interpolate": lambda views, focus: interpolate(views),
    "interpolate_smooth": lambda views, focus: interpolate_smooth(views),
    "wander": lambda views, focus: wander(views, focus),
    "dolly_zoom": lambda views, focus: dolly_zoom(views, focus),
    "extend": extend,
}
"""Name -> (views, focus distance) -> path."""


def follow(views: CameraPath, mode: str, focus: float) -> CameraPath:
    """The path of that mode; focus: distance that wander and dolly_zoom turn around.

    Raises `ValueError` for an unknown mode, and for a path between fewer than two views.
    """
    if mode not in MODES:
        raise ValueError(f"trj_mode is '{mode}', must be one of {', '.join(MODES)}")
    return MODES[mode](views, focus)
