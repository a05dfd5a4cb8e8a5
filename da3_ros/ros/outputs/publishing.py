"""Publishers as all of ours are: reliable, overridable, idle without subscribers."""

from __future__ import annotations

from rclpy.node import Node
from rclpy.publisher import Publisher
from rclpy.qos import QoSProfile, ReliabilityPolicy
from rclpy.qos_overriding_options import QoSOverridingOptions

from da3_ros.ros.entities import Entities

QUEUE = 10


def create_publisher(
    entities: Entities | Node, kind: type, topic: str, qos: QoSProfile | None = None
) -> Publisher:
    """A reliable publisher whose QoS the user can override by parameters."""
    return entities.create_publisher(
        kind,
        topic,
        qos or QoSProfile(depth=QUEUE, reliability=ReliabilityPolicy.RELIABLE),
        qos_overriding_options=QoSOverridingOptions.with_default_policies(),
    )


def is_listened(publisher: Publisher) -> bool:
    """Whether anybody subscribes."""
    return publisher.get_subscription_count() > 0
