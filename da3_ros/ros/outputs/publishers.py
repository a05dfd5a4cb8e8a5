"""What goes out: step publish. A topic without subscribers costs nothing.

Per camera, under `~/` (in a rig `~/<name>/`):

    depth/image        sensor_msgs/Image, 32FC1 m (NaN unknown, +Inf too far) or 16UC1 mm (0)
    depth/camera_info  sensor_msgs/CameraInfo of the depth: same stamp, frame and size
    confidence/image   sensor_msgs/Image, 32FC1, at least 1
    points             sensor_msgs/PointCloud2, organised x y z rgb, optical frame; NaN between
                       surfaces, too; with `output.cloud_confidence` also confidence
    image_rect         sensor_msgs/Image, rgb8: the picture that belongs to the depth
    camera_pose        geometry_msgs/PoseStamped, world frame

    depth/image/compressedDepth, image_rect/compressed   sensor_msgs/CompressedImage, the same
                       as the plugins of image_transport compress it (compressed.py)

Of the node, under `~/`: camera_poses (da3_ros/CameraPoses), path (nav_msgs/Path); without
given poses also odometry (odometry.py).
"""

from __future__ import annotations

from collections import deque

import numpy as np
from geometry_msgs.msg import PoseStamped
from nav_msgs.msg import Path
from rclpy.publisher import Publisher
from sensor_msgs.msg import CameraInfo, CompressedImage, Image, PointCloud2
from std_msgs.msg import Header

from da3_ros.core.depth_view import DepthView
from da3_ros.core.live_config import LiveConfig
from da3_ros.core.point_cloud import PointCloudWriter
from da3_ros.core.prediction import WindowDepth
from da3_ros.core.scale.placement import Evidence
from da3_ros.msg import CameraPoses, Status
from da3_ros.ros import messages
from da3_ros.ros.compressed import compressed_depth_message, compressed_message
from da3_ros.ros.entities import Entities
from da3_ros.ros.health.rates import Statistics
from da3_ros.ros.outputs import topics
from da3_ros.ros.outputs.odometry import OdometryOutput
from da3_ros.ros.outputs.publishing import create_publisher, is_listened

PATH_LENGTH = 1000
"""Poses; ten times as many take 60 ms to send, with every frame."""


class CameraOutputs:
    """The publishers of one camera."""

    def __init__(self, entities: Entities, name: str, live: LiveConfig):
        prefix = f"~/{name}/" if name else "~/"

        def create(kind: type, topic: str) -> Publisher:
            return create_publisher(entities, kind, prefix + topic)

        self._depth = create(Image, topics.DEPTH)
        self._info = create(CameraInfo, topics.DEPTH_INFO)
        self._confidence = create(Image, topics.CONFIDENCE)
        self._points = create(PointCloud2, topics.POINTS)
        self._image = create(Image, topics.IMAGE)
        self._pose = create(PoseStamped, topics.CAMERA_POSE)
        self._small_depth = create(CompressedImage, topics.COMPRESSED[topics.DEPTH])
        self._small_image = create(CompressedImage, topics.COMPRESSED[topics.IMAGE])
        self._write_cloud = PointCloudWriter(live.config.output.cloud_step)
        self._live = live

    @property
    def publishers(self) -> list[Publisher]:
        """All of them."""
        return [
            self._depth,
            self._info,
            self._confidence,
            self._points,
            self._image,
            self._pose,
            self._small_depth,
            self._small_image,
        ]

    def publish(self, view: DepthView) -> None:
        """Publish whatever of the view has subscribers."""
        head = messages.header(view.frame.camera_id, view.frame.stamp_ns)
        if is_listened(self._depth):
            encoding = self._live.config.output.encoding
            self._depth.publish(messages.depth_message(view.depth, encoding, head))
        self._publish_compressed(view, head)
        if is_listened(self._info):
            self._info.publish(messages.camera_info_message(view.camera, head, view.frame.centre))
        if is_listened(self._image):
            self._image.publish(messages.image_message(view.image, "rgb8", head))
        if is_listened(self._confidence) and view.conf is not None:
            self._confidence.publish(messages.image_message(view.conf, "32FC1", head))
        if is_listened(self._points):
            self._publish_points(view, head)
        if is_listened(self._pose) and view.T_world_cam is not None:
            head = messages.header(self._live.config.pose.world_frame, view.frame.stamp_ns)
            self._pose.publish(messages.pose_stamped(view.T_world_cam, head))

    def _publish_points(self, view: DepthView, head: Header) -> None:
        conf = view.conf if self._live.config.output.cloud_confidence else None
        write = self._cloud_writer()
        points = write(view.cloud_depth, view.image, view.camera, view.frame.centre, conf)
        has_confidence = conf is not None
        self._points.publish(messages.cloud_message(points, head, confidence=has_confidence))

    def _publish_compressed(self, view: DepthView, head: Header) -> None:
        output = self._live.config.output
        if is_listened(self._small_depth):
            coding = output.encoding, output.depth_quantization
            self._small_depth.publish(compressed_depth_message(view.depth, *coding, head))
        if is_listened(self._small_image):
            self._small_image.publish(compressed_message(view.image, output.jpeg_quality, head))

    def _cloud_writer(self) -> PointCloudWriter:
        step = self._live.config.output.cloud_step
        if self._write_cloud.step != step:
            self._write_cloud = PointCloudWriter(step)
        return self._write_cloud


class Outputs:
    """All publishers of depth, clouds and poses, while the node is configured."""

    def __init__(self, entities: Entities, live: LiveConfig, statistics: Statistics):
        self._live, self._statistics = live, statistics
        config = live.config
        self._cameras = {n: CameraOutputs(entities, n, live) for n in config.input.cameras}
        self._poses = create_publisher(entities, CameraPoses, f"~/{topics.CAMERA_POSES}")
        self._path = create_publisher(entities, Path, f"~/{topics.PATH}")
        self._odometry = OdometryOutput(entities, live) if config.pose.source == "none" else None
        self._past_poses: deque[PoseStamped] = deque(maxlen=PATH_LENGTH)
        self._segment: int | None = None

    @property
    def _publishers(self) -> list[Publisher]:
        return [self._poses, self._path, *(p for c in self._cameras.values() for p in c.publishers)]

    def is_wanted(self) -> bool:
        """Whether anybody subscribes to anything."""
        if self._odometry and self._odometry.is_wanted():
            return True
        return any(is_listened(publisher) for publisher in self._publishers)

    def clear(self) -> None:
        """Forget the path."""
        self._past_poses.clear()

    def publish(self, result: WindowDepth, camera_of: dict[str, str]) -> None:
        """Publish the views of one result. camera_of: frame id -> name of the camera."""
        for index, frame in enumerate(result.frames):
            view = DepthView(result, index, self._live.config.output)
            self._cameras[camera_of[frame.camera_id]].publish(view)
        if self._odometry:
            self._odometry.publish(result)
        self._extend_path(result)
        if is_listened(self._poses) and result.T_world_cam is not None:
            world_frame = self._live.config.pose.world_frame
            self._poses.publish(camera_poses_message(result, world_frame))
        self._statistics.note(max(frame.stamp_ns for frame in result.frames))

    def _extend_path(self, result: WindowDepth) -> None:
        world_frame = self._live.config.pose.world_frame
        segment = result.link.segment if result.link else None
        if segment != self._segment:  # another world: its poses do not continue the path
            self._segment = segment
            self._past_poses.clear()
        for index, frame in enumerate(result.frames):
            T_world_cam = result.pose(index)
            if T_world_cam is not None:
                head = messages.header(world_frame, frame.stamp_ns)
                self._past_poses.append(messages.pose_stamped(T_world_cam, head))
        if self._past_poses and is_listened(self._path):
            poses = list(self._past_poses)
            self._path.publish(Path(header=poses[-1].header, poses=poses))


def camera_poses_message(result: WindowDepth, world_frame: str) -> CameraPoses:
    """da3_ros/CameraPoses of all views of a window that has a place in the world."""
    window, scale = result.window, result.scale
    published = window.frames[window.views[-1]]
    msg = CameraPoses(header=messages.header(world_frame, published.stamp_ns))
    msg.stamps = [messages.ns_to_stamp(frame.stamp_ns) for frame in window.frames]
    msg.frame_ids = [frame.camera_id for frame in window.frames]
    msg.network_poses = [messages.pose_message(T) for T in result.T_world_cam]
    if window.T_world_cam is not None:
        msg.poses = [messages.pose_message(T) for T in window.T_world_cam]
        msg.translation_residuals = result.position_residuals.tolist()
        msg.rotation_residuals = result.rotation_residuals.tolist()
    msg.reference = window.reference
    msg.scale = float(scale.scale)
    msg.scale_spread = float(scale.spread) if scale.measured else np.nan
    msg.scale_age = float(scale.age)
    add_evidence(msg, result)
    msg.scale_jumped = bool(result.evidence and result.evidence.has_jumped)
    return msg


def add_evidence(msg: CameraPoses | Status, result: WindowDepth | None) -> None:
    """What metres rest on, in the fields of that name; without given poses nothing is measured,
    and a network that speaks metres is all there is."""
    evidence = result.evidence if result else None
    is_network = result and result.is_metric and result.window.T_world_cam is None
    evidence = evidence or Evidence("network" if is_network else "none")
    msg.scale_source, msg.scale_correction = evidence.source, evidence.correction
    msg.scale_points = evidence.points
    msg.points_spread, msg.depth_error = float(evidence.spread), float(evidence.depth_error)
    msg.epipolar_residual, msg.scale_change = float(evidence.across), float(evidence.change)
