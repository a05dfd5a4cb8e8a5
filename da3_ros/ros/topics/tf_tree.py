"""Which frame hangs below which, of all transforms that were seen."""

from __future__ import annotations

from collections import deque
from collections.abc import Collection
from dataclasses import dataclass, field

from geometry_msgs.msg import Transform
from tf2_msgs.msg import TFMessage

MOST_NAMED = 8
"""Frames listed in a sentence."""


def is_static(topic: str) -> bool:
    """Whether a topic of transforms holds those that never change: /tf_static, /robot/tf_static."""
    return topic.endswith("tf_static")


@dataclass
class TfTree:
    """Frame names without the leading slash of ROS 1. A sound tree has one parent per frame.

    parents: child -> its parents, in the order they were seen. moving: children of transforms
    that are not static, or that are sent as static ones and change nevertheless.
    """

    parents: dict[str, list[str]] = field(default_factory=dict)
    moving: set[str] = field(default_factory=set)
    _static: dict[tuple[str, str], Transform] = field(default_factory=dict)

    def add(self, msg: TFMessage, *, static: bool) -> bool:
        """Take a message; returns whether it held a connection, or a motion, that was not known
        yet.
        """
        is_new = False
        for transform in msg.transforms:
            child = transform.child_frame_id.lstrip("/")
            parent = transform.header.frame_id.lstrip("/")
            known = self.parents.setdefault(child, [])
            if parent not in known:
                known.append(parent)
                is_new = True
            is_moving = not static or transform.transform != self._static.setdefault(
                (parent, child), transform.transform
            )
            if is_moving and child not in self.moving:
                self.moving.add(child)
                is_new = True
        return is_new

    def moves(self, frame: str, world: str) -> bool:
        """Whether a transform between two connected frames moves, whichever is above."""
        ways = ({f, *self.ancestors(f)} for f in (frame, world))
        return bool(set.symmetric_difference(*ways) & self.moving)

    def ancestors(self, frame: str) -> list[str]:
        """All frames above a frame, the nearest first."""
        found = {frame: None}  # in order; a list would be searched again for each of thousands
        left = deque([frame])
        while left:
            above = [p for p in self.parents.get(left.popleft(), ()) if p not in found]
            found |= dict.fromkeys(above)
            left += above
        return list(found)[1:]

    def connected(self, frame: str) -> set[str]:
        """All frames of the tree that a frame belongs to, itself included."""
        beside: dict[str, set[str]] = {}
        for child, parents in self.parents.items():
            for parent in parents:
                beside.setdefault(child, set()).add(parent)
                beside.setdefault(parent, set()).add(child)
        found = [frame]
        seen = {frame}
        for current in found:
            new = beside.get(current, set()) - seen
            seen |= new
            found += new
        return seen

    @property
    def frames(self) -> set[str]:
        """Every frame."""
        return {*self.parents, *(p for parents in self.parents.values() for p in parents)}

    def why_not(self, frame: str, worlds: Collection[str], wanted: str = "") -> str:
        """Why no fixed frame is above a camera's frame; empty where one is.

        wanted: the only one that will do. Else any of `worlds` will, or one that the camera
        moves in; where nothing moves at all, any.
        """
        if wanted:
            reached = self.connected(frame)
            if wanted in reached:
                return ""
            if wanted not in self.frames:
                there = _list("frames there", self.frames)
                return f"frame '{wanted}' does not exist in TF ({there})"
            return f"'{wanted}' is not connected with '{frame}' ({_list('that is', reached)})"
        ancestors = self.ancestors(frame)
        others = self.frames - self.connected(frame)
        if not ancestors:
            return f"nothing says where '{frame}' is mounted ({_list('frames there', others)})"
        if set(worlds) & {*ancestors} or self.moving & {frame, *ancestors}:
            return ""
        if others and self.moving:
            top = ancestors[-1]
            return f"its way from '{frame}' ends at '{top}' ({_list('not connected', others)})"
        return ""


def _list(what: str, frames: set[str]) -> str:
    names = sorted(frames)
    more = f" and {len(names) - MOST_NAMED} more" if len(names) > MOST_NAMED else ""
    return f"{what}: {', '.join(names[:MOST_NAMED]) or 'none'}{more}"
