"""Finds the camera of a bag: which topics and frames the node needs to be told."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import islice

from sensor_msgs.msg import CameraInfo, CompressedImage, Image
from tf2_msgs.msg import TFMessage

from da3_ros.ros.bags.bag import BagError, BagReader
from da3_ros.ros.images import ENCODINGS, PLANAR

USUAL_WORLDS = ("odom", "map", "world")
ENOUGH_TF = 200


@dataclass(frozen=True)
class BagTopics:
    """One camera of a bag. world_frame: None where the bag has no TF to the camera."""

    image: str
    camera_info: str
    compressed: bool
    frame_id: str
    world_frame: str | None

    @property
    def remappings(self) -> list[str]:
        """ROS arguments that connect the node's topics to the bag's."""
        image = "image/compressed" if self.compressed else "image"
        pairs = ((image, self.image), ("camera_info", self.camera_info))
        return [word for old, new in pairs for word in ("-r", f"{old}:={new}")]


def find_topics(bag: BagReader) -> BagTopics:
    """The first colour camera with a camera info. Raises `BagError` saying what is missing."""
    image, compressed = _find_image(bag)
    info = _nearest(image, bag.topics_of(CameraInfo))
    if info is None:
        raise BagError(f"the bag has images on {image} but no sensor_msgs/CameraInfo")
    _, _, first = next(bag.messages(image))
    frame_id = first.header.frame_id
    return BagTopics(image, info, compressed, frame_id, _find_world(bag, frame_id))


def _find_image(bag: BagReader) -> tuple[str, bool]:
    for topic in bag.topics_of(Image):
        _, _, first = next(bag.messages(topic))
        if first.encoding in ENCODINGS or first.encoding in PLANAR:
            return topic, False
    for topic in bag.topics_of(CompressedImage):
        _, _, first = next(bag.messages(topic))
        if "compressedDepth" not in first.format:
            return topic, True
    raise BagError("the bag has no colour images (sensor_msgs/Image or CompressedImage)")


def _nearest(image: str, infos: list[str]) -> str | None:
    """The camera info that shares most of its name with the image's topic."""

    def shared(topic: str) -> int:
        pairs = zip(topic.split("/"), image.split("/"))
        return next((i for i, (a, b) in enumerate(pairs) if a != b), len(image))

    return max(infos, key=shared, default=None)


def _find_world(bag: BagReader, frame_id: str) -> str | None:
    """A fixed frame above the camera: a usual name, else the root of the tree."""
    parents = {}
    topics = [t for t in bag.topics_of(TFMessage) if t in ("/tf", "/tf_static")]
    for topic in topics:
        for _, _, msg in islice(bag.messages(topic), ENOUGH_TF):
            for transform in msg.transforms:
                parent, child = transform.header.frame_id, transform.child_frame_id
                parents[child.lstrip("/")] = parent.lstrip("/")
    ancestors, frame = [], frame_id.lstrip("/")
    while frame in parents and parents[frame] not in ancestors:
        frame = parents[frame]
        ancestors.append(frame)
    usual = [name for name in USUAL_WORLDS if name in ancestors]
    return (usual or ancestors[-1:] or [None])[0]
