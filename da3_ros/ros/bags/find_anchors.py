"""Points known in metres in a bag: the topics that the live node takes as `anchor/...`."""

from __future__ import annotations

from dataclasses import dataclass

from sensor_msgs.msg import CameraInfo, Image, PointCloud2

from da3_ros.core.config import Config
from da3_ros.ros.bags.bag import BagError, BagReader
from da3_ros.ros.topics.find_camera import Choice
from da3_ros.ros.topics.message_source import chosen_topic

KINDS = {"points": PointCloud2, "depth": Image, "camera_info": CameraInfo}


@dataclass(frozen=True)
class AnchorTopics:
    """Topics of clouds, of depth images, and of the depth's camera info; empty: there is none."""

    points: str = ""
    depth: str = ""
    camera_info: str = ""

    @property
    def are_there(self) -> bool:
        """Whether there is anything to take."""
        return bool(self.points or self.depth)


def find_anchors(bag: BagReader, config: Config, choice: Choice = Choice()) -> AnchorTopics:
    """The chosen topics, else those named .../anchor/points, .../anchor/depth with its
    .../anchor/camera_info; nothing where the parameters have no use for them.

    Raises `TopicError` for a topic that was chosen and cannot be used.
    """
    chosen = {kind: getattr(choice, f"anchor_{kind}") for kind in KINDS}
    wanted = next((kind for kind, topic in chosen.items() if topic), "")
    if not config.takes_anchors:
        if wanted:
            raise BagError(f"{_option(wanted)} needs poses, and scale.source auto or anchors")
        return AnchorTopics()
    topics = {kind: _find(bag, kind, chosen[kind]) for kind in KINDS}
    if topics["depth"] and not topics["camera_info"]:
        infos = ", ".join(bag.topics_of(CameraInfo)) or "none in the bag"
        raise BagError(
            f"the depth of {topics['depth']} needs its camera info: choose it with "
            f"{_option('camera_info')} (there are {infos})"
        )
    return AnchorTopics(**topics)


def _find(bag: BagReader, kind: str, chosen: str) -> str:
    there = bag.topics_of(KINDS[kind])
    if chosen:
        return chosen_topic(_option(kind), chosen, there)
    named = [topic for topic in there if topic.endswith(f"/anchor/{kind}")]
    if len(named) > 1:
        raise BagError(f"there are {', '.join(named)}: choose with {_option(kind)}")
    return "".join(named)


def _option(kind: str) -> str:
    return f"--anchor-{kind.replace('_', '-')}"
