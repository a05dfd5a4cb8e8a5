"""Poses of a bag, known before the images that need them.

The node's buffer would not do: it forgets what is ten seconds older than the newest stamp, so
that one stamp in the far future, a pause or a step of the clock empties it. A bag knows what
comes later: each image takes, of every frame, the two transforms around its stamp.
"""

from __future__ import annotations

import itertools
from bisect import bisect_left, bisect_right, insort
from collections import deque
from collections.abc import Callable, Collection, Iterator
from dataclasses import dataclass

import numpy as np
from geometry_msgs.msg import TransformStamped
from nav_msgs.msg import Odometry
from tf2_msgs.msg import TFMessage

from da3_ros.core.config import PoseConfig
from da3_ros.ros.bags.bag import BagError, BagReader, Span
from da3_ros.ros.inputs.pose_source import odometry_transform
from da3_ros.ros.inputs.tf_buffer import (
    BadTransform,
    TransformBuffer,
    TransformUnavailable,
    check_transform,
)
from da3_ros.ros.messages import stamp_to_ns
from da3_ros.ros.topics.message_source import chosen_topic
from da3_ros.ros.topics.tf_tree import is_static

AHEAD_NS = 4_000_000_000
"""How far transforms are read ahead, in recording time: more than most are late."""

CACHE_NS = 10_000_000_000
"""How far apart tf2 interpolates: as long as it keeps transforms, by default."""

MOST_REFUSED = 20
"""Sentences on invalid transforms: whoever makes them up has a new name for each."""

SAME_CLOCK_NS = 1_000_000_000
"""Stamps whose distance from the recording time differs by less are of one clock."""


@dataclass(frozen=True, slots=True)
class _Sample:
    """A transform with its stamp and the time when it was recorded."""

    stamp_ns: int
    time_ns: int
    transform: TransformStamped


class _Track:
    """Transforms of one child frame that were recorded around the time of reading."""

    def __init__(self):
        self._samples: list[_Sample] = []

    @property
    def times(self) -> list[tuple[int, int]]:
        """Of each sample its stamp and when it was recorded."""
        return [(s.stamp_ns, s.time_ns) for s in self._samples]

    def add(self, sample: _Sample) -> None:
        insort(self._samples, sample, key=_stamp)

    def remove(self, sample: _Sample) -> None:
        at = bisect_left(self._samples, sample.stamp_ns, key=_stamp)
        del self._samples[self._samples.index(sample, at)]

    def around(self, time_ns: int, stamp_ns: int) -> list[_Sample]:
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
        self, indices: range, stamp_ns: int, is_own: Callable[[_Sample], bool]
    ) -> _Sample | None:
        """The first sample of one clock, not farther away than a buffer remembers."""
        for sample in map(self._samples.__getitem__, indices):
            if abs(sample.stamp_ns - stamp_ns) > CACHE_NS:
                return None
            if is_own(sample):
                return sample
        return None


class BagPoses:
    """Poses of images from an open bag that nobody else reads from; answers as a `PoseSource`.

    topics: of transforms, those of static ones included. odometry: topic, or the only one there.
    ahead_ns: how late after its image, in recording time, a transform may have come. start_ns: of
    the first image that will be asked for; None: the bag's first. refused: sentences on invalid
    transforms, as keys, not many.

    Raises `TopicError` when the parameters want odometry and the bag has none, or several.
    """

    def __init__(
        self,
        bag: BagReader,
        config: PoseConfig,
        topics: Collection[str] = ("/tf", "/tf_static"),
        *,
        odometry: str = "",
        ahead_ns: int = AHEAD_NS,
        start_ns: int | None = None,
    ):
        self.refused: dict[str, None] = {}
        self._bag = bag
        self._config = config
        self._ahead_ns = max(ahead_ns, AHEAD_NS)
        self._span = Span(None if start_ns is None else start_ns - CACHE_NS)
        self._now_ns = self._read_to_ns = 0
        self._tracks: dict[str, _Track] = {}
        self._parents: dict[str, set[str]] = {}
        self._static: dict[str, list[_Sample]] = {}
        self._read: deque[tuple[str, _Sample]] = deque()
        self._odometry_child = ""
        self._coming = self._open(topics, odometry)

    def known_until_ns(self) -> int:
        """The recording time: where images are of two clocks, the one near it is right."""
        return self._now_ns

    def read_until(self, time_ns: int) -> None:
        """Make all poses known that images recorded at `time_ns` need."""
        self._now_ns = time_ns
        while self._read_to_ns <= time_ns + self._ahead_ns:
            recorded = next(self._coming, None)
            if recorded is None:
                break
            self._read_to_ns = recorded[0]
            for transform in _transforms(recorded[1], self._odometry_child):
                self._take(self._read_to_ns, transform)
        self._forget(time_ns - CACHE_NS)

    @property
    def memory(self) -> dict[str, list[tuple[int, int]]]:
        """Stamp and recording time of the transforms that are known of each moving frame."""
        tracks = {child: track.times for child, track in self._tracks.items()}
        return {child: times for child, times in tracks.items() if times}

    def start_over(self) -> None:
        """Image stamps jumped back: forget what was recorded before."""
        self._forget(self._now_ns - SAME_CLOCK_NS)

    def locate(self, frame_id: str, stamp_ns: int) -> np.ndarray | None:
        """T_world_frame (4, 4); None with source `none`. Raises `TransformUnavailable`."""
        if self._config.source == "none":
            return None
        return self.lookup(self._config.world_frame, frame_id, stamp_ns)

    def lookup(self, target: str, source: str, stamp_ns: int) -> np.ndarray:
        """T_target_source (4, 4). Raises `TransformUnavailable`."""
        buffer = TransformBuffer()
        way = self._way_up(target.lstrip("/"), source.lstrip("/"))
        moving = {
            child: self._tracks[child].around(self._now_ns, stamp_ns)
            for child in way & self._tracks.keys()
        }
        for child in way & self._static.keys():
            static = self._newest(self._static[child])
            # Of a frame that is sent as both, the later one counts.
            if not any(s.time_ns >= static.time_ns for s in moving.get(child, ())):
                moving.pop(child, None)
                buffer.insert(static.transform, static=True)
        for sample in itertools.chain.from_iterable(moving.values()):
            buffer.insert(sample.transform, static=False)
        return buffer.lookup(target, source, stamp_ns)

    def explain(self, error: TransformUnavailable) -> str:
        """Why there is no pose. The search for the camera has said which frames there are."""
        return str(error)

    def note_missed(self, cause: str) -> None:
        """Nothing to count: what the report says of images without a pose comes from the log."""

    def _way_up(self, *frames: str) -> set[str]:
        """The frames and all that were ever above them: a robot has many that matter to nobody."""
        way, left = set(), [*frames]
        while left:
            frame = left.pop()
            if frame not in way:
                way.add(frame)
                left += self._parents.get(frame, ())
        return way

    def _newest(self, samples: list[_Sample]) -> _Sample:
        """The static transform that counts now: they are sent only once, however late."""
        known = bisect_right(samples, self._now_ns + self._ahead_ns, key=lambda s: s.time_ns)
        return samples[max(known - 1, 0)]

    def _take(self, time_ns: int, transform: TransformStamped) -> None:
        sample = self._sample(time_ns, transform)
        if sample:
            child = transform.child_frame_id.lstrip("/")
            self._tracks.setdefault(child, _Track()).add(sample)
            self._read.append((child, sample))

    def _sample(self, time_ns: int, transform: TransformStamped) -> _Sample | None:
        try:
            check_transform(transform)
        except BadTransform as error:
            self._refuse(f"{error}; it is ignored")
            return None
        child, parent = transform.child_frame_id.lstrip("/"), transform.header.frame_id.lstrip("/")
        self._parents.setdefault(child, set()).add(parent)
        return _Sample(stamp_to_ns(transform.header.stamp), time_ns, transform)

    def _refuse(self, sentence: str) -> None:
        if len(self.refused) >= MOST_REFUSED:
            sentence = "more transforms than these are ignored"
        self.refused.setdefault(sentence)

    def _forget(self, before_ns: int) -> None:
        while self._read and self._read[0][1].time_ns < before_ns:
            child, sample = self._read.popleft()
            self._tracks[child].remove(sample)

    def _open(self, topics: Collection[str], odometry: str) -> Iterator[tuple[int, object]]:
        """Take all static transforms; returns time and message of the others, still to be read."""
        if self._config.source == "none":
            return iter(())
        moving = [topic for topic in topics if not is_static(topic)]
        if self._config.source == "odometry":
            moving.append(self._find_odometry(odometry))
            for _, _, first in itertools.islice(self._bag.messages(moving[-1]), 1):
                self._odometry_child = first.child_frame_id.lstrip("/")
        for _, time_ns, msg in self._bag.messages(*filter(is_static, topics)):
            for transform in _transforms(msg, self._odometry_child):
                self._take_static(time_ns, transform)
        recorded = self._bag.messages(*moving, span=self._span)
        return ((time_ns, msg) for _, time_ns, msg in recorded)

    def _take_static(self, time_ns: int, transform: TransformStamped) -> None:
        sample = self._sample(time_ns, transform)
        if sample is None:
            return
        known = self._static.setdefault(transform.child_frame_id.lstrip("/"), [])
        # Some are sent again and again.
        if not (known and _is_same(known[-1].transform, transform)):
            known.append(sample)

    def _find_odometry(self, chosen: str) -> str:
        topics = self._bag.topics_of(Odometry)
        if not topics:
            raise BagError("pose.source is odometry, but the bag has no nav_msgs/Odometry")
        if chosen:
            return chosen_topic("--odometry", chosen, topics)
        if len(topics) > 1:
            raise BagError(f"the bag has several odometries: --odometry with {', '.join(topics)}")
        return topics[0]


def _transforms(msg: Odometry | TFMessage, odometry_child: str) -> list[TransformStamped]:
    """Of a message; the edge that odometry gives is not taken from TF too."""
    if isinstance(msg, Odometry):
        return [odometry_transform(msg)]
    return [t for t in msg.transforms if t.child_frame_id.lstrip("/") != odometry_child]


def _of_clock(offset_ns: int) -> Callable[[_Sample], bool]:
    return lambda sample: abs(sample.time_ns - sample.stamp_ns - offset_ns) < SAME_CLOCK_NS


def _is_same(a: TransformStamped, b: TransformStamped) -> bool:
    return a.header.frame_id == b.header.frame_id and a.transform == b.transform


def _stamp(sample: _Sample) -> int:
    return sample.stamp_ns
