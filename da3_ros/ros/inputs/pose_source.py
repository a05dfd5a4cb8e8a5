"""Where a camera was at its image's stamp: step "locate".

A pose may arrive later than the image it belongs to. Images wait for theirs in order,
without blocking anything, until it comes or the wait has lasted too long.
"""

from __future__ import annotations

from collections import Counter, deque
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
from geometry_msgs.msg import TransformStamped

from da3_ros.core.config import PoseConfig
from da3_ros.ros.inputs.tf_buffer import (
    BadTransform,
    TransformBuffer,
    TransformUnavailable,
    stamp_to_ns,
)

JUMP_NS = 1_000_000_000
"""A transform that much older than the one before of its frame means that time started over."""


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

    @property
    def newest_stamp_ns(self) -> int:
        """Stamp of the newest transform of all, static ones aside; 0 before the first."""
        return max(self._newest_ns.values(), default=0)

    def take_transforms(self, msg, *, static: bool) -> list[str]:
        """Take a tf2_msgs/TFMessage. Returns a sentence for each refused, or jumping back."""
        refused = []
        for transform in msg.transforms:
            if transform.child_frame_id.lstrip("/") == self._odometry_child:
                continue
            refused += self._insert(transform, static=static)
        return refused

    def take_odometry(self, msg) -> list[str]:
        """Take a nav_msgs/Odometry. Returns a sentence when it is refused or jumps back."""
        transform = TransformStamped(header=msg.header, child_frame_id=msg.child_frame_id)
        p, t = msg.pose.pose.position, transform.transform.translation
        t.x, t.y, t.z = p.x, p.y, p.z
        transform.transform.rotation = msg.pose.pose.orientation
        refused = self._insert(transform, static=False)
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

    def _insert(self, transform, *, static: bool) -> list[str]:
        try:
            self._buffer.insert(transform, static=static)
        except BadTransform as error:
            self.refused[error.cause] += 1
            return [f"{error}; it is ignored"]
        self._parent_of[transform.child_frame_id.lstrip("/")] = transform.header.frame_id.lstrip(
            "/"
        )
        return [] if static else self._watch_time(transform)

    def _watch_time(self, transform) -> list[str]:
        """Old transforms may still arrive after time was set back, and a buffer takes nothing
        that is much older than what it has: it would stay blind until time catches up.
        """
        child, stamp_ns = transform.child_frame_id.lstrip("/"), stamp_to_ns(transform.header.stamp)
        newest_ns = self._newest_ns.get(child, stamp_ns)
        if stamp_ns >= newest_ns - JUMP_NS:
            self._newest_ns[child] = max(newest_ns, stamp_ns)
            return []
        self.clear()
        self._newest_ns[child] = stamp_ns
        self._buffer.insert(transform, static=False)
        back = (newest_ns - stamp_ns) / 1e9
        return [f"transforms of '{child}' jumped back by {back:.1f} s: starting over"]

    def _way_to_world(self, frame: str) -> set[str]:
        """The children of all transforms between a frame and the world."""
        return self._way_up(frame) ^ self._way_up(self._config.world_frame.lstrip("/"))

    def _way_up(self, frame: str) -> set[str]:
        way: set[str] = set()
        while frame in self._parent_of and frame not in way:
            way.add(frame)
            frame = self._parent_of[frame]
        return way


@dataclass(frozen=True)
class Waiting:
    """Something that waits for its pose, and since when on the node's clock."""

    item: Any
    frame_id: str
    stamp_ns: int
    since_ns: int


@dataclass(frozen=True)
class Located:
    """An item and its pose; None with source `none`."""

    item: Any
    T_world_cam: np.ndarray | None


@dataclass(frozen=True)
class Lost:
    """An item that gets no pose, and why."""

    item: Any
    sentence: str


class WaitingLine:
    """Items of one camera in order of arrival; the first one without a pose holds the rest."""

    def __init__(self, source: PoseSource, config: PoseConfig, queue_size: int):
        self._source = source
        self._timeout_ns = round(config.timeout * 1e9)
        self._queue_size = queue_size
        self._line: deque[Waiting] = deque()

    def __len__(self) -> int:
        return len(self._line)

    def add(self, waiting: Waiting) -> Any | None:
        """Line up; returns the oldest item when the line was full and it had to go."""
        self._line.append(waiting)
        return self._line.popleft().item if len(self._line) > self._queue_size else None

    def poll(self, now_ns: int) -> Iterator[Located | Lost]:
        """Everything whose fate is known by now, in order; each leaves the line when taken."""
        while self._line and (fate := self._fate(self._line[0], now_ns)):
            self._line.popleft()
            yield fate

    def clear(self) -> list:
        """Forget everything; returns the items that were waiting."""
        items = [waiting.item for waiting in self._line]
        self._line.clear()
        return items

    def _fate(self, waiting: Waiting, now_ns: int) -> Located | Lost | None:
        try:
            T_world_cam = self._source.locate(waiting.frame_id, waiting.stamp_ns)
        except TransformUnavailable as error:
            waited_ns = now_ns - waiting.since_ns
            # A clock that was set back would never reach the timeout.
            if error.may_come and 0 <= waited_ns < self._timeout_ns:
                return None
            self._source.missed[error.cause] += 1
            return Lost(waiting.item, str(error))
        return Located(waiting.item, T_world_cam)
