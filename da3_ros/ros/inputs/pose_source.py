"""Where a camera was at its image's stamp: step "locate"."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Hashable
from typing import NamedTuple

import numpy as np
from geometry_msgs.msg import TransformStamped
from nav_msgs.msg import Odometry
from rclpy.serialization import deserialize_message
from tf2_msgs.msg import TFMessage

from da3_ros.core.config import PoseConfig
from da3_ros.core.rig_cameras import MOST_FRAME_IDS
from da3_ros.net.plain_text import plain
from da3_ros.ros.bounds import LARGEST_TF_MESSAGE, MOST_FRAMES, MOST_TRANSFORMS, excess
from da3_ros.ros.health.time_jump import StampVerdict, StreamClock
from da3_ros.ros.inputs.odom_frames import OdomFrames
from da3_ros.ros.inputs.stereo_frames import StereoFrames
from da3_ros.ros.inputs.tf_buffer import (
    BadTransform,
    TransformBuffer,
    TransformUnavailable,
    check_transform,
)
from da3_ros.ros.messages import stamp_to_ns

TWO_PARENTS = "two parents"
"""A cause."""

MOST_NAMED = 20
"""Frames listed in a sentence."""


class Refused(NamedTuple):
    """What was wrong with a message of poses: a cause for the log, and a sentence."""

    cause: Hashable
    sentence: str


class PoseSource:
    """Poses of cameras in the world frame from TF, from odometry, or none at all.

    Odometry is one more edge of the transform tree, interpolated like any other; the same
    edge on /tf is then ignored. now_ns: the node's clock, 0 where there is none. `lookup` may be
    called from any thread, all else from the executor's only. stereo: whose frames those are.
    """

    def __init__(self, config: PoseConfig, now_ns: Callable[[], int] = lambda: 0):
        self._config, self._now_ns = config, now_ns
        self.stereo = StereoFrames()
        self._buffer = TransformBuffer()
        self._odometry_child: str | None = None
        self._clocks: dict[str, StreamClock] = {}  # of each frame that moves
        self._image_ns: int | None = None
        self._frames: set[str] = set()
        self._parent_of: dict[str, str] = {}
        self._located: set[str] = set()
        self._odoms = OdomFrames()
        # By cause, since the start.
        self.missed: Counter[str] = Counter()
        self.refused: Counter[str] = Counter()

    def take_raw_transforms(self, raw: bytes, *, static: bool) -> list[Refused]:
        """Take a serialized tf2_msgs/TFMessage, if it is no larger than any robot's."""
        if excess(TFMessage, raw):
            return self._refuse(
                BadTransform.TOO_LARGE,
                f"a message of transforms has {len(raw) >> 10} kB, must have at most "
                f"{LARGEST_TF_MESSAGE >> 10}: send some hundred at once",
            )
        try:
            msg = deserialize_message(raw, TFMessage)
        except RuntimeError as error:  # RMWError
            return self._refuse(BadTransform.NO_MESSAGE, f"what came is not a TFMessage: {error}")
        return self.take_transforms(msg, static=static)

    def take_transforms(self, msg: TFMessage, *, static: bool) -> list[Refused]:
        """Take a message. Returns what was refused, or jumped: one of each cause."""
        said: dict[Hashable, Refused] = {}
        for transform in msg.transforms:
            if transform.child_frame_id.lstrip("/") == self._odometry_child:
                continue
            for refused in self._insert(transform, static=static):
                said.setdefault(refused.cause, refused)
        return list(said.values())

    def take_odometry(self, msg: Odometry) -> list[Refused]:
        """Take a message. Returns what was refused, or jumped."""
        try:
            said = self._take(odometry_transform(msg), static=False)
        except BadTransform as error:
            return self._refuse(error.cause, str(error))
        self._odometry_child = msg.child_frame_id.lstrip("/")
        # Where TF had its place from other frames until now, odometry takes over.
        return [refused for refused in said if refused.cause != TWO_PARENTS]

    def locate(self, frame_id: str, stamp_ns: int) -> np.ndarray | None:
        """T_world_frame (4, 4); None with source `none`. Raises `TransformUnavailable`."""
        if self._config.source == "none":
            return None
        self._image_ns = stamp_ns
        T_world_frame = self.lookup(self._config.world_frame, frame_id, stamp_ns)
        if len(self._located) < MOST_FRAME_IDS:  # images of others are refused later on
            self._located.add(frame_id.lstrip("/"))
        return T_world_frame

    def correction(self, frame_id: str, stamp_ns: int) -> np.ndarray | None:
        """T_world_odom (4, 4) at a stamp, of the frame of odometry on the way from the world to a
        frame; None where there is none.
        """
        world = self._config.world_frame.lstrip("/")
        odom = self._odoms.between(frame_id.lstrip("/"), world, self._parent_of)
        try:
            return self.lookup(world, odom, stamp_ns) if odom else None
        except TransformUnavailable:
            return None  # the way was another one then

    def explain(self, error: TransformUnavailable) -> str:
        """The error in words; with the frames there are, where one was asked for that is not."""
        if error.cause not in (error.UNKNOWN, error.UNCONNECTED):
            return str(error)
        frames = sorted(self._frames)
        is_without = self._config.source == "odometry" and self._odometry_child is None
        words = f"{error}; no odometry has come yet" if is_without else f"{error}"
        if not frames:
            return words if is_without else f"{words}: no transform has come yet"
        more = f" and {len(frames) - MOST_NAMED} more" if len(frames) > MOST_NAMED else ""
        return f"{words}; there are {', '.join(map(plain, frames[:MOST_NAMED]))}{more}"

    def note_missed(self, cause: str) -> None:
        """Count an image that was given up without a pose."""
        self.missed[cause] += 1

    def known_until_ns(self) -> int | None:
        """Stamp up to which the located frames have poses: of the newest transform on their way
        to the world, of the oldest of these where several move. None where nothing moves.
        """
        frames = set().union(*(self._way_to_world(frame) for frame in self._located))
        newest = (self._clocks[frame].newest_ns for frame in frames & self._clocks.keys())
        return min((stamp_ns for stamp_ns in newest if stamp_ns is not None), default=None)

    def lookup(self, target: str, source: str, stamp_ns: int) -> np.ndarray:
        """T_target_source (4, 4). Raises `TransformUnavailable`."""
        for frame in (target, source):
            if len(self._way_up(frame.lstrip("/"))) > MOST_TRANSFORMS:
                cause = TransformUnavailable.TOO_DEEP
                sentence = (
                    f"there are more than {MOST_TRANSFORMS} transforms above '{plain(frame)}'"
                )
                raise TransformUnavailable(cause, sentence)
        return self._buffer.lookup(target, source, stamp_ns)

    def clear(self) -> None:
        """Forget all but static transforms."""
        self._buffer.clear()
        self._located.clear()
        self._image_ns = None
        self._clocks.clear()

    def _insert(self, transform: TransformStamped, *, static: bool) -> list[Refused]:
        try:
            return self._take(transform, static=static)
        except BadTransform as error:
            return self._refuse(error.cause, str(error))

    def _refuse(self, cause: str, sentence: str) -> list[Refused]:
        self.refused[cause] += 1
        return [Refused(cause, f"{sentence}; it is ignored")]

    def _take(self, transform: TransformStamped, *, static: bool) -> list[Refused]:
        """Into the buffer, if it is of this time."""
        check_transform(transform)
        parent, child = transform.header.frame_id.lstrip("/"), transform.child_frame_id.lstrip("/")
        names = {parent, child}
        if not names <= self._frames and len(self._frames) + 2 > MOST_FRAMES:
            name = f"transform {plain(parent)} -> {plain(child)}"
            sentence = f"{name} would be of more than {MOST_FRAMES} frames"
            raise BadTransform(BadTransform.TOO_MANY, sentence)
        said: list[Refused] = []
        if static:
            self._buffer.insert(transform, static=True)
        else:
            said = self._take_in_time(transform, child)
            self._odoms.note(parent, child, transform.transform)
        self._frames |= names
        before, self._parent_of[child] = self._parent_of.get(child, parent), parent
        return [*said, *self._other_parent(child, before, parent)]

    def _other_parent(self, child: str, before: str, parent: str) -> list[Refused]:
        """Of the frames between cameras and the world: others may be taken up and put down."""
        if before == parent or not any(child in self._way_up(frame) for frame in self._located):
            return []
        sentence = (
            f"the parent of frame '{plain(child)}' was '{plain(before)}' and is '{plain(parent)}' "
            "now: a frame has one; if two programs publish them, end one"
        )
        return [Refused(TWO_PARENTS, sentence)]

    def _take_in_time(self, transform: TransformStamped, child: str) -> list[Refused]:
        stamp_ns = stamp_to_ns(transform.header.stamp)
        clock = self._clocks.setdefault(child, StreamClock(lambda: self._image_ns, self._now_ns))
        verdict, ahead = clock.judge(stamp_ns)
        if verdict is StampVerdict.OTHER_CLOCK:
            raise BadTransform(BadTransform.OTHER_CLOCK, _two_clocks(child, ahead))
        clock.follow(stamp_ns)
        if verdict is StampVerdict.IN_TIME:
            self._buffer.insert(transform, static=False)
            return []
        # A buffer takes nothing that is much older than what it has: it would stay blind until
        # time catches up. Of this frame only: the others may be of another clock.
        self._buffer.replace(transform)
        way = "back" if ahead < 0 else "ahead"
        sentence = f"transforms of '{plain(child)}' jumped {way} by {abs(ahead):.1f} s"
        return [Refused("transforms jumped", f"{sentence}: starting over")]

    def _way_to_world(self, frame: str) -> set[str]:
        """The children of all transforms between a frame and the world."""
        return self._way_up(frame) ^ self._way_up(self._config.world_frame.lstrip("/"))

    def _way_up(self, frame: str) -> set[str]:
        """The frames from this one up to the root of its tree, or the first of too many."""
        way: set[str] = set()
        while frame in self._parent_of and frame not in way and len(way) <= MOST_TRANSFORMS:
            way.add(frame)
            frame = self._parent_of[frame]
        return way


def odometry_transform(msg: Odometry) -> TransformStamped:
    """The edge of the transform tree that the message states."""
    transform = TransformStamped(header=msg.header, child_frame_id=msg.child_frame_id)
    p, t = msg.pose.pose.position, transform.transform.translation
    t.x, t.y, t.z = p.x, p.y, p.z
    transform.transform.rotation = msg.pose.pose.orientation
    return transform


def _two_clocks(child: str, ahead: float) -> str:
    where = f"{abs(ahead):.1f} s {'ahead of' if ahead > 0 else 'behind'} others of this frame"
    return (
        f"transform of '{plain(child)}' is {where}: two programs publish it, with clocks apart; "
        "end one, or synchronise them"
    )
