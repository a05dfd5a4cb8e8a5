"""What comes in: images, camera infos, poses. Steps receive, locate and convert.

Subscriptions (relative names, remappable; `<name>/` before the first three in a rig):

    image             sensor_msgs/Image, or image/compressed with input.compressed
    camera_info       sensor_msgs/CameraInfo, same stamps as the images
    /tf, /tf_static   tf2_msgs/TFMessage, with pose.source tf or odometry
    odometry          nav_msgs/Odometry, with pose.source odometry
"""

from __future__ import annotations

import time
from collections.abc import Callable

from nav_msgs.msg import Odometry
from rclpy.clock import Clock, ClockType
from rclpy.node import Node
from rclpy.qos import DurabilityPolicy, QoSProfile, ReliabilityPolicy
from rclpy.qos_overriding_options import QoSOverridingOptions
from sensor_msgs.msg import CameraInfo, CompressedImage, Image
from tf2_msgs.msg import TFMessage

from da3_ros.core.config import Config
from da3_ros.core.frame import Frame
from da3_ros.core.frame_counts import Drop, Ledger
from da3_ros.ros.health.throttled_log import Complaints
from da3_ros.ros.inputs.camera_input import CameraInput, Desk
from da3_ros.ros.inputs.pose_source import PoseSource

POLL_PERIOD = 0.02

SILENCE = 5.0
"""Seconds without an image after which that is said."""


class Inputs:
    """All subscriptions of the node while it is active.

    take: gets each finished frame. start_over: called when images jump back in time; it
    must call `clear`.
    """

    def __init__(
        self,
        node: Node,
        config: Config,
        ledger: Ledger,
        complaints: Complaints,
        *,
        take: Callable[[str, Frame], None],
        start_over: Callable[[str], None],
    ):
        self.poses = PoseSource(config.pose)
        self._node = node
        self._complaints = complaints
        self._timer = node.create_timer(
            POLL_PERIOD, self._poll, clock=Clock(clock_type=ClockType.STEADY_TIME)
        )
        desk = Desk(node, config, ledger, complaints, self.poses, take, start_over, self._wake)
        self.cameras = {name: CameraInput(name, desk) for name in config.input.cameras}
        self._image_topics: dict[str, str] = {}
        self._subscriptions = [s for c in self.cameras.values() for s in self._subscribe(c, config)]
        self._subscriptions += self._subscribe_poses(config)

    def close(self) -> None:
        """Unsubscribe; whatever waits is dropped."""
        self._node.destroy_timer(self._timer)
        for subscription in self._subscriptions:
            self._node.destroy_subscription(subscription)
        self.clear(Drop.STOPPED)

    def complaints(self) -> list[str]:
        """A sentence for each camera that sends no images now."""
        latest = time.monotonic() - SILENCE
        return [self._silence(c) for c in self.cameras.values() if c.heard_at < latest]

    def _silence(self, camera: CameraInput) -> str:
        topic = self._image_topics[camera.name]
        sentence = f"no image on {topic} for {SILENCE:.0f} s"
        if self._node.count_publishers(topic):
            return f"{sentence}: it has a publisher, which sends nothing or with another QoS"
        return f"{sentence}: nobody publishes it; start the camera, or remap the topic"

    def clear(self, reason: Drop) -> None:
        """Forget waiting images and all poses but static ones."""
        for camera in self.cameras.values():
            camera.clear(reason)
        self.poses.clear()

    def _subscribe(self, camera: CameraInput, config: Config) -> list:
        prefix = f"{camera.name}/" if camera.name else ""
        qos = QoSProfile(
            depth=config.input.queue_size,
            reliability=ReliabilityPolicy[config.input.reliability.upper()],
        )
        kind, topic = Image, f"{prefix}image"
        if config.input.compressed:
            kind, topic = CompressedImage, f"{prefix}image/compressed"
        images = self._create(kind, topic, camera.on_image, qos)
        self._image_topics[camera.name] = images.topic_name  # as remapped
        infos = self._create(CameraInfo, f"{prefix}camera_info", camera.on_info, qos)
        camera.info_topic = infos.topic_name
        return [images, infos]

    def _subscribe_poses(self, config: Config) -> list:
        if config.pose.source == "none":
            return []
        qos = QoSProfile(depth=100)
        latched = QoSProfile(depth=100, durability=DurabilityPolicy.TRANSIENT_LOCAL)
        subscriptions = [
            self._create(TFMessage, "/tf", self._on_tf, qos),
            self._create(TFMessage, "/tf_static", self._on_tf_static, latched),
        ]
        if config.pose.source == "odometry":
            subscriptions.append(self._create(Odometry, "odometry", self._on_odometry, qos))
        return subscriptions

    def _create(self, kind: type, topic: str, callback: Callable, qos: QoSProfile):
        return self._node.create_subscription(
            kind,
            topic,
            callback,
            qos,
            qos_overriding_options=QoSOverridingOptions.with_default_policies(),
        )

    def _on_tf(self, msg: TFMessage) -> None:
        self._complain(self.poses.take_transforms(msg, static=False))
        self._locate()

    def _on_tf_static(self, msg: TFMessage) -> None:
        self._complain(self.poses.take_transforms(msg, static=True))
        self._locate()

    def _on_odometry(self, msg: Odometry) -> None:
        self._complain(self.poses.take_odometry(msg))
        self._locate()

    def _complain(self, sentences: list[str]) -> None:
        for sentence in sentences:
            self._complaints.warn(sentence)

    def _locate(self) -> None:
        for camera in self.cameras.values():
            camera.locate()

    def _wake(self) -> None:
        """An image waits: look after it until nothing does."""
        if self._timer.is_canceled():
            self._timer.reset()

    def _poll(self) -> None:
        now = time.monotonic()
        for camera in self.cameras.values():
            camera.expire(now)
            camera.locate()
        if not any(camera.is_waiting for camera in self.cameras.values()):
            self._timer.cancel()
