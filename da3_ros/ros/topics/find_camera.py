"""Finds the camera of a bag or a graph: which topics and frames the node needs to be told."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import islice
from typing import Protocol

from sensor_msgs.msg import CameraInfo, CompressedImage, Image
from tf2_msgs.msg import TFMessage

from da3_ros.ros.images import ImageError, NoPictureError, decode
from da3_ros.ros.topics.find_world import find_world
from da3_ros.ros.topics.tf_tree import is_static
from da3_ros.ros.topics.topic_error import TopicError

FIRST = 3
"""Images of a topic that are looked at, to tell what kind of camera it is."""
COLOR, GREY, DEEP_GREY, UNREADABLE = range(4)
"""Kinds of camera pictures, the preferred first; 16-bit grey is thermal or depth, mostly."""

NO_TRANSFORMS = (
    "there are no transforms: without poses the world is the camera's own, and depth is in metres "
    "only where the model itself is metric"
)


class MessageSource(Protocol):
    """What a camera is looked for in: a bag, or what was heard on a graph.

    what: itself in words, `the bag`.
    """

    what: str

    def topics_of(self, cls: type) -> list[str]:
        """Names of the topics of a message class, in order."""

    def messages(self, *topics: str) -> Iterator[tuple[str, int, object]]:
        """Topic, time in ns and message of the topics named, in order of time."""


@dataclass(frozen=True)
class Choice:
    """Topics and fixed frame that the user has chosen; what is empty is found.

    anchor_...: of points known in metres (bags/find_anchors.py).
    """

    image: str = ""
    camera_info: str = ""
    tf: tuple[str, ...] = ()
    odometry: str = ""
    world_frame: str = ""
    anchor_points: str = ""
    anchor_depth: str = ""
    anchor_camera_info: str = ""


@dataclass(frozen=True)
class BagTopics:
    """One camera of a bag or a graph.

    tf: topics of transforms, those of static ones last. world_frame: None where no transforms
    lead to the camera, and `gap` says why, or is empty where there are no transforms at all.
    odometry_world: the same for pose.source odometry; empty where it is not known. still: what to
    say where TF never moves the camera in `world_frame`.
    size: (height, width) of the first image in pixels, zeros where it cannot be read. notes: what
    else could have been meant, in sentences.
    """

    image: str
    camera_info: str
    compressed: bool
    frame_id: str
    world_frame: str | None
    tf: tuple[str, ...] = ("/tf", "/tf_static")
    gap: str = ""
    odometry_world: str = ""
    still: str = ""
    size: tuple[int, int] = (0, 0)
    notes: tuple[str, ...] = ()

    def world_of(self, source: str) -> str | None:
        """The frame that poses of a pose.source are in."""
        return self.odometry_world or None if source == "odometry" else self.world_frame

    @property
    def remappings(self) -> list[str]:
        """ROS arguments that connect the node's topics to these."""
        image = "image/compressed" if self.compressed else "image"
        pairs = ((image, self.image), ("camera_info", self.camera_info))
        return [word for old, new in pairs for word in ("-r", f"{old}:={new}")]


@dataclass(frozen=True)
class _Camera:
    topic: str
    kind: int
    frame_id: str
    compressed: bool
    info: str | None
    size: tuple[int, int]


def find_topics(source: MessageSource, choice: Choice = Choice()) -> BagTopics:
    """The chosen camera, or the first one in color that has a camera info.

    Raises `TopicError` saying what is missing.
    """
    infos = source.topics_of(CameraInfo)
    camera, notes = _find_camera(source, choice.image, infos)
    info = chosen_topic("--camera-info", choice.camera_info, infos) or camera.info
    if info is None:
        raise TopicError(
            f"{source.what} has images on {camera.topic} but no sensor_msgs/CameraInfo"
        )
    tf = _find_tf(source, choice.tf)
    world = find_world(source, tf, camera.frame_id, choice)
    if not (world.frame or world.gap):
        notes.append(NO_TRANSFORMS)
    return BagTopics(
        image=camera.topic,
        camera_info=info,
        compressed=camera.compressed,
        frame_id=camera.frame_id,
        world_frame=world.frame,
        tf=tf,
        gap=world.gap,
        odometry_world=world.of_odometry,
        still=world.still,
        size=camera.size,
        notes=tuple(notes),
    )


def chosen_topic(option: str, topic: str, topics: list[str]) -> str:
    """The topic that an option names. Raises `TopicError` when it is not among those there."""
    if topic and topic not in topics:
        raise TopicError(f"{option} {topic}: there are {', '.join(topics) or 'none of this kind'}")
    return topic


def _find_camera(source: MessageSource, chosen: str, infos: list[str]) -> tuple[_Camera, list[str]]:
    topics = [*source.topics_of(Image), *source.topics_of(CompressedImage)]
    if chosen and chosen not in topics and f"{chosen}/compressed" in topics:
        chosen = f"{chosen}/compressed"
    if chosen:
        topics = [chosen_topic("--image", chosen, topics)]
    cameras, no_pictures = [], []
    for topic in topics:
        try:
            cameras.append(_look_at(source, topic, infos))
        except (NoPictureError, TopicError) as error:
            no_pictures.append(f"{topic}: {error}")
    if not cameras:
        why = f"; {'; '.join(no_pictures)}" if no_pictures else ""
        missing = "no color images" if not chosen else "no camera pictures there"
        raise TopicError(f"{source.what} has {missing} (sensor_msgs/Image or CompressedImage){why}")
    cameras.sort(key=lambda c: (c.kind, not _is_beside(c), c.compressed, c.topic))
    return cameras[0], _notes(cameras)


def _look_at(source: MessageSource, topic: str, infos: list[str]) -> _Camera:
    """The camera of an image topic. Raises `NoPictureError` when it says that it is not one."""
    messages = [msg for _, _, msg in islice(source.messages(topic), FIRST)]
    if not messages:
        raise TopicError("no message of it can be read")
    kind, size = min(map(_kind, messages), key=lambda k: k[0])
    is_compressed, frame_id = _is_compressed(messages[0]), messages[0].header.frame_id
    return _Camera(topic, kind, frame_id, is_compressed, _nearest(topic, infos), size)


def _kind(msg: Image | CompressedImage) -> tuple[int, tuple[int, int]]:
    """Kind and (height, width). Raises `NoPictureError` for what is not a camera picture."""
    name = msg.format if _is_compressed(msg) else msg.encoding
    try:
        rgb = decode(msg)
    except NoPictureError:
        raise
    except ImageError:
        return UNREADABLE, (0, 0)
    is_unnamed = _is_compressed(msg) and ";" not in name
    is_grey = name.startswith("mono8") or is_unnamed and (rgb == rgb[..., :1]).all()
    kind = DEEP_GREY if name.startswith("mono16") else GREY if is_grey else COLOR
    return kind, rgb.shape[:2]


def _is_compressed(msg: Image | CompressedImage) -> bool:
    return isinstance(msg, CompressedImage)


def _notes(cameras: list[_Camera]) -> list[str]:
    taken, *others = cameras
    notes = []
    if taken.kind in (GREY, DEEP_GREY):
        notes.append(f"no camera is in color: the grey images of {taken.topic} are taken")
    rivals = [c.topic for c in others if c.kind == taken.kind and c.info != taken.info]
    if rivals:
        listed = ", ".join(rivals[:6])
        notes.append(f"takes {taken.topic}; other cameras, for --image: {listed}")
    return notes


def _folder(topic: str) -> str:
    return topic.removesuffix("/compressed").rpartition("/")[0]


def _is_beside(camera: _Camera) -> bool:
    return camera.info is not None and _folder(camera.topic) == _folder(camera.info)


def _nearest(image: str, infos: list[str]) -> str | None:
    """The camera info that shares most of its name with the image's topic."""

    def shared(topic: str) -> int:
        pairs = zip(topic.split("/"), image.split("/"))
        return next((i for i, (a, b) in enumerate(pairs) if a != b), len(image))

    return max(infos, key=shared, default=None)


def _find_tf(source: MessageSource, chosen: tuple[str, ...]) -> tuple[str, ...]:
    """Topics of transforms; a chosen .../tf brings its .../tf_static along."""
    there = source.topics_of(TFMessage)
    for topic in chosen:
        chosen_topic("--tf", topic, there)
    wanted = chosen or ("/tf", "/tf_static")
    wanted = dict.fromkeys((*wanted, *(f"{topic}_static" for topic in wanted)))
    return tuple(sorted((t for t in wanted if t in there), key=is_static))
