"""Frames of odometry between the world and a camera.

REP 105: in `odom` a robot drifts but never jumps; in `map` it jumps each time SLAM corrects where
`odom` is. What was seen before and after such a correction goes together in `odom` alone.
"""

from __future__ import annotations

from collections.abc import Mapping

from geometry_msgs.msg import Transform

from da3_ros.ros.bounds import MOST_TRANSFORMS


class OdomFrames:
    """Frames named odom, or robot/odom_something, that something was seen to move in.

    One that holds the robot fixed is a stand-in: SLAM then moves the robot with all of `odom`, and
    these are no corrections.
    """

    def __init__(self):
        self._first: dict[str, tuple[str, Transform]] = {}  # of each child, one: frames are bounded
        self._moved_in: set[str] = set()

    def note(self, parent: str, child: str, transform: Transform) -> None:
        """A transform that is not static."""
        if not _is_odom(parent) or parent in self._moved_in:
            return
        first_parent, first = self._first.setdefault(child, (parent, transform))
        if parent != first_parent:
            self._first[child] = parent, transform
        elif transform != first:
            self._moved_in.add(parent)

    def between(self, frame: str, world: str, parents: Mapping[str, str]) -> str | None:
        """Of those below `world`, the one nearest to a frame on its way up there, that frame itself
        included; None where there is none, or the world is not above. parents: child -> parent.
        """
        found = None
        for _ in range(MOST_TRANSFORMS):
            if frame == world or frame not in parents:
                break
            if found is None and frame in self._moved_in:
                found = frame
            frame = parents[frame]
        return found if frame == world else None


def _is_odom(frame: str) -> bool:
    return frame.rpartition("/")[2].startswith("odom")
