"""Transforms of one frame in a bag, and those around the stamp of an image."""

from __future__ import annotations

from bisect import bisect_left, bisect_right, insort
from collections.abc import Callable
from dataclasses import dataclass

from geometry_msgs.msg import TransformStamped

CACHE_NS = 10_000_000_000
"""How far apart tf2 interpolates: as long as it keeps transforms, by default."""

SAME_CLOCK_NS = 1_000_000_000
"""Stamps whose distance from the recording time differs by less are of one clock."""


@dataclass(frozen=True, slots=True)
class Sample:
    """A transform with its stamp and the time when it was recorded."""

    stamp_ns: int
    time_ns: int
    transform: TransformStamped


class Track:
    """Transforms of one child frame that were recorded around the time of reading."""

    def __init__(self):
        self._samples: list[Sample] = []

    @property
    def times(self) -> list[tuple[int, int]]:
        """Of each sample its stamp and when it was recorded."""
        return [(s.stamp_ns, s.time_ns) for s in self._samples]

    def add(self, sample: Sample) -> None:
        """One more, wherever its stamp belongs."""
        insort(self._samples, sample, key=_stamp)

    def remove(self, sample: Sample) -> None:
        """One that was added."""
        at = bisect_left(self._samples, sample.stamp_ns, key=_stamp)
        del self._samples[self._samples.index(sample, at)]

    def around(self, time_ns: int, stamp_ns: int) -> list[Sample]:
        """The samples just before and after the stamp of an image recorded at `time_ns`, or the
        one of exactly this stamp; only the nearest where nothing can be interpolated.

        Those of the image's own clock go first: samples with a wrong stamp, or from before a
        jump in time, are of another.
        """
        at = bisect_right(self._samples, stamp_ns, key=_stamp)
        before, after = self._samples[at - 1 : at], self._samples[at : at + 1]
        for is_own in (_of_clock(time_ns - stamp_ns), lambda sample: True):
            first = self._walk(range(at - 1, -1, -1), stamp_ns, is_own)
            last = self._walk(range(at, len(self._samples)), stamp_ns, is_own)
            if first and first.stamp_ns == stamp_ns:
                return [first]
            if first and last and last.stamp_ns - first.stamp_ns <= CACHE_NS:
                return [first, last]
        return sorted(before + after, key=lambda s: abs(s.stamp_ns - stamp_ns))[:1]

    def _walk(
        self, indices: range, stamp_ns: int, is_own: Callable[[Sample], bool]
    ) -> Sample | None:
        """The first sample of one clock, not farther away than a buffer remembers."""
        for sample in map(self._samples.__getitem__, indices):
            if abs(sample.stamp_ns - stamp_ns) > CACHE_NS:
                return None
            if is_own(sample):
                return sample
        return None


def _of_clock(offset_ns: int) -> Callable[[Sample], bool]:
    return lambda sample: abs(sample.time_ns - sample.stamp_ns - offset_ns) < SAME_CLOCK_NS


def _stamp(sample: Sample) -> int:
    return sample.stamp_ns
