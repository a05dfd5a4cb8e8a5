"""What da3_doctor looks at: messages of one camera and of TF, in the order they came."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
from sensor_msgs.msg import CameraInfo, CompressedImage, Image
from tf2_msgs.msg import TFMessage

from da3_ros.core.config import PoseConfig
from da3_ros.core.rectify import Rectifier
from da3_ros.ros.bags.bag import BagReader
from da3_ros.ros.inputs.info_doubts import is_raw
from da3_ros.ros.inputs.pose_source import PoseSource
from da3_ros.ros.inputs.stereo_frames import StereoFrames
from da3_ros.ros.inputs.tf_buffer import TransformUnavailable
from da3_ros.ros.messages import stamp_to_ns
from da3_ros.ros.rectifier import rectifier
from da3_ros.ros.topics.find_camera import BagTopics, Choice, find_topics
from da3_ros.ros.topics.tf_tree import is_static

MOST_IMAGES = 300
"""Looked at of a bag, from its beginning on."""

ENDED_NS = 1_000_000_000
"""A pose that has not come this long after its image is missing, not late."""


@dataclass(frozen=True)
class Event:
    """A message and when it arrived, or was recorded. publisher: node, where that is known."""

    topic: str
    time_ns: int
    msg: object
    publisher: str = ""


@dataclass(frozen=True)
class Pose:
    """T_world_frame (4, 4) of an image's frame_id, and the seconds it came after the image.

    T_world_odom: (4, 4), see `PoseSource.correction`.
    """

    T_world_frame: np.ndarray
    late: float
    T_world_odom: np.ndarray | None = None


@dataclass
class Recording:
    """All messages of a bag, or of a few seconds of a graph.

    clock: /clock was there. is_live: of a graph. notes: what is odd about the bag's files. poses,
    missing: by stamp in ns, once `locate` has been called.
    """

    topics: BagTopics
    events: list[Event]
    clock: bool = False
    is_live: bool = False
    notes: tuple[str, ...] = ()
    poses: dict[int, Pose] = field(default_factory=dict)
    missing: dict[int, str] = field(default_factory=dict)

    @property
    def stereo(self) -> StereoFrames:
        """As the node knows them: all of a bag, none of a graph."""
        return StereoFrames(None if self.is_live else self.topics.first_frames)

    def rectifier(self, *, is_asked: bool) -> Rectifier:
        """Of the first camera info, as the node makes it. is_asked: input.rectify. Raises
        `CameraError`."""
        info = self.infos[0]
        raw = is_raw(self.topics.image, info, rectify=is_asked)
        return rectifier(info, is_raw=raw, is_second=self.stereo.is_second(info))

    @property
    def images(self) -> list[Event]:
        """Every image, raw or compressed."""
        return [e for e in self.events if isinstance(e.msg, (Image, CompressedImage))]

    @property
    def infos(self) -> list[CameraInfo]:
        """Every camera info."""
        return [e.msg for e in self.events if isinstance(e.msg, CameraInfo)]

    @property
    def tf_events(self) -> list[Event]:
        """Every TFMessage."""
        return [e for e in self.events if isinstance(e.msg, TFMessage)]

    @property
    def transforms(self) -> Iterator:
        """Every geometry_msgs/TransformStamped."""
        for event in self.tf_events:
            yield from event.msg.transforms

    def locate(self, world: str) -> None:
        """Fill `poses` and `missing` (stamp_ns -> pose or reason), as the node would."""
        source = PoseSource(PoseConfig(world_frame=world))
        waiting: list[tuple[Event, str]] = []
        # Static transforms reach the node whenever it starts; a change of one does when it comes.
        source.take_transforms(self._first_static(), static=True)
        for event in self.events:
            if isinstance(event.msg, TFMessage):
                source.take_transforms(event.msg, static=is_static(event.topic))
            elif isinstance(event.msg, (Image, CompressedImage)):
                waiting.append((event, ""))
            else:
                continue
            waiting = [(w, r) for w, _ in waiting if (r := self._try(source, w, event.time_ns))]
        self.missing |= {stamp_to_ns(w.msg.header.stamp): reason for w, reason in waiting}

    def _first_static(self) -> TFMessage:
        """The first static transform of every frame."""
        first = {}
        for event in self.tf_events:
            if is_static(event.topic):
                for transform in event.msg.transforms:
                    first.setdefault(transform.child_frame_id.lstrip("/"), transform)
        return TFMessage(transforms=list(first.values()))

    def _try(self, source: PoseSource, image: Event, now_ns: int) -> str:
        """Why the image still waits; empty when its fate is known."""
        frame_id, stamp = image.msg.header.frame_id, stamp_to_ns(image.msg.header.stamp)
        late_ns = now_ns - image.time_ns
        try:
            T = source.locate(frame_id, stamp)
        except TransformUnavailable as error:
            if error.may_come and late_ns < ENDED_NS:
                return str(error)
            self.missing[stamp] = str(error)
            return ""
        self.poses[stamp] = Pose(T, late_ns / 1e9, source.correction(frame_id, stamp))
        return ""


def observe_bag(path: str | Path, choice: Choice) -> Recording:
    """The first images of a bag and all that belongs to them. Raises `TopicError`."""
    with BagReader(path) as bag:
        topics = find_topics(bag, choice)
        names = {topics.image, topics.camera_info, *topics.tf}
        events, count = [], 0
        for topic, time_ns, msg in bag.messages(*names):
            events.append(Event(topic, time_ns, msg))
            count += topic == topics.image
            if count > MOST_IMAGES:
                break
        clock = any(c.topic == "/clock" for c in bag.connections)
        return Recording(topics, events, clock, notes=tuple(bag.notes))
