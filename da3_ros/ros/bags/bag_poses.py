"""Poses of a bag, known before the images that need them.

A transform buffer holds ten seconds, so the transforms of a long bag are read a little
ahead of the images and not all at once.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator

from nav_msgs.msg import Odometry
from tf2_msgs.msg import TFMessage

from da3_ros.core.config import PoseConfig
from da3_ros.ros.bags.bag import BagError, BagReader
from da3_ros.ros.inputs.pose_source import PoseSource
from da3_ros.ros.inputs.tf_buffer import stamp_to_ns
from da3_ros.ros.inputs.time_jump import jump_back

AHEAD_NS = 4_000_000_000
"""How far in recording time: less than the buffer holds, more than any transform is late."""

Recorded = tuple[int, object]
"""Recording time in ns and message."""


class BagPoses:
    """Feeds a `PoseSource` from an open bag that nobody else reads from.

    Raises `BagError` when the bag has no odometry but the parameters want it.
    """

    def __init__(self, bag: BagReader, config: PoseConfig):
        self.source = PoseSource(config)
        self.refused: list[str] = []
        self._bag = bag
        self._coming = self._read(config)
        self._ahead: deque[Recorded] = deque()
        self._held: deque[Recorded] = deque()
        self._stamp_of: dict[str, int] = {}

    def read_until(self, time_ns: int) -> None:
        """Make all poses known that images recorded up to `time_ns` need."""
        while not self._ahead or self._ahead[-1][0] <= time_ns + AHEAD_NS:
            recorded = next(self._coming, None)
            if recorded is None:
                break
            self._ahead.append(recorded)
            self._take_or_hold(recorded)
        while self._ahead and self._ahead[0][0] < time_ns:
            passed = self._ahead.popleft()
            if self._held and self._held[0] is passed:
                self._take(self._held.popleft())

    def start_over(self) -> None:
        """Stamps jumped back: forget the poses from before, keep those read ahead."""
        self.source.clear()
        self._held.clear()
        for recorded in self._ahead:
            self._take(recorded)

    def _take_or_hold(self, recorded: Recorded) -> None:
        """Poses from after a jump back would make the source forget those before it, which
        images still need: they wait until the images jump, or their own time has come.
        """
        stamps = _stamps(recorded[1])
        jumps_back = any(jump_back(self._stamp_of.get(f, 0), stamps[f]) for f in stamps)
        if self._held or jumps_back:
            self._held.append(recorded)
        else:
            self._take(recorded)

    def _take(self, recorded: Recorded) -> None:
        msg = recorded[1]
        self._stamp_of.update(_stamps(msg))
        if isinstance(msg, Odometry):
            refused = self.source.take_odometry(msg)
        else:
            refused = self.source.take_transforms(msg, static=False)
        self.refused += [r.sentence for r in refused]

    def _read(self, config: PoseConfig) -> Iterator[Recorded]:
        if config.source == "none":
            return iter(())
        for _, _, msg in self._bag.messages("/tf_static"):
            refused = self.source.take_transforms(msg, static=True)
            self.refused += [r.sentence for r in refused]
        topics = [topic for topic in self._bag.topics_of(TFMessage) if topic == "/tf"]
        if config.source == "odometry":
            topics.append(self._find_odometry())
        return ((time_ns, msg) for _, time_ns, msg in self._bag.messages(*topics))

    def _find_odometry(self) -> str:
        topics = self._bag.topics_of(Odometry)
        if not topics:
            raise BagError("pose.source is odometry, but the bag has no nav_msgs/Odometry")
        return topics[0]


def _stamps(msg: Odometry | TFMessage) -> dict[str, int]:
    """Of each child frame."""
    stamped = [msg] if isinstance(msg, Odometry) else msg.transforms
    return {m.child_frame_id: stamp_to_ns(m.header.stamp) for m in stamped}
