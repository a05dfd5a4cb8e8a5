"""The part of ROS 2's tf2_py that da3_ros uses, for environments of pip: it has none.

Names, arguments, rules and exceptions are those of tf2_py in ros2/geometry2. Times are whatever
has `nanoseconds`, or `sec` and `nanosec`; time 0 asks for the newest transform.
"""

from __future__ import annotations

import math
import threading

from builtin_interfaces.msg import Time as TimeMessage
from geometry_msgs.msg import TransformStamped
from rclpy.duration import Duration
from rclpy.logging import get_logger
from rclpy.time import Time

from tf2_py._cache import Sample, StaticCache, TimeCache
from tf2_py._exceptions import (
    ConnectivityException,
    ExtrapolationException,
    InvalidArgumentException,
    LookupException,
    TimeoutException,
    TransformException,
)
from tf2_py._quaternions import inverse, normalised, product

__all__ = [
    "BufferCore",
    "ConnectivityException",
    "ExtrapolationException",
    "InvalidArgumentException",
    "LookupException",
    "TimeoutException",
    "TransformException",
]

IDENTITY = (0.0, 0.0, 0.0), (0.0, 0.0, 0.0, 1.0)
"""Translation and rotation of no movement."""

QUATERNION_TOLERANCE = 0.01
"""Largest |q|^2 - 1 accepted."""


class BufferCore:
    """The tree of frames, each with its parent over the last seconds.

    A child frame is static or moves, as its last transform said. Every method may be called
    from any thread.
    """

    def __init__(self, cache_time: Duration | None = None):
        self._cache_ns = (cache_time or Duration(seconds=10)).nanoseconds
        self._lock = threading.Lock()
        self._frames: set[str] = set()
        self._caches: dict[str, StaticCache | TimeCache] = {}

    def set_transform(self, transform: TransformStamped, authority: str) -> None:
        """Take a transform that holds at its stamp; a bad one is logged and ignored."""
        self._set(transform, authority, static=False)

    def set_transform_static(self, transform: TransformStamped, authority: str) -> None:
        """Take a transform that holds at all times; a bad one is logged and ignored."""
        self._set(transform, authority, static=True)

    def lookup_transform_core(self, target_frame: str, source_frame: str, time) -> TransformStamped:
        """The transform that takes points from the source frame to the target frame.

        Raises `LookupException`, `ConnectivityException`, `ExtrapolationException`,
        `InvalidArgumentException`.
        """
        with self._lock:
            found = self._lookup(target_frame, source_frame, _nanoseconds(time))
        return _message(found, source_frame)

    def can_transform_core(self, target_frame: str, source_frame: str, time) -> tuple[bool, str]:
        """Whether `lookup_transform_core` would answer, and if not, why."""
        try:
            self.lookup_transform_core(target_frame, source_frame, time)
        except TransformException as error:
            return False, str(error)
        return True, ""

    def get_latest_common_time(self, target_frame: str, source_frame: str) -> Time:
        """The newest time at which all transforms between the frames are known; 0 if all of
        them are static. Raises `TransformException` where none connect them.
        """
        with self._lock:
            self._validate(target_frame)
            self._validate(source_frame)
            return Time(nanoseconds=self._latest_common(target_frame, source_frame))

    def clear(self) -> None:
        """Forget all but static transforms; the names of the frames stay known."""
        with self._lock:
            for cache in self._caches.values():
                cache.clear()

    def _set(self, transform: TransformStamped, authority: str, *, static: bool) -> None:
        child, sample = transform.child_frame_id.removeprefix("/"), _sample_of(transform)
        if refusal := _refusal(child, sample, transform.transform.rotation):
            get_logger("tf2_py").error(f"transform of '{child}' by {authority} ignored: {refusal}")
            return
        kind = StaticCache if static else TimeCache
        with self._lock:
            self._frames |= {child, sample.parent}
            if not isinstance(self._caches.get(child), kind):
                self._caches[child] = StaticCache() if static else TimeCache(self._cache_ns)
            self._caches[child].insert(sample)

    def _validate(self, frame: str) -> None:
        if not frame or frame.startswith("/"):
            raise InvalidArgumentException(f'frame name "{frame}" is empty or starts with a slash')
        if frame not in self._frames:
            raise LookupException(f'frame "{frame}" does not exist')

    def _lookup(self, target: str, source: str, stamp_ns: int) -> Sample:
        if target == source:
            newest = self._caches[target].newest if target in self._caches else None
            return Sample(stamp_ns or (newest.stamp_ns if newest else 0), target, *IDENTITY)
        self._validate(target)
        self._validate(source)
        stamp_ns = stamp_ns or self._latest_common(target, source)
        up, ended = self._climb(source, target, stamp_ns)
        if target in up:
            return Sample(stamp_ns, target, *up[target])
        top = next(reversed(up))
        down, down_ended = self._climb(target, top, stamp_ns)
        if top not in down:
            raise down_ended or ended or _unconnected(target, source)
        return Sample(stamp_ns, target, *product(inverse(down[top]), up[top]))

    def _climb(self, frame: str, stop: str, stamp_ns: int):
        """Translation and rotation from `frame` to itself and each of its ancestors, and why
        the climb ended below the root, if so. It ends at `stop`, too.
        """
        pose = IDENTITY
        reached = {frame: pose}
        while frame != stop and frame in self._caches:
            try:
                sample = self._caches[frame].at(stamp_ns)
            except ExtrapolationException as error:
                return reached, error
            pose = product((sample.translation, sample.rotation), pose)
            frame = sample.parent
            if frame in reached:
                raise LookupException("the transforms form a loop")
            reached[frame] = pose
        return reached, None

    def _latest_common(self, target: str, source: str) -> int:
        up = self._newest_above(source)
        down = self._newest_above(target)
        common = next((frame for frame in up if frame in down), None)
        if common is None:
            raise _unconnected(target, source)
        latest = min(up[common], down[common])
        return 0 if latest == math.inf else latest

    def _newest_above(self, frame: str) -> dict[str, float]:
        """For the frame and each of its ancestors: up to when it is known where that one is."""
        latest = math.inf
        reached = {frame: latest}
        while (cache := self._caches.get(frame)) and (newest := cache.newest):
            latest = min(latest, newest.stamp_ns or math.inf)
            frame = newest.parent
            if frame in reached:
                raise LookupException("the transforms form a loop")
            reached[frame] = latest
        return reached


def _nanoseconds(time) -> int:
    if hasattr(time, "nanoseconds"):
        return time.nanoseconds
    return time.sec * 1_000_000_000 + time.nanosec


def _unconnected(target: str, source: str) -> ConnectivityException:
    return ConnectivityException(f"no transforms connect '{target}' and '{source}'")


def _sample_of(msg: TransformStamped) -> Sample:
    t, q = msg.transform.translation, msg.transform.rotation
    rotation = normalised((q.x, q.y, q.z, q.w))
    parent = msg.header.frame_id.removeprefix("/")
    return Sample(_nanoseconds(msg.header.stamp), parent, (t.x, t.y, t.z), rotation)


def _refusal(child: str, sample: Sample, q) -> str | None:
    """Why tf2 takes no such transform."""
    if not child or not sample.parent:
        return "a frame name is empty"
    if child == sample.parent:
        return "the frame is its own parent"
    if any(map(math.isnan, (*sample.translation, q.x, q.y, q.z, q.w))):
        return "it contains NaN"
    square = q.x * q.x + q.y * q.y + q.z * q.z + q.w * q.w
    return None if abs(square - 1.0) < QUATERNION_TOLERANCE else "its quaternion is not of length 1"


def _message(found: Sample, child: str) -> TransformStamped:
    msg = TransformStamped(child_frame_id=child)
    msg.header.frame_id = found.parent
    sec, nanosec = divmod(found.stamp_ns, 1_000_000_000)
    msg.header.stamp = TimeMessage(sec=sec, nanosec=nanosec)
    t, q = msg.transform.translation, msg.transform.rotation
    t.x, t.y, t.z = found.translation
    q.x, q.y, q.z, q.w = found.rotation
    return msg
