"""Pictures with poses and true depth: what the weights are measured on."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from functools import lru_cache

import numpy as np

from da3_ros.core import poses
from da3_ros.core.frame import Frame

EXACT, SENSOR, STEREO = "exact", "depth sensor", "stereo matching, not a sensor"
"""What the true depth of a dataset is."""

SHOTS_KEPT = 64


class DataError(ValueError):
    """A folder that cannot be read as a recording; one sentence that says why."""


@dataclass(frozen=True, eq=False)
class Shot:
    """A posed frame and what is known of it.

    depth: (H, W) float32 true depth along z, m; NaN where unknown. right: the frame of the other
    camera of a stereo pair, of the same moment.
    """

    frame: Frame
    depth: np.ndarray
    right: Frame | None = None

    def __post_init__(self):
        if self.depth.shape != self.frame.image.shape[:2]:
            raise DataError(
                f"the depth is {self.depth.shape}, its picture {self.frame.image.shape[:2]}; "
                "depth must be registered to the picture"
            )


@dataclass(frozen=True, eq=False)
class PosedRecording:
    """The way of one camera.

    stamps_ns: (N,) int64, ascending. T_world_cam: (N, 4, 4) float64, m, optical axes. read: the
    shot of an index; those read last are kept.
    """

    name: str
    stamps_ns: np.ndarray
    T_world_cam: np.ndarray
    read: Callable[[int], Shot]

    def __post_init__(self):
        if not len(self.stamps_ns) or len(self.stamps_ns) != len(self.T_world_cam):
            raise DataError(f"{self.name} has no picture with a pose")
        if (np.diff(self.stamps_ns) <= 0).any():
            raise DataError(f"time stamps of {self.name} do not ascend")
        object.__setattr__(self, "read", lru_cache(maxsize=SHOTS_KEPT)(self.read))

    def __len__(self) -> int:
        return len(self.stamps_ns)

    def pose_at(self, stamp_ns: int) -> np.ndarray:
        """(4, 4) between the poses of the pictures; at the ends, the last one there is."""
        after = int(np.searchsorted(self.stamps_ns, stamp_ns))
        if after == 0 or after == len(self):
            return self.T_world_cam[min(after, len(self) - 1)]
        begin, end = self.stamps_ns[after - 1 : after + 1]
        fraction = (stamp_ns - begin) / (end - begin)
        return poses.interpolate(*self.T_world_cam[after - 1 : after + 1], fraction)

    @property
    def step(self) -> float:
        """Median way from picture to picture, m; 0 of a single one."""
        if len(self) < 2:
            return 0.0
        return float(np.median(np.linalg.norm(np.diff(self.T_world_cam[:, :3, 3], axis=0), axis=1)))


@dataclass(frozen=True)
class Take:
    """Some pictures of one recording, oldest first."""

    recording: PosedRecording
    indices: tuple[int, ...]

    def shots(self) -> list[Shot]:
        return [self.recording.read(i) for i in self.indices]


@dataclass(frozen=True)
class Dataset:
    """Recordings of one kind. truth: one of the three above. notes: what a reader left out or had
    to assume, in sentences."""

    name: str
    truth: str
    recordings: tuple[PosedRecording, ...]
    notes: tuple[str, ...] = field(default=())

    def takes(self, count: int, views: int, gap: int = 1) -> list[Take]:
        """At most `count` takes of `views` pictures, `gap` apart, spread over all recordings.

        Empty where every recording is shorter.
        """
        span = (views - 1) * gap
        starts = [(r, s) for r in self.recordings for s in range(len(r) - span)]
        chosen = np.unique(np.linspace(0, len(starts) - 1, count).round()) if starts else ()
        return [
            Take(r, tuple(s + k * gap for k in range(views)))
            for r, s in (starts[int(i)] for i in chosen)
        ]

    @property
    def step(self) -> float:
        """Median way from picture to picture over the recordings, m."""
        return float(np.median([r.step for r in self.recordings]))
