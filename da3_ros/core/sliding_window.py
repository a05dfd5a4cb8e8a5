"""Which frames are looked at together: the sliding window over the newest frames.

A rig delivers several frames at once. All frames of one instant are kept or refused
together; size, stride and reference count instants, so that one camera is simply a rig
of one.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

from da3_ros.core import poses
from da3_ros.core.config import WindowConfig
from da3_ros.core.frame import Frame
from da3_ros.core.frame_counts import Drop

SAID_REFUSALS = {
    Drop.DUPLICATE_STAMP: "image dropped: same stamp as the frame before",
    Drop.OUT_OF_ORDER: "image dropped: older than the frame before",
}
"""Not said: frames that were taken too near the last one, which is nobody's mistake."""


@dataclass(frozen=True, eq=False)
class Window:
    """Frames that the network sees together.

    frames: oldest first; those of one instant in the order of the rig's cameras.
    reference: index of the network's reference view.
    views: indices of the frames whose depth is wanted, ascending.
    """

    frames: tuple[Frame, ...]
    reference: int
    views: tuple[int, ...]

    def __post_init__(self):
        if not self.frames or not self.views:
            raise ValueError("a window needs at least one frame and one view to publish")
        if not all(0 <= i < len(self.frames) for i in (self.reference, *self.views)):
            raise ValueError(f"reference or views outside the {len(self.frames)} frames")
        if len({f.T_world_cam is None for f in self.frames}) > 1:
            raise ValueError("frames with and without a pose in one window")

    @property
    def T_world_cam(self) -> np.ndarray | None:
        """(N, 4, 4) float64 poses as given, metres; None when there are none.

        All with the newest frame's correction by SLAM, so that they go together; each by itself,
        `Frame.T_world_cam`, has that of its own moment.
        """
        if self.frames[0].T_world_cam is None:
            return None
        corrected = [f for f in self.frames if f.T_world_odom is not None]
        newest = max(corrected, key=lambda f: f.stamp_ns, default=self.frames[-1])
        return np.stack([f.pose_under(newest.T_world_odom) for f in self.frames])

    @property
    def stamp_ns(self) -> int:
        """Stamp of the newest frame."""
        return max(f.stamp_ns for f in self.frames)


@dataclass(frozen=True)
class Step:
    """What one push did. `window`: the one that is now due, if any. `refused`: why the
    frames were not kept, None when they were. `left`: frames that left the window. `held`:
    instants that are in it now."""

    window: Window | None = None
    refused: Drop | None = None
    left: tuple[Frame, ...] = ()
    held: int = 0


Instant = tuple[Frame, ...]


class _Kept(NamedTuple):
    """What is remembered of a frame that was kept: not its picture."""

    stamp_ns: int
    T_world_cam: np.ndarray | None
    T_world_odom: np.ndarray | None


class SlidingWindow:
    """The newest frames that differ enough, and when they are due.

    A window is due once `size` instants are held, then after every `stride` new ones, and only
    where it publishes something that no window before it has: instants of cameras that are out
    of step may come late. Frames without poses pass the gate of baseline and rotation.
    """

    def __init__(self, config: WindowConfig):
        self.config = config
        self.clear()

    def clear(self) -> None:
        """Forget everything, as after a jump back in time."""
        self._instants: list[Instant] = []
        self._last_stamp_ns: dict[str, int] = {}
        self._last_kept: dict[str, _Kept] = {}
        self._fresh: list[Instant] = []  # those held that no window has had
        self._shown: tuple[tuple[str, int], ...] = ()  # what the last window publishes, by name

    @property
    def instants(self) -> list[Instant]:
        """Those held, oldest first."""
        return list(self._instants)

    def push(self, *frames: Frame) -> Step:
        """Take the frames of one instant: one frame, or one of each camera of a rig.

        Raises `ValueError` when posed and unposed frames are mixed.
        """
        refused = self._refusal(frames)
        self._last_stamp_ns.update(
            {f.camera_id: f.stamp_ns for f in frames if f.stamp_ns > self._last_stamp(f)}
        )
        if refused:
            return Step(refused=refused, held=len(self._instants))
        for f in frames:
            self._last_kept[f.camera_id] = _Kept(f.stamp_ns, f.T_world_cam, f.T_world_odom)
        # Cameras that are not synchronised may arrive a little out of step.
        self._instants = sorted([*self._instants, frames], key=_stamp_ns)
        self._fresh.append(frames)
        left = self._drop_old()
        return Step(window=self._due(), left=left, held=len(self._instants))

    def _refusal(self, frames: Instant) -> Drop | None:
        if any(f.stamp_ns < self._last_stamp(f) for f in frames):
            return Drop.OUT_OF_ORDER
        if any(f.stamp_ns == self._last_stamp(f) for f in frames):
            return Drop.DUPLICATE_STAMP
        if not any(self._has_moved(f) for f in frames):
            return Drop.NOT_MOVED
        return None

    def _last_stamp(self, frame: Frame) -> float:
        return self._last_stamp_ns.get(frame.camera_id, -np.inf)

    def _has_moved(self, frame: Frame) -> bool:
        last = self._last_kept.get(frame.camera_id)
        if last is None or last.T_world_cam is None or frame.T_world_cam is None:
            return True
        if frame.stamp_ns - last.stamp_ns >= round(self.config.max_interval * 1e9):
            return True  # a robot that stands still sees people pass
        T_last_frame = poses.inverse(last.T_world_cam) @ frame.pose_under(last.T_world_odom)
        return (
            np.linalg.norm(T_last_frame[:3, 3]) >= self.config.min_baseline
            or poses.rotation_angle(T_last_frame[:3, :3]) >= self.config.min_rotation
        )

    def _drop_old(self) -> tuple[Frame, ...]:
        """Keep at most `size` instants, none older than `max_age` against the newest."""
        newest = _stamp_ns(self._instants[-1])
        limit = newest - round(self.config.max_age * 1e9)
        held = self._instants
        self._instants = [i for i in held[-self.config.size :] if _stamp_ns(i) >= limit]
        self._fresh = [i for i in self._fresh if _is_among(i, self._instants)]
        return tuple(f for i in held[: len(held) - len(self._instants)] for f in i)

    def _due(self) -> Window | None:
        if len(self._instants) < self.config.size or len(self._fresh) < self.config.stride:
            return None
        window = make_window(self._instants, self.config, self._fresh)
        shown = tuple(window.frames[i].key for i in window.views)
        if shown == self._shown:  # an instant that came late has moved nothing
            return None
        self._fresh, self._shown = [], shown
        return window


def why_no_window(config: WindowConfig) -> str:
    """What to say where all frames so far were in none."""
    return (
        f"no window has been made yet: it takes {config.size} images (window.size), of which none "
        f"is more than {config.max_age:g} s older than the newest (window.max_age)"
    )


def make_window(
    instants: list[Instant], config: WindowConfig, fresh: list[Instant] | None = None
) -> Window:
    """Window of instants (oldest first) by the policies `reference` and `publish`.

    fresh: those of them that no window has held before; None means all. With `publish: all`
    only these are views, so that no frame is published twice.
    """
    fresh = instants if fresh is None else fresh
    owner = [k for k, frames in enumerate(instants) for _ in frames]
    chosen = _REFERENCE[config.reference](len(instants))
    wanted = {
        "reference": {chosen},
        "newest": {len(instants) - 1},
        "all": {k for k, frames in enumerate(instants) if _is_among(frames, fresh)},
    }
    return Window(
        frames=tuple(f for frames in instants for f in frames),
        reference=owner.index(chosen),
        views=tuple(i for i, k in enumerate(owner) if k in wanted[config.publish]),
    )


_REFERENCE: dict[str, Callable[[int], int]] = {
    "middle": lambda count: count // 2,
    "newest": lambda count: count - 1,
    "first": lambda count: 0,
}


def _stamp_ns(instant: Instant) -> int:
    return max(f.stamp_ns for f in instant)


def _is_among(instant: Instant, instants: list[Instant]) -> bool:
    return any(instant is one for one in instants)
