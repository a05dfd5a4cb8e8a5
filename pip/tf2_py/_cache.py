"""The transforms of one child frame: one for all times, or those of the last seconds."""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from dataclasses import dataclass

from tf2_py._exceptions import ExtrapolationException
from tf2_py._quaternions import Quaternion, Vector, slerp


@dataclass(frozen=True, slots=True)
class Sample:
    """p_parent = rotate(rotation, p_child) + translation; rotation as (x, y, z, w), of length 1."""

    stamp_ns: int
    parent: str
    translation: Vector
    rotation: Quaternion


class StaticCache:
    """One transform, for all times."""

    def __init__(self):
        self.newest: Sample | None = None

    def insert(self, sample: Sample) -> None:
        self.newest = Sample(0, sample.parent, sample.translation, sample.rotation)

    def at(self, stamp_ns: int) -> Sample:
        return self.newest

    def clear(self) -> None:
        """Static transforms are sent once only, and stay."""


class TimeCache:
    """The transforms of one child frame over the last seconds, in order of time."""

    def __init__(self, cache_ns: int):
        self._cache_ns = cache_ns
        self._samples: list[Sample] = []

    @property
    def newest(self) -> Sample | None:
        return self._samples[-1] if self._samples else None

    def insert(self, sample: Sample) -> None:
        samples = self._samples
        if samples and sample.stamp_ns < samples[-1].stamp_ns - self._cache_ns:
            return
        index = bisect_left(samples, sample.stamp_ns, key=_stamp)
        # Of two transforms of one time the later one counts.
        is_known = index < len(samples) and samples[index].stamp_ns == sample.stamp_ns
        samples[index : index + is_known] = [sample]
        oldest_ns = samples[-1].stamp_ns - self._cache_ns
        if samples[0].stamp_ns < oldest_ns:
            del samples[: bisect_left(samples, oldest_ns, key=_stamp)]

    def at(self, stamp_ns: int) -> Sample:
        samples = self._samples
        if samples and stamp_ns == 0:
            return samples[-1]
        after = bisect_right(samples, stamp_ns, key=_stamp)
        if after > 0 and samples[after - 1].stamp_ns == stamp_ns:
            return samples[after - 1]
        if 0 < after < len(samples):
            return _between(samples[after - 1], samples[after], stamp_ns)
        known = f"from {samples[0].stamp_ns} to {samples[-1].stamp_ns} ns" if samples else "nowhere"
        raise ExtrapolationException(
            f"Lookup would require extrapolation: wanted {stamp_ns} ns, known {known}"
        )

    def clear(self) -> None:
        self._samples.clear()


def _stamp(sample: Sample) -> int:
    return sample.stamp_ns


def _between(before: Sample, after: Sample, stamp_ns: int) -> Sample:
    if before.parent != after.parent:
        # A frame that changes its parent keeps the old one until the new one is stated.
        return before
    share = (stamp_ns - before.stamp_ns) / (after.stamp_ns - before.stamp_ns)
    pairs = zip(before.translation, after.translation, strict=True)
    translation = tuple(a + (b - a) * share for a, b in pairs)
    rotation = slerp(before.rotation, after.rotation, share)
    return Sample(stamp_ns, before.parent, translation, rotation)
