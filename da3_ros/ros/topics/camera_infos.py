"""Which camera info belongs to an image topic."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass
from enum import IntEnum
from os.path import commonprefix

from sensor_msgs.msg import CameraInfo

from da3_ros.core.camera_model import CameraError
from da3_ros.ros.messages import rectified_camera_model
from da3_ros.ros.topics.message_source import MessageSource, first_messages


class Belongs(IntEnum):
    """How an image topic and the camera info that suits it best belong together."""

    OWN = 0
    BORROWED = 1
    """It is the camera info of the images beside it, or its frame is another."""
    FOREIGN = 2
    """Both."""
    NOTHING = 3


@dataclass(frozen=True)
class _Info:
    topic: str
    frames: frozenset[str]
    sizes: frozenset[tuple[int, int]]


class CameraInfos:
    """All camera infos of a source. images: all topics of images there, of depth too."""

    def __init__(self, source: MessageSource, images: Collection[str]):
        self._infos = [_look_at(source, topic) for topic in source.topics_of(CameraInfo)]
        self._folders = set(map(folder, images))

    def best(
        self, image: str, frames: frozenset[str], size: tuple[int, int]
    ) -> tuple[str | None, Belongs]:
        """The camera info that suits an image topic best, and how they belong together.

        frames: frame_ids of the images. size: (height, width) in px.
        """
        if not self._infos:
            return None, Belongs.NOTHING

        def fit(info: _Info) -> tuple:
            is_alike = size in info.sizes
            belongs = self._belongs(image, frames, info)
            is_beside = folder(image) == folder(info.topic)
            has_frame = bool(frames & info.frames)
            name = _shared_words(image, info.topic), len(commonprefix([image, info.topic]))
            return is_beside, -belongs, has_frame, is_alike, *name

        info = max(self._infos, key=fit)
        return info.topic, self._belongs(image, frames, info)

    def _belongs(self, image: str, frames: frozenset[str], info: _Info) -> Belongs:
        if folder(image) == folder(info.topic):
            return Belongs.OWN  # as drivers publish both; the frame_ids of some differ
        is_others = folder(info.topic) in self._folders
        is_of_frame = bool(frames & info.frames) or not frames or not info.frames
        if is_others and not is_of_frame:
            return Belongs.FOREIGN
        return Belongs.OWN if is_of_frame and not is_others else Belongs.BORROWED


def folder(topic: str) -> str:
    """What stands before the last word of a topic: /camera of /camera/image_raw/compressed."""
    return topic.removesuffix("/compressed").rpartition("/")[0]


def frames_of(messages: list) -> frozenset[str]:
    """Names in the headers, without the leading slash of ROS 1."""
    return frozenset(msg.header.frame_id.lstrip("/") for msg in messages) - {""}


def _look_at(source: MessageSource, topic: str) -> _Info:
    infos = first_messages(source, topic)
    return _Info(topic, frames_of(infos), frozenset(map(_size, infos)))


def _size(info: CameraInfo) -> tuple[int, int]:
    try:
        camera = rectified_camera_model(info)
    except CameraError:
        return info.height, info.width
    return camera.height, camera.width


def _shared_words(a: str, b: str) -> int:
    """With which two topics begin."""
    pairs = zip(a.split("/"), b.split("/"))
    return next((i for i, (x, y) in enumerate(pairs) if x != y), len(a))
