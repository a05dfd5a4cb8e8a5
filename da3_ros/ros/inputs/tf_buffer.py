"""A transform buffer with tf2's rules, and the adapter to tf2's own where it is installed.

Both take geometry_msgs/TransformStamped and answer `lookup` with a matrix or with
`TransformUnavailable`. Times are int nanoseconds. Frame names may carry the leading
slash of ROS 1; it is dropped.
"""

from __future__ import annotations

import math
import re
import threading
from bisect import bisect_left, bisect_right
from dataclasses import dataclass, field

import numpy as np
from rclpy.time import Time

from da3_ros.core import poses
from da3_ros.ros import stand_ins

CACHE_NS = 10_000_000_000
"""How long transforms are kept (tf2's default)."""

QUATERNION_TOLERANCE = 0.01
"""Largest |q|^2 - 1 accepted (tf2's rule)."""


class TransformError(Exception):
    """A transform that cannot be had or taken, and why: `cause` in a few words."""

    def __init__(self, cause: str, sentence: str):
        super().__init__(sentence)
        self.cause = cause


class TransformUnavailable(TransformError, LookupError):
    """No transform at that time. `cause` is one of the four below."""

    UNKNOWN = "unknown frame"
    UNCONNECTED = "frames not connected"
    TOO_OLD = "before the oldest transform"
    NOT_YET = "after the newest transform"

    @property
    def may_come(self) -> bool:
        """Whether waiting can help."""
        return self.cause != self.TOO_OLD


class BadTransform(TransformError, ValueError):
    """A transform message that tf2 would refuse. `cause` is one of the four below."""

    NO_NAME = "no frame name"
    OWN_PARENT = "its own parent"
    NOT_FINITE = "NaN or infinity"
    NO_ROTATION = "no rotation"


def stamp_to_ns(stamp) -> int:
    """builtin_interfaces/Time to int nanoseconds."""
    return stamp.sec * 1_000_000_000 + stamp.nanosec


def check_transform(msg) -> None:
    """Raise `BadTransform` for a TransformStamped that would poison every lookup through it."""
    parent, child = msg.header.frame_id.lstrip("/"), msg.child_frame_id.lstrip("/")
    name = f"transform {parent or '(no name)'} -> {child or '(no name)'}"
    if not parent or not child:
        raise BadTransform(BadTransform.NO_NAME, f"{name} lacks a frame name")
    if parent == child:
        raise BadTransform(BadTransform.OWN_PARENT, f"{name} makes the frame its own parent")
    t, q = msg.transform.translation, msg.transform.rotation
    numbers = (t.x, t.y, t.z, q.x, q.y, q.z, q.w)
    if not all(map(math.isfinite, numbers)):
        raise BadTransform(BadTransform.NOT_FINITE, f"{name} contains NaN or infinity")
    square = q.x * q.x + q.y * q.y + q.z * q.z + q.w * q.w
    if abs(square - 1.0) > QUATERNION_TOLERANCE:
        sentence = f"{name} has a quaternion of length {math.sqrt(square):.3g}, must be 1"
        raise BadTransform(BadTransform.NO_ROTATION, sentence)


@dataclass(order=True, slots=True)
class _Sample:
    """One transform, kept as plain numbers: most are never looked up."""

    stamp_ns: int
    parent: str = field(compare=False)
    translation: tuple[float, float, float] = field(compare=False)
    quat_xyzw: tuple[float, float, float, float] = field(compare=False)

    @property
    def T_parent_child(self) -> np.ndarray:
        return poses.from_quat_xyzw(self.quat_xyzw, self.translation)


class TransformBuffer:
    """Our own buffer: the tree of frames, each with its parent over the last ten seconds."""

    def __init__(self):
        self._lock = threading.Lock()  # services look up while transforms come in
        self._samples: dict[str, list[_Sample]] = {}
        self._static: dict[str, _Sample] = {}

    def insert(self, msg, *, static: bool) -> None:
        """Take one TransformStamped. Raises `BadTransform` and then keeps what it had."""
        check_transform(msg)
        child = msg.child_frame_id.lstrip("/")
        sample = _sample_of(msg)
        with self._lock:
            if static:
                self._static[child] = sample
            else:
                self._insert(child, sample)

    def _insert(self, child: str, sample: _Sample) -> None:
        samples = self._samples.setdefault(child, [])
        if samples and sample.stamp_ns < samples[-1].stamp_ns - CACHE_NS:
            return
        index = bisect_left(samples, sample)
        # Of two transforms of one time the later one counts.
        is_known = index < len(samples) and samples[index].stamp_ns == sample.stamp_ns
        samples[index : index + is_known] = [sample]
        oldest = samples[-1].stamp_ns - CACHE_NS
        if samples[0].stamp_ns < oldest:
            del samples[: bisect_left(samples, oldest, key=lambda s: s.stamp_ns)]

    def clear(self) -> None:
        """Forget all but static transforms: those are sent only once."""
        with self._lock:
            self._samples.clear()

    def lookup(self, target: str, source: str, stamp_ns: int) -> np.ndarray:
        """T_target_source at `stamp_ns`: (4, 4), interpolated between the samples around it.

        Raises `TransformUnavailable`; never extrapolates.
        """
        with self._lock:
            return self._lookup(target.lstrip("/"), source.lstrip("/"), stamp_ns)

    def _lookup(self, target: str, source: str, stamp_ns: int) -> np.ndarray:
        self._require_known(target)
        self._require_known(source)
        up, end = self._chain(source, target, stamp_ns)
        if target in up:
            return up[target]
        down, other_end = self._chain(target, source, stamp_ns)
        common = next((frame for frame in up if frame in down), None)
        if common is None:
            raise end or other_end or _unconnected(target, source)
        return poses.inverse(down[common]) @ up[common]

    def _chain(self, frame: str, stop: str, stamp_ns: int):
        """T_ancestor_frame of `frame` and its ancestors, and why the chain ended early, if so.

        It ends at `stop`, at the root, or where a transform is missing at that time: the
        other frame may be reached below that.
        """
        T = np.eye(4)
        chain = {frame: T}
        while frame != stop:
            try:
                sample = self._sample_at(frame, stamp_ns)
            except TransformUnavailable as error:
                return chain, error
            if sample is None or sample.parent in chain:
                break
            T = sample.T_parent_child @ T
            frame = sample.parent
            chain[frame] = T
        return chain, None

    def _sample_at(self, child: str, stamp_ns: int) -> _Sample | None:
        static = self._static.get(child)
        if static is not None:
            return static
        samples = self._samples.get(child)
        if not samples:
            return None
        after = bisect_right(samples, stamp_ns, key=lambda s: s.stamp_ns)
        if after > 0 and samples[after - 1].stamp_ns == stamp_ns:
            return samples[after - 1]
        if after in (0, len(samples)):
            nearest = samples[after - 1 if after else 0]
            raise _outside(f"transform {nearest.parent} -> {child}", stamp_ns - nearest.stamp_ns)
        return _between(samples[after - 1], samples[after], stamp_ns)

    def _require_known(self, frame: str) -> None:
        if frame in self._static or self._samples.get(frame):
            return
        everything = [*self._static.values(), *(s[-1] for s in self._samples.values() if s)]
        if not any(sample.parent == frame for sample in everything):
            raise _unknown(frame)


def _sample_of(msg) -> _Sample:
    t, q = msg.transform.translation, msg.transform.rotation
    parent = msg.header.frame_id.lstrip("/")
    return _Sample(stamp_to_ns(msg.header.stamp), parent, (t.x, t.y, t.z), (q.x, q.y, q.z, q.w))


def _between(before: _Sample, after: _Sample, stamp_ns: int) -> _Sample:
    if before.parent != after.parent:
        # A frame that changes its parent keeps the old one until the new one is stated.
        return before
    fraction = (stamp_ns - before.stamp_ns) / (after.stamp_ns - before.stamp_ns)
    pairs = zip(before.translation, after.translation)
    translation = tuple(a + (b - a) * fraction for a, b in pairs)
    quat_xyzw = _slerp(before.quat_xyzw, after.quat_xyzw, fraction)
    return _Sample(stamp_ns, before.parent, translation, quat_xyzw)


def _slerp(a: tuple, b: tuple, fraction: float) -> tuple:
    """`poses.interpolate` for quaternions as plain numbers: ten times faster on single ones."""
    cosine = sum(x * y for x, y in zip(a, b))
    sign = -1.0 if cosine < 0 else 1.0
    angle = math.acos(min(abs(cosine), 1.0))
    if angle < 1e-6:
        weight_a, weight_b = 1 - fraction, fraction
    else:
        weight_a = math.sin((1 - fraction) * angle) / math.sin(angle)
        weight_b = math.sin(fraction * angle) / math.sin(angle)
    return tuple(weight_a * x + sign * weight_b * y for x, y in zip(a, b))


def _unknown(frame: str) -> TransformUnavailable:
    sentence = f"frame '{frame}' does not exist in TF"
    return TransformUnavailable(TransformUnavailable.UNKNOWN, sentence)


def _unconnected(target: str, source: str) -> TransformUnavailable:
    sentence = f"no chain of transforms connects '{target}' and '{source}'"
    return TransformUnavailable(TransformUnavailable.UNCONNECTED, sentence)


def _outside(edge: str, late_ns: int) -> TransformUnavailable:
    """late_ns: time wanted after the newest transform, or negative, before the oldest."""
    seconds = f"{abs(late_ns) / 1e9:.3f} s"
    if late_ns > 0:
        sentence = f"{edge} is known only up to {seconds} before the image"
        return TransformUnavailable(TransformUnavailable.NOT_YET, sentence)
    sentence = f"{edge} is known only from {seconds} after the image on"
    return TransformUnavailable(TransformUnavailable.TOO_OLD, sentence)


class Tf2Buffer:
    """tf2's own buffer behind the same three methods."""

    def __init__(self):
        self._buffer = stand_ins.tf2_py.BufferCore()

    def insert(self, msg, *, static: bool) -> None:
        """Take one TransformStamped. Raises `BadTransform` and then keeps what it had."""
        check_transform(msg)
        add = self._buffer.set_transform_static if static else self._buffer.set_transform
        add(msg, "da3_ros")

    def clear(self) -> None:
        """Forget all but static transforms."""
        self._buffer.clear()

    def lookup(self, target: str, source: str, stamp_ns: int) -> np.ndarray:
        """T_target_source at `stamp_ns`: (4, 4). Raises `TransformUnavailable`."""
        target, source = target.lstrip("/"), source.lstrip("/")
        try:
            msg = self._buffer.lookup_transform_core(target, source, Time(nanoseconds=stamp_ns))
        except stand_ins.tf2_py.TransformException as error:
            raise _translate(error, target, source) from error
        return _sample_of(msg).T_parent_child


def _translate(error: Exception, target: str, source: str) -> TransformUnavailable:
    """tf2's exception as ours; which side of the data the time is on is only in its text."""
    if isinstance(error, stand_ins.tf2_py.LookupException):
        missing = re.search(f'"({re.escape(target)}|{re.escape(source)})"', str(error))
        return _unknown(missing[1] if missing else source)
    if isinstance(error, stand_ins.tf2_py.ConnectivityException):
        return _unconnected(target, source)
    times = [float(t) for t in re.findall(r"time (\d+\.\d+)", str(error))]
    if len(times) != 2:  # a name that is none, for example
        return TransformUnavailable(TransformUnavailable.UNKNOWN, str(error))
    wanted, known = times
    late_ns = round((wanted - known) * 1e9)
    if "future" in str(error):  # its times are rounded
        late_ns = max(late_ns, 1)
    return _outside(f"transform {target} -> {source}", late_ns)


def create_buffer() -> TransformBuffer | Tf2Buffer:
    """The buffer to use on this machine."""
    return TransformBuffer() if stand_ins.tf2_py is None else Tf2Buffer()
