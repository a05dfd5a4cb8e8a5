"""Stand-ins for the mapping stacks: they subscribe and read as those do."""

from __future__ import annotations

import time

import numpy as np
from graph import Robot
from rclpy.qos import (
    QoSProfile,
    ReliabilityPolicy,
    qos_profile_sensor_data,
    qos_profile_system_default,
)
from sensor_msgs.msg import CameraInfo, Image, PointCloud2
from sensor_msgs_py.point_cloud2 import read_points

from da3_ros.core.camera_model import CameraModel
from da3_ros.ros.messages import stamp_to_ns

WIDE = CameraModel(84, 56, np.array([[60.0, 0, 40.5], [0, 61.0, 28.5], [0, 0, 1]]))
"""Not a whole multiple of the network's 56x42: the size that RTAB-Map stumbles over."""

TOPICS = {
    "depth/image": Image,
    "depth/camera_info": CameraInfo,
    "image_rect": Image,
    "points": PointCloud2,
}
CONSUMERS = {
    "rtabmap (qos 1), nvblox (DEFAULT)": QoSProfile(depth=10),
    "nvblox (SYSTEM_DEFAULT)": qos_profile_system_default,
    "octomap_server, nvblox (SENSOR_DATA)": qos_profile_sensor_data,
    "nav2": QoSProfile(depth=50, reliability=ReliabilityPolicy.BEST_EFFORT),
}


class Listener:
    """All outputs by topic and stamp, once per consumer's QoS."""

    def __init__(self, robot: Robot, node: str = "/da3"):
        self.robot = robot
        self.received = {(consumer, topic): {} for consumer in CONSUMERS for topic in TOPICS}
        for (consumer, topic), messages in self.received.items():
            robot.node.create_subscription(
                TOPICS[topic],
                f"{node}/{topic}",
                lambda msg, to=messages: to.setdefault(stamp_to_ns(msg.header.stamp), []).append(
                    msg
                ),
                CONSUMERS[consumer],
            )

    def complete(self) -> set[int]:
        """Stamps that every consumer has of every topic."""
        return set.intersection(*(set(messages) for messages in self.received.values()))

    def send_until_complete(self, count: int = 3) -> dict:
        """Good frames until one of them came back everywhere; its messages by topic."""
        first = self.robot.next_stamp()
        for _ in range(8):
            for _ in range(count):
                self.robot.send(WIDE)
                time.sleep(0.05)
            deadline = time.monotonic() + 5
            while time.monotonic() < deadline:
                if new := [s for s in self.complete() if s > first]:
                    return self.at(max(new))
                time.sleep(0.02)
        raise AssertionError("no frame came back on all topics")

    def at(self, stamp: int) -> dict:
        consumer = next(iter(CONSUMERS))
        return {topic: self.received[consumer, topic][stamp][0] for topic in TOPICS}


def pixels(msg: Image, kind: type, channels: int = 1) -> np.ndarray:
    """The image as its encoding says; rows without padding."""
    assert msg.step == msg.width * channels * np.dtype(kind).itemsize
    assert len(msg.data) == msg.step * msg.height and not msg.is_bigendian
    shape = (msg.height, msg.width) if channels == 1 else (msg.height, msg.width, channels)
    return np.frombuffer(msg.data, kind).reshape(shape)


def coordinates(msg: PointCloud2) -> np.ndarray:
    """(H, W, 3), read by the offsets of the message, as PCL and nav2 do."""
    points = read_points(msg, ["x", "y", "z"]).reshape(msg.height, msg.width)
    return np.stack([points[axis] for axis in "xyz"], axis=-1)


def rtabmap_accepts(image: tuple[int, int], depth: tuple[int, int]) -> bool:
    """Sizes (width, height): the integer division of rtabmap_ros, the remainder of rtabmap."""
    same_ratio = image[0] // depth[0] == image[1] // depth[1]
    return same_ratio and image[1] % depth[1] == 0


def size(msg: Image) -> tuple[int, int]:
    return msg.width, msg.height
