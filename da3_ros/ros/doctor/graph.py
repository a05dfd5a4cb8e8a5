"""A running graph, listened to for a few seconds, and the QoS of its publishers."""

from __future__ import annotations

import time
from collections.abc import Iterator
from dataclasses import replace

import rclpy
from rclpy.context import Context
from rclpy.exceptions import NameValidationException
from rclpy.executors import SingleThreadedExecutor
from rclpy.node import Node
from rclpy.qos import DurabilityPolicy, QoSProfile, ReliabilityPolicy
from sensor_msgs.msg import CameraInfo, CompressedImage, Image
from tf2_msgs.msg import TFMessage

from da3_ros.core.config import Config
from da3_ros.net.plain_text import first_line
from da3_ros.ros.doctor.findings import Finding, error, ok, warn
from da3_ros.ros.doctor.recording import Event, Recording
from da3_ros.ros.inputs.topic_watch import OF_IMAGES, override
from da3_ros.ros.parameter_file import NODE_NAME
from da3_ros.ros.topics.find_camera import BagTopics, Choice, find_topics
from da3_ros.ros.topics.message_types import type_name
from da3_ros.ros.topics.tf_tree import is_static
from da3_ros.ros.topics.topic_error import TopicError
from da3_ros.ros.transport import LARGE_IMAGES_ARE_LOST, use_profile

DISCOVERY = 2.0
"""Seconds in which publishers and we find each other."""
OURS = f"/{NODE_NAME}/"
"""Topics of our own node: none of them is a camera's."""
KINDS = {type_name(cls): cls for cls in (Image, CompressedImage, CameraInfo)}
BEST_EFFORT = QoSProfile(depth=50, reliability=ReliabilityPolicy.BEST_EFFORT)
LATCHED = QoSProfile(depth=100, durability=DurabilityPolicy.TRANSIENT_LOCAL)


class Heard:
    """What was heard: a `MessageSource`, as a bag is."""

    what = "the graph"

    def __init__(self):
        self.events: list[Event] = []

    def topics_of(self, cls: type) -> list[str]:
        """Topics on which messages of the class came, in order of name."""
        return sorted({event.topic for event in self.events if isinstance(event.msg, cls)})

    def messages(self, *topics: str) -> Iterator[tuple[str, int, object]]:
        """Topic, time of arrival in ns and message."""
        for event in self.events:
            if event.topic in topics:
                yield event.topic, event.time_ns, event.msg

    def name_publishers(self, node: Node) -> None:
        """Replace the identifiers of publishers of transforms by the names of their nodes.

        Some releases of rclpy give none: it may then be any node that publishes the topic.
        """
        names: dict[str, str] = {}
        any_of: dict[str, str] = {}
        for topic in {event.topic for event in self.events if isinstance(event.msg, TFMessage)}:
            infos = node.get_publishers_info_by_topic(topic)
            names |= {bytes(info.endpoint_gid).hex(): info.node_name for info in infos}
            any_of[topic] = " or ".join(sorted({info.node_name for info in infos}))
        self.events = [
            replace(e, publisher=names.get(e.publisher) or any_of.get(e.topic, ""))
            for e in self.events
        ]


def observe_graph(
    seconds: float, config: Config, choice: Choice
) -> tuple[Recording, list[Finding]]:
    """Listen; returns what was heard of one camera, and the findings about topics and QoS.

    choice: its topics; the first color camera if empty. Raises `TopicError` when there is none.
    """
    context = Context()
    rclpy.init(context=context)
    node = rclpy.create_node("da3_doctor", context=context)
    executor = SingleThreadedExecutor(context=context)
    executor.add_node(node)
    try:
        _spin(executor, DISCOVERY)
        heard = Heard()
        findings = _subscribe(node, heard, choice)
        _spin(executor, seconds)
        heard.name_publishers(node)
        topics = _find_topics(node, heard, choice)
        wanted = {topics.image, topics.camera_info, *topics.tf}
        events = [event for event in heard.events if event.topic in wanted]
        clock = node.count_publishers("/clock") > 0
        seen = Recording(topics, events, clock, is_live=True)
        return seen, [*findings, check_qos(node, wanted, config)]
    finally:
        executor.shutdown()
        node.destroy_node()
        rclpy.shutdown(context=context)


def _find_topics(node: Node, heard: Heard, choice: Choice) -> BagTopics:
    """Raises `TopicError`, naming the topics that somebody publishes although nothing came."""
    try:
        return find_topics(heard, choice)
    except TopicError as problem:
        kinds = {type_name(Image), type_name(CompressedImage)}
        silent = [
            topic
            for topic, types in node.get_topic_names_and_types()
            if kinds & {*types}
            and not topic.startswith(OURS)
            and node.count_publishers(topic)
            and topic not in _transforms(choice)
        ]
        if not silent or heard.topics_of(Image) or heard.topics_of(CompressedImage):
            raise
        what = f"{problem}, but a publisher of {', '.join(silent)}, of which nothing arrives"
        raise TopicError(f"{what}: {LARGE_IMAGES_ARE_LOST}; {use_profile()}") from problem


def _spin(executor: SingleThreadedExecutor, seconds: float) -> None:
    end = time.monotonic() + seconds
    while (left := end - time.monotonic()) > 0:
        executor.spin_once(timeout_sec=left)


def _subscribe(node: Node, heard: Heard, choice: Choice) -> list[Finding]:
    """Listen to cameras and transforms; returns what is odd about their topics."""
    findings = []
    chosen = {choice.image, f"{choice.image}/compressed"} if choice.image else None
    transforms = _transforms(choice)
    for topic, types in node.get_topic_names_and_types():
        if topic in transforms:  # one subscriber takes one type
            others = ", ".join(sorted({*types} - {type_name(TFMessage)}))
            if others:
                what = f"{topic} is published or taken as {others} by somebody"
                findings.append(warn("topic types", what, "give that topic another name"))
            continue
        cls = next((KINDS[kind] for kind in KINDS if kind in types), None)
        is_other_image = chosen and topic not in chosen and cls is not CameraInfo
        if cls and not topic.startswith(OURS) and not is_other_image:
            findings += _listen(node, heard, cls, topic, BEST_EFFORT)
    for topic in transforms:
        qos = LATCHED if is_static(topic) else QoSProfile(depth=100)
        findings += _listen(node, heard, TFMessage, topic, qos)
    return findings


def _transforms(choice: Choice) -> tuple[str, ...]:
    """Topics of transforms, those of static ones last."""
    moving = choice.tf or ("/tf",)
    return (*moving, *(f"{topic}_static" for topic in moving))


def _listen(node: Node, heard: Heard, cls: type, topic: str, qos: QoSProfile) -> list[Finding]:
    """Listen; where the middleware does not let us, the finding that says so."""

    def keep(msg, info: dict) -> None:
        gid = info.get("publisher_gid") or {}  # older releases have none
        heard.events.append(Event(topic, time.time_ns(), msg, bytes(gid.get("data", b"")).hex()))

    try:
        node.create_subscription(cls, topic, keep, qos)
    except (RuntimeError, NameValidationException) as problem:  # rclpy exports no type for it
        what = f"{topic} cannot be listened to as {type_name(cls)}: {first_line(problem)}"
        return [warn("topic types", what, "give that topic another name")]
    return []


def check_qos(node: Node, topics: set[str], config: Config) -> Finding:
    """Every publisher offers what the node asks for."""
    reliable = config.input.reliability == "reliable"
    for topic in sorted(topics):
        for publisher in node.get_publishers_info_by_topic(topic):
            qos, who = publisher.qos_profile, f"{publisher.node_name} publishes {topic}"
            is_transforms = publisher.topic_type == type_name(TFMessage)
            wants_all = reliable or is_transforms
            if wants_all and qos.reliability == ReliabilityPolicy.BEST_EFFORT:
                ours = override(topic) if is_transforms else OF_IMAGES
                fix = f"{ours}, or make the publisher reliable"
                return error("qos", f"{who} best effort, the node asks for reliable", fix)
            if (
                is_static(topic)
                and is_transforms
                and qos.durability != DurabilityPolicy.TRANSIENT_LOCAL
            ):
                what = f"{who} without transient_local: a node that starts later gets nothing"
                fix = "for bags: ros2 bag play --qos-profile-overrides-path, or da3_play"
                return error("qos", what, fix)
    return ok("qos", "every publisher offers what the node asks for")
