"""The cameras of a rig in a bag: those whose topics carry the names of `input.cameras`."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace

from sensor_msgs.msg import CompressedImage, Image

from da3_ros.ros.bags.bag import BagError
from da3_ros.ros.topics.find_camera import BagTopics, Choice, MessageSource, find_topics
from da3_ros.ros.topics.topic_error import TopicError


class NamedCamera:
    """A bag of which `find_topics` sees the image topics of one name only: `/front/image_raw`
    of `front`, the name being one or several whole words of the topic.
    """

    def __init__(self, bag: MessageSource, name: str):
        self.what = bag.what
        self._bag = bag
        self._part = f"/{name.strip('/')}/"

    def topics_of(self, cls: type) -> list[str]:
        """Topics of a message class; of images those of the name."""
        topics = self._bag.topics_of(cls)
        if cls not in (Image, CompressedImage):
            return topics
        return [topic for topic in topics if self._part in topic]

    def messages(self, *topics: str) -> Iterator:
        """Those of the bag."""
        return self._bag.messages(*topics)


def find_cameras(
    bag: MessageSource,
    names: Sequence[str],
    choice: Choice = Choice(),
) -> dict[str, BagTopics]:
    """Topics by the name of the camera; a single camera may have any topic.

    choice: of the user; image and camera info of a rig are `front=/topic left=/topic`, and cameras
    that it does not name are found. Raises `TopicError` saying what is missing.
    """
    if len(names) == 1:
        return {names[0]: find_topics(bag, choice)}
    images = _by_name("--image", choice.image, names)
    infos = _by_name("--camera-info", choice.camera_info, names)
    found = {}
    for name in names:
        own = replace(choice, image=images.get(name, ""), camera_info=infos.get(name, ""))
        try:
            found[name] = find_topics(bag if own.image else NamedCamera(bag, name), own)
        except TopicError as error:
            raise BagError(f"input.cameras names a rig; camera '{name}': {error}") from error
    return found


def _by_name(option: str, value: str, names: Sequence[str]) -> dict[str, str]:
    """Topic by the name of the camera. Raises `BagError` where a name is missing or unknown."""
    pairs = [part.partition("=") for part in value.split()]
    if any(not topic or name not in names for name, _, topic in pairs):
        example = " ".join(f"{name}=TOPIC" for name in names)
        raise BagError(f"input.cameras names a rig: {option} {example}, not {option} {value}")
    return {name: topic for name, _, topic in pairs}
