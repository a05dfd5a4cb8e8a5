"""Where a camera was at its image's stamp: step "locate"."""

from __future__ import annotations

from collections import Counter
from collections.abc import Hashable
from typing import NamedTuple

import numpy as np
from geometry_msgs.msg import TransformStamped

from da3_ros.core.config import PoseConfig
from da3_ros.ros.inputs.tf_buffer import (
    BadTransform,
    TransformBuffer,
    TransformUnavailable,
)
from da3_ros.ros.inputs.time_jump import jump_back
from da3_ros.ros.messages import stamp_to_ns

MOST_NAMED = 20
"""Frames listed in a sentence."""


class Refused(NamedTuple):
    """What was wrong with a message of poses: a cause for the log, and a sentence."""

    cause: Hashable
    sentence: str


class PoseSource:
    """Poses of cameras in the world frame from TF, from odometry, or none at all.

    Odometry is one more edge of the transform tree, interpolated like any other; the same
    edge on /tf is then ignored.
    """

    def __init__(self, config: PoseConfig):
        self._config = config
        self._buffer = TransformBuffer()
        self._odometry_child: str | None = None
        self._newest_ns: dict[str, int] = {}
        self._parent_of: dict[str, str] = {}
        self._located: set[str] = set()
        # By cause, since the start.
        self.missed: Counter[str] = Counter()
        self.refused: Counter[str] = Counter()

    def take_transforms(self, msg, *, static: bool) -> list[Refused]:
        """Take a tf2_msgs/TFMessage. Returns what was refused, or jumped back."""
        refused = []
        for transform in msg.transforms:
            if transform.child_frame_id.lstrip("/") == self._odometry_child:
                continue
            refused += self._insert(transform, static=static)
        return refused

    def take_odometry(self, msg) -> list[Refused]:
        """Take a nav_msgs/Odometry. Returns what was refused, or jumped back."""
        refused = self._insert(odometry_transform(msg), static=False)
        if not refused:
            self._odometry_child = msg.child_frame_id.lstrip("/")
        return refused

    def locate(self, frame_id: str, stamp_ns: int) -> np.ndarray | None:
        """T_world_cam (4, 4); None with source `none`. Raises `TransformUnavailable`."""
        if self._config.source == "none":
            return None
        T_world_cam = self._buffer.lookup(self._config.world_frame, frame_id, stamp_ns)
        self._located.add(frame_id.lstrip("/"))
        return T_world_cam

    def explain(self, error: TransformUnavailable) -> str:
        """The error in words; with the frames there are, where one was asked for that is not."""
        if error.cause not in (error.UNKNOWN, error.UNCONNECTED):
            return str(error)
        frames = sorted({*self._parent_of, *self._parent_of.values()})
        if not frames:
            return f"{error}: no transform has come yet"
        more = f" and {len(frames) - MOST_NAMED} more" if len(frames) > MOST_NAMED else ""
        return f"{error}; there are {', '.join(frames[:MOST_NAMED])}{more}"

    def known_until_ns(self) -> int | None:
        """Stamp up to which the located frames have poses: of the newest transform on their way
        to the world, of the oldest of these where several move. None where nothing moves.
        """
        frames = set().union(*(self._way_to_world(frame) for frame in self._located))
        return min((self._newest_ns[f] for f in frames & self._newest_ns.keys()), default=None)

    def lookup(self, target: str, source: str, stamp_ns: int) -> np.ndarray:
        """T_target_source (4, 4). Raises `TransformUnavailable`."""
        return self._buffer.lookup(target, source, stamp_ns)

    def clear(self) -> None:
        """Forget all but static transforms."""
        self._buffer.clear()
        self._newest_ns.clear()

    def _insert(self, transform, *, static: bool) -> list[Refused]:
        try:
            self._buffer.insert(transform, static=static)
        except BadTransform as error:
            self.refused[error.cause] += 1
            return [Refused(error.cause, f"{error}; it is ignored")]
        parent = transform.header.frame_id.lstrip("/")
        self._parent_of[transform.child_frame_id.lstrip("/")] = parent
        return [] if static else self._watch_time(transform)

    def _watch_time(self, transform) -> list[Refused]:
        """Old transforms may still arrive after time was set back, and a buffer takes nothing
        that is much older than what it has: it would stay blind until time catches up.
        """
        child, stamp_ns = transform.child_frame_id.lstrip("/"), stamp_to_ns(transform.header.stamp)
        newest_ns = self._newest_ns.get(child, stamp_ns)
        back = jump_back(newest_ns, stamp_ns)
        if not back:
            self._newest_ns[child] = max(newest_ns, stamp_ns)
            return []
        self.clear()
        self._newest_ns[child] = stamp_ns
        self._buffer.insert(transform, static=False)
        sentence = f"transforms of '{child}' jumped back by {back:.1f} s: starting over"
        return [Refused("transforms jumped back", sentence)]

    def _way_to_world(self, frame: str) -> set[str]:
        """The children of all transforms between a frame and the world."""
        return self._way_up(frame) ^ self._way_up(self._config.world_frame.lstrip("/"))

    def _way_up(self, frame: str) -> set[str]:
        way: set[str] = set()
        while frame in self._parent_of and frame not in way:
            way.add(frame)
            frame = self._parent_of[frame]
        return way


def odometry_transform(msg) -> TransformStamped:
    """The edge of the transform tree that a nav_msgs/Odometry states."""
    transform = TransformStamped(header=msg.header, child_frame_id=msg.child_frame_id)
    p, t = msg.pose.pose.position, transform.transform.translation
    t.x, t.y, t.z = p.x, p.y, p.z
    transform.transform.rotation = msg.pose.pose.orientation
    return transform
