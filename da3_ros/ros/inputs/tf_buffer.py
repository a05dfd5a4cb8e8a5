"""Poses out of tf2's buffer: as matrices, or with a sentence why not.

Times are int nanoseconds. Frame names may carry the leading slash of ROS 1; it is dropped.
"""

from __future__ import annotations

import math
import threading
from bisect import bisect_left
from functools import partial

import numpy as np
import tf2_py
from geometry_msgs.msg import TransformStamped
from rclpy.time import Time

from da3_ros.core.poses import FARTHEST, PoseError
from da3_ros.net.plain_text import plain
from da3_ros.ros.bounds import LONGEST_FRAME
from da3_ros.ros.messages import transform_matrix

QUATERNION_TOLERANCE = 0.01
"""Largest |q|^2 - 1 accepted (tf2's rule)."""


class TransformError(Exception):
    """A transform that cannot be had or taken, and why: `cause` in a few words."""

    def __init__(self, cause: str, sentence: str):
        super().__init__(sentence)
        self.cause = cause


class TransformUnavailable(TransformError, LookupError):
    """No transform at that time. `cause` is one of the six below."""

    UNKNOWN = "unknown frame"
    UNCONNECTED = "frames not connected"
    TOO_OLD = "before the oldest transform"
    NOT_YET = "after the newest transform"
    NO_NUMBER = "beyond all numbers"
    TOO_DEEP = "too many transforms on the way"

    @property
    def may_come(self) -> bool:
        """Whether waiting can help."""
        return self.cause not in (self.TOO_OLD, self.NO_NUMBER, self.TOO_DEEP)


class BadTransform(TransformError, ValueError):
    """A transform message that tf2 would refuse, or no robot sends. `cause` is one of these."""

    NO_NAME = "no frame name"
    OWN_PARENT = "its own parent"
    NOT_FINITE = "NaN or infinity"
    NO_ROTATION = "no rotation"
    TOO_FAR = "too far away"
    TOO_LONG = "name too long"
    TOO_MANY = "too many frames"
    OTHER_CLOCK = "from another clock"
    TOO_LARGE = "message too large"
    NO_MESSAGE = "no message"


def is_same_frame(a: str, b: str) -> bool:
    """Whether two names mean one frame: a leading slash, of ROS 1, means nothing."""
    return a.lstrip("/") == b.lstrip("/")


def check_transform(msg: TransformStamped) -> None:
    """Raise `BadTransform` for a TransformStamped that would poison every lookup through it."""
    parent, child = msg.header.frame_id.lstrip("/"), msg.child_frame_id.lstrip("/")
    name = f"transform {plain(parent) or '(no name)'} -> {plain(child) or '(no name)'}"
    if not parent or not child:
        raise BadTransform(BadTransform.NO_NAME, f"{name} lacks a frame name")
    if parent == child:
        raise BadTransform(BadTransform.OWN_PARENT, f"{name} makes the frame its own parent")
    if max(len(parent), len(child)) > LONGEST_FRAME:
        sentence = f"{name} has a name of more than {LONGEST_FRAME} characters"
        raise BadTransform(BadTransform.TOO_LONG, sentence)
    _check_numbers(msg, name)


def _check_numbers(msg: TransformStamped, name: str) -> None:
    t, q = msg.transform.translation, msg.transform.rotation
    numbers = (t.x, t.y, t.z, q.x, q.y, q.z, q.w)
    if not all(map(math.isfinite, numbers)):
        raise BadTransform(BadTransform.NOT_FINITE, f"{name} contains NaN or infinity")
    square = q.x * q.x + q.y * q.y + q.z * q.z + q.w * q.w
    if abs(square - 1.0) > QUATERNION_TOLERANCE:
        sentence = f"{name} has a quaternion of length {math.sqrt(square):.3g}, must be 1"
        raise BadTransform(BadTransform.NO_ROTATION, sentence)
    if (farthest := max(map(abs, numbers[:3]))) > FARTHEST:
        sentence = f"{name} is {farthest:.3g} m long, must be within {FARTHEST:g} m"
        raise BadTransform(BadTransform.TOO_FAR, sentence)


class TransformBuffer:
    """tf2's buffer: the tree of frames, each with its parent over the last ten seconds."""

    def __init__(self):
        self._buffer = tf2_py.BufferCore()
        self._lock = threading.Lock()  # services look up while transforms come in

    def insert(self, msg: TransformStamped, *, static: bool) -> None:
        """Take one TransformStamped. Raises `BadTransform` and then keeps what it had."""
        check_transform(msg)
        add = self._buffer.set_transform_static if static else self._buffer.set_transform
        with self._lock:
            add(msg, "da3_ros")

    def replace(self, msg: TransformStamped) -> None:
        """Take one that moves, and forget all others of its frame. Raises `BadTransform`."""
        check_transform(msg)
        with self._lock:
            # The last one decides whether a frame moves: tf2 then begins its history anew.
            self._buffer.set_transform_static(msg, "da3_ros")
            self._buffer.set_transform(msg, "da3_ros")

    def clear(self) -> None:
        """Forget all but static transforms: those are sent only once."""
        with self._lock:
            self._buffer.clear()

    def lookup(self, target: str, source: str, stamp_ns: int) -> np.ndarray:
        """T_target_source at `stamp_ns`, 0 for the newest: (4, 4), interpolated between the
        transforms around it.

        Raises `TransformUnavailable`; never extrapolates.
        """
        target, source = target.lstrip("/"), source.lstrip("/")
        with self._lock:
            try:
                found = self._buffer.lookup_transform_core(target, source, _time(stamp_ns))
            except tf2_py.TransformException as error:
                raise self._unavailable(error, target, source, stamp_ns) from error
        try:
            return transform_matrix(found.transform)
        except PoseError as error:
            sentence = f"the transforms from '{plain(source)}' to '{plain(target)}': {error}"
            raise TransformUnavailable(TransformUnavailable.NO_NUMBER, sentence) from error

    def _unavailable(
        self, error: tf2_py.TransformException, target: str, source: str, stamp_ns: int
    ) -> TransformUnavailable:
        """tf2's exception as ours, without reading its text: that differs between releases."""
        for frame in (target, source):
            if not self._knows(frame):
                return unknown(frame)
        if isinstance(error, tf2_py.ExtrapolationException):
            return self._outside(target, source, stamp_ns)
        return unconnected(target, source)

    def _knows(self, frame: str) -> bool:
        try:
            self._buffer.get_latest_common_time(frame, frame)
        except tf2_py.TransformException:
            return False
        return True

    def _outside(self, target: str, source: str, stamp_ns: int) -> TransformUnavailable:
        try:
            newest_ns = self._buffer.get_latest_common_time(target, source).nanoseconds
        except tf2_py.TransformException:  # the names are known, the transforms were forgotten
            return unconnected(target, source)
        name = f"transform {plain(target)} -> {plain(source)}"
        is_later = stamp_ns > newest_ns
        cause = TransformUnavailable.NOT_YET if is_later else TransformUnavailable.TOO_OLD
        if not self._is_known(target, source, newest_ns):  # tf2 passes over stamps of 0
            sentence = (
                f"{name} is not known at the image's stamp: the transforms between them have no "
                "stamps in common near it; one that never moves belongs on /tf_static"
            )
        elif is_later:
            seconds = (stamp_ns - newest_ns) / 1e9
            sentence = f"{name} is known only up to {seconds:.3f} s before the image"
        else:
            seconds = (self._oldest_ns(target, source, stamp_ns, newest_ns) - stamp_ns) / 1e9
            sentence = f"{name} is known only from {seconds:.3f} s after the image on"
        return TransformUnavailable(cause, sentence)

    def _is_known(self, target: str, source: str, stamp_ns: int) -> bool:
        return self._buffer.can_transform_core(target, source, _time(stamp_ns))[0]

    def _oldest_ns(self, target: str, source: str, since_ns: int, newest_ns: int) -> int:
        """First time after `since_ns` at which the transform is known; tf2 tells only the last."""
        known = partial(self._is_known, target, source)
        return bisect_left(range(newest_ns), True, lo=since_ns, key=known)


def _time(stamp_ns: int) -> Time:
    return Time(nanoseconds=stamp_ns)


def unknown(frame: str) -> TransformUnavailable:
    """The error of a frame that no transform names."""
    sentence = f"frame '{plain(frame)}' does not exist in TF"
    return TransformUnavailable(TransformUnavailable.UNKNOWN, sentence)


def unconnected(target: str, source: str) -> TransformUnavailable:
    """The error of two frames of different trees."""
    sentence = f"no chain of transforms connects '{plain(target)}' and '{plain(source)}'"
    return TransformUnavailable(TransformUnavailable.UNCONNECTED, sentence)
