"""What comes in: images, camera infos, poses. Steps receive, locate and convert.

Subscriptions (relative names, remappable; `<name>/` before the first three in a rig):

    image             sensor_msgs/Image, or image/compressed with input.compressed
    camera_info       sensor_msgs/CameraInfo, same stamps as the images
    /tf, /tf_static   tf2_msgs/TFMessage, with pose.source tf or odometry
    odometry          nav_msgs/Odometry, with pose.source odometry
    anchor/points     sensor_msgs/PointCloud2, points known in metres, with given poses and
                      scale.source auto or anchors
    anchor/depth      sensor_msgs/Image, 32FC1 or 16UC1, the same of a depth camera, with
    anchor/camera_info  sensor_msgs/CameraInfo, its calibration
"""

from __future__ import annotations

import copy
import time
from collections.abc import Callable
from functools import partial

from nav_msgs.msg import Odometry
from rclpy.clock import Clock, ClockType
from rclpy.qos import DurabilityPolicy, QoSProfile, ReliabilityPolicy
from rclpy.qos_overriding_options import QoSOverridingOptions
from sensor_msgs.msg import CameraInfo, CompressedImage, Image, PointCloud2
from tf2_msgs.msg import TFMessage

from da3_ros.core.config import Config
from da3_ros.core.live_config import LiveConfig
from da3_ros.core.outlet import Log
from da3_ros.core.prediction import WindowDepth
from da3_ros.ros.entities import Entities
from da3_ros.ros.inputs.anchor_input import AnchorInput
from da3_ros.ros.inputs.camera_input import CameraInput
from da3_ros.ros.inputs.cameras import CameraInputs
from da3_ros.ros.inputs.pose_source import Refused
from da3_ros.ros.inputs.silence import Silence
from da3_ros.ros.inputs.topic_watch import TopicWatch
from da3_ros.ros.inputs.unused_anchors import UnusedAnchors

POLL_PERIOD = 0.02
"""Seconds between two looks at what waits, while anything does."""


class Inputs:
    """All subscriptions of the node while it is active; they feed `cameras` and `anchors`."""

    def __init__(
        self,
        entities: Entities,
        live: LiveConfig,
        log: Log,
        cameras: CameraInputs,
        anchors: AnchorInput,
    ):
        self.cameras, self.anchors = cameras, anchors
        self._entities, self._log = entities, log
        steady = Clock(clock_type=ClockType.STEADY_TIME)
        self._timer = entities.create_timer(POLL_PERIOD, self._poll, clock=steady)
        self.watches: dict[str, TopicWatch] = {}
        self._silence = Silence(live.config, cameras, self.watches)
        self._unused_anchors = UnusedAnchors(live, anchors, self._silence)
        for camera in cameras.inputs.values():
            self._subscribe(camera, live.config)
        self._subscribe_poses(live.config)
        self._subscribe_anchors(live.config)

    def silent(self) -> list[str]:
        """A sentence for each topic of which nothing comes now, with why."""
        return self._silence.sentences()

    def unused_anchors(self, newest: WindowDepth | None) -> list[str]:
        """Why the windows that come do not use points from outside. newest: of those windows."""
        return self._unused_anchors.sentences(newest)

    def _subscribe(self, camera: CameraInput, config: Config) -> None:
        prefix = f"{camera.name}/" if camera.name else ""
        qos = QoSProfile(
            depth=config.input.queue_size,
            reliability=ReliabilityPolicy[config.input.reliability.upper()],
        )
        kind, topic = Image, f"{prefix}image"
        if config.input.compressed:
            kind, topic = CompressedImage, f"{prefix}image/compressed"
        images = self._create(kind, topic, partial(self._on_image, camera), qos)
        infos = self._create(CameraInfo, f"{prefix}camera_info", camera.on_info, qos)
        camera.name_topics(images.topic_name, infos.topic_name)

    def _subscribe_poses(self, config: Config) -> None:
        if config.pose.source == "none":
            return
        qos = QoSProfile(depth=100)
        latched = QoSProfile(depth=100, durability=DurabilityPolicy.TRANSIENT_LOCAL)
        # Raw: a message of 100,000 transforms takes seconds to become objects.
        for topic, profile, static in (("/tf", qos, False), ("/tf_static", latched, True)):
            self._create(
                TFMessage, topic, partial(self._on_transforms, static=static), profile, raw=True
            )
        if config.pose.source == "odometry":
            self._create(Odometry, "odometry", self._on_odometry, qos)

    def _subscribe_anchors(self, config: Config) -> None:
        if not config.takes_anchors:
            return
        qos = QoSProfile(depth=5, reliability=ReliabilityPolicy[config.input.reliability.upper()])
        for kind, topic, take, raw in (
            (PointCloud2, "anchor/points", self.anchors.on_raw_points, True),
            (Image, "anchor/depth", self.anchors.on_depth, False),
            (CameraInfo, "anchor/camera_info", self.anchors.on_info, False),
        ):
            made = self._create(kind, topic, partial(self._on_anchors, take), qos, raw=raw)
            if kind is Image:
                self.anchors.name_topic(made.topic_name)

    def _create(self, kind: type, topic: str, callback: Callable, qos: QoSProfile, **options):
        qos = copy.copy(qos)  # overrides are written into it, and are meant for this topic
        is_picture = not topic.startswith("anchor/")
        watch = TopicWatch(self._entities.node, kind, qos, is_picture=is_picture)
        self.watches[topic] = watch
        made = self._entities.create_subscription(
            kind,
            topic,
            watch.listening(callback),
            qos,
            qos_overriding_options=QoSOverridingOptions.with_default_policies(),
            **options,
        )
        watch.topic = made.topic_name  # as remapped
        return made

    def _on_image(self, camera: CameraInput, msg: Image | CompressedImage) -> None:
        self.cameras.on_image(camera, msg)
        if camera.is_waiting and self._timer.is_canceled():
            self._timer.reset()  # look after it until nothing waits

    def _on_anchors(self, take: Callable, msg) -> None:
        take(msg)
        if self.anchors.are_waiting and self._timer.is_canceled():
            self._timer.reset()

    def _on_transforms(self, raw: bytes, *, static: bool) -> None:
        self._on_poses(self.cameras.poses.take_raw_transforms(raw, static=static))

    def _on_odometry(self, msg: Odometry) -> None:
        self._on_poses(self.cameras.poses.take_odometry(msg))

    def _on_poses(self, refused: list[Refused]) -> None:
        for cause, sentence in refused:
            self._log.warn(cause, sentence)
        self.anchors.locate()  # first, or the image that waits for the same pose goes without
        self.cameras.locate()

    def _poll(self) -> None:
        self.cameras.expire(time.monotonic())
        self.anchors.locate()
        self.cameras.locate()
        if not (self.cameras.are_waiting or self.anchors.are_waiting):
            self._timer.cancel()
