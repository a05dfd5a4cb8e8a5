"""When a topic was heard last, and what the graph says of why it is not heard."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence

from rclpy.node import Node
from rclpy.qos import DurabilityPolicy, QoSProfile, ReliabilityPolicy
from rclpy.topic_endpoint_info import TopicEndpointInfo
from sensor_msgs.msg import CompressedImage, Image

from da3_ros.net.plain_text import plain
from da3_ros.ros.topics.message_types import type_name

PICTURE_HINTS = {
    (type_name(Image), type_name(CompressedImage)): (
        "; set input.compressed: true, and remap image/compressed to it (in launch files "
        "image_transport:=compressed, and image:= without /compressed)"
    ),
    (type_name(CompressedImage), type_name(Image)): (
        "; set input.compressed: false, and remap image to it"
    ),
}
"""What to do, by the type that the node takes and the one that is published."""


class TopicWatch:
    """One topic that a node takes. heard_at: s of `time.monotonic()`; of the start, at first.

    is_picture: it is a camera's, which may be compressed.
    """

    def __init__(self, node: Node, kind: type, qos: QoSProfile, *, is_picture: bool = False):
        self.heard_at = time.monotonic()
        self.topic = ""  # as remapped, once it is subscribed to
        self._node, self._kind, self._qos = node, type_name(kind), qos
        self._hints = PICTURE_HINTS if is_picture else {}

    def listening(self, take: Callable) -> Callable:
        """A callback that notes the time of each message, and takes it."""

        def on_message(msg) -> None:
            self.heard_at = time.monotonic()
            take(msg)

        return on_message

    def cause(self, *, reliability: str) -> str:
        """Why nothing comes, in words, where the graph says it; else nothing.

        reliability: what makes the node take best effort publishers.
        """
        if self._publishers:
            return self.misfit(reliability=reliability)
        return "nobody publishes it; start its publisher, or remap the topic"

    def misfit(self, *, reliability: str, all_of_them: bool = True) -> str:
        """How its publishers, or some of them, do not fit the node; else nothing."""
        publishers = self._publishers
        ours = [publisher for publisher in publishers if publisher.topic_type == self._kind]
        if publishers and not ours:
            return self._other_kind(publishers)
        faults = [self._qos_fault(publisher, reliability) for publisher in ours]
        return "" if all_of_them and not all(faults) else next(filter(None, faults), "")

    @property
    def _publishers(self) -> list[TopicEndpointInfo]:
        return self._node.get_publishers_info_by_topic(self.topic)

    def _other_kind(self, publishers: Sequence[TopicEndpointInfo]) -> str:
        kinds = sorted({publisher.topic_type for publisher in publishers})
        hint = self._hints.get((self._kind, kinds[0]), "; remap the topic")
        return f"{_who(publishers[0])} publishes {kinds[0]}, the node takes {self._kind}{hint}"

    def _qos_fault(self, publisher: TopicEndpointInfo, reliability: str) -> str:
        theirs, ours = publisher.qos_profile, self._qos
        is_lost = (
            theirs.reliability == ReliabilityPolicy.BEST_EFFORT
            and ours.reliability == ReliabilityPolicy.RELIABLE
        )
        if is_lost:
            who = _who(publisher)
            return f"{who} publishes it best effort, the node asks for reliable: {reliability}"
        is_late = (
            theirs.durability == DurabilityPolicy.VOLATILE
            and ours.durability == DurabilityPolicy.TRANSIENT_LOCAL
        )
        if is_late:
            return (
                f"{_who(publisher)} publishes it without transient_local, the node asks for it "
                "(for bags: ros2 bag play --qos-profile-overrides-path, or da3_play)"
            )
        return ""


OF_IMAGES = "set input.reliability: best_effort"
"""How the node is made to take best effort publishers of images, infos and points."""


def override(topic: str) -> str:
    """The same for another topic."""
    return f"set qos_overrides.{topic}.subscription.reliability: best_effort"


def _who(publisher: TopicEndpointInfo) -> str:
    return plain(publisher.node_name)
