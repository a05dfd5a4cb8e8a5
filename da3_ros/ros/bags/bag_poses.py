"""Poses of a bag, known before the images that need them.

The node's buffer would not do: it forgets what is ten seconds older than the newest stamp, so
that one stamp in the far future, a pause or a step of the clock empties it. A bag knows what
comes later: each image takes, of every frame, the two transforms around its stamp.
"""

from __future__ import annotations

import itertools
from bisect import bisect_right
from collections import deque
from collections.abc import Collection, Iterator

import numpy as np
from geometry_msgs.msg import TransformStamped
from nav_msgs.msg import Odometry
from tf2_msgs.msg import TFMessage

from da3_ros.core.config import PoseConfig
from da3_ros.ros.bags.bag import BagError, BagReader, Span
from da3_ros.ros.bags.pose_track import CACHE_NS, SAME_CLOCK_NS, Sample, Track
from da3_ros.ros.inputs.odom_frames import OdomFrames
from da3_ros.ros.inputs.pose_source import odometry_transform
from da3_ros.ros.inputs.stereo_frames import StereoFrames
from da3_ros.ros.inputs.tf_buffer import (
    BadTransform,
    TransformBuffer,
    TransformUnavailable,
    check_transform,
    unconnected,
    unknown,
)
from da3_ros.ros.messages import stamp_to_ns
from da3_ros.ros.topics.message_source import chosen_topic
from da3_ros.ros.topics.tf_tree import is_static

AHEAD_NS = 4_000_000_000
"""How far transforms are read ahead, in recording time: more than most are late."""

MOST_REFUSED = 20
"""Sentences on invalid transforms: whoever makes them up has a new name for each."""


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
        self.stereo = StereoFrames()
        self._bag = bag
        self._config = config
        self._ahead_ns = max(ahead_ns, AHEAD_NS)
        self._span = Span(None if start_ns is None else start_ns - CACHE_NS)
        self._now_ns = self._read_to_ns = 0
        self._tracks: dict[str, Track] = {}
        self._parents: dict[str, set[str]] = {}
        self._odoms = OdomFrames()
        self._static: dict[str, list[Sample]] = {}
        self._read: deque[tuple[str, Sample]] = deque()
        self._odometry_child = ""
        self._coming = self._open(topics, odometry)
        self._refused_static = dict(self.refused)

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

    def forget_refused(self) -> None:
        """Whoever reads on hears only what is refused from now on; and of the static transforms,
        that are read once for all of the bag.
        """
        self.refused = dict(self._refused_static)

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
        target, source = target.lstrip("/"), source.lstrip("/")
        buffer = TransformBuffer()
        for sample, static in self._samples(target, source, stamp_ns):
            buffer.insert(sample.transform, static=static)
        try:
            return buffer.lookup(target, source, stamp_ns)
        except TransformUnavailable as error:
            raise self._of_whole_tree(error, target, source) from error

    def correction(self, frame_id: str, stamp_ns: int) -> np.ndarray | None:
        """T_world_odom (4, 4) at a stamp, of the frame of odometry on the way from the world to a
        frame; None where there is none.
        """
        world, frame = self._config.world_frame.lstrip("/"), frame_id.lstrip("/")
        samples = self._samples(world, frame, stamp_ns)
        edges = ((s.transform.child_frame_id, s.transform.header.frame_id) for s, _ in samples)
        parents = {child.lstrip("/"): parent.lstrip("/") for child, parent in edges}
        odom = self._odoms.between(frame, world, parents)
        try:
            return self.lookup(world, odom, stamp_ns) if odom else None
        except TransformUnavailable:
            return None  # the transforms around the stamp have two parents

    def _samples(self, target: str, source: str, stamp_ns: int) -> Iterator[tuple[Sample, bool]]:
        """The transforms that count for an image, of all frames above two; which are static."""
        way = self._way_up(target, source)
        moving = {
            child: self._tracks[child].around(self._now_ns, stamp_ns)
            for child in way & self._tracks.keys()
        }
        for child in way & self._static.keys():
            static = self._newest(self._static[child])
            if self._is_in_force(static, moving.get(child, []), stamp_ns):
                moving.pop(child, None)
                yield static, True
        for sample in itertools.chain.from_iterable(moving.values()):
            yield sample, False

    def explain(self, error: TransformUnavailable) -> str:
        """Why there is no pose. The search for the camera has said which frames there are."""
        return str(error)

    def note_missed(self, cause: str) -> None:
        """Nothing to count: what the report says of images without a pose comes from the log."""

    def _of_whole_tree(
        self, error: TransformUnavailable, target: str, source: str
    ) -> TransformUnavailable:
        """The error of a buffer that held only what is above the frames, as all would give it."""
        if error.cause != error.UNKNOWN:
            return error
        known = {*self._parents, *itertools.chain.from_iterable(self._parents.values())}
        missing = [frame for frame in (target, source) if frame not in known]
        return unknown(missing[0]) if missing else unconnected(target, source)

    def _way_up(self, *frames: str) -> set[str]:
        """The frames and all that were ever above them: a robot has many that matter to nobody."""
        way, left = set(), [*frames]
        while left:
            frame = left.pop()
            if frame not in way:
                way.add(frame)
                left += self._parents.get(frame, ())
        return way

    def _newest(self, samples: list[Sample]) -> Sample:
        """The static transform that counts now. The first also counts before it was sent: it is
        often sent only once, however late; a change counts from its own time on.
        """
        known = bisect_right(samples, self._now_ns, key=lambda s: s.time_ns)
        return samples[max(known - 1, 0)]

    def _is_in_force(self, static: Sample, moving: list[Sample], stamp_ns: int) -> bool:
        """Whether a static transform counts for an image, of a frame that also has transforms
        that move, `moving` around the image's stamp: what was sent later counts, from then on.
        """
        if not moving:
            return True
        has_begun = any(sample.stamp_ns <= stamp_ns for sample in moving)
        if static.time_ns > self._now_ns:
            return not has_begun
        return not has_begun or all(sample.time_ns < static.time_ns for sample in moving)

    def _take(self, time_ns: int, transform: TransformStamped) -> None:
        sample = self._sample(time_ns, transform)
        if sample:
            child = transform.child_frame_id.lstrip("/")
            self._odoms.note(transform.header.frame_id.lstrip("/"), child, transform.transform)
            self._tracks.setdefault(child, Track()).add(sample)
            self._read.append((child, sample))

    def _sample(self, time_ns: int, transform: TransformStamped) -> Sample | None:
        try:
            check_transform(transform)
        except BadTransform as error:
            self._refuse(f"{error}; it is ignored")
            return None
        child, parent = transform.child_frame_id.lstrip("/"), transform.header.frame_id.lstrip("/")
        self._parents.setdefault(child, set()).add(parent)
        return Sample(stamp_to_ns(transform.header.stamp), time_ns, transform)

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


def _is_same(a: TransformStamped, b: TransformStamped) -> bool:
    return a.header.frame_id == b.header.frame_id and a.transform == b.transform
