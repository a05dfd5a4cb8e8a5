"""What goes out: step publish. A topic without subscribers costs nothing.

Per camera, under `~/` (in a rig `~/<name>/`):

    depth/image        sensor_msgs/Image, 32FC1 m (NaN unknown, +Inf too far) or 16UC1 mm (0)
    depth/camera_info  sensor_msgs/CameraInfo of the depth: same stamp, frame and size
    confidence/image   sensor_msgs/Image, 32FC1, at least 1
    points             sensor_msgs/PointCloud2, organised x y z rgb, optical frame
    image_rect         sensor_msgs/Image, rgb8: the picture that belongs to the depth
    camera_pose        geometry_msgs/PoseStamped, world frame

Of the node, under `~/`: camera_poses (da3_ros/CameraPoses), path (nav_msgs/Path); without
given poses also odometry (odometry_output.py).
"""

from __future__ import annotations

from collections import deque
from functools import cached_property

import numpy as np
from geometry_msgs.msg import PoseStamped
from nav_msgs.msg import Path
from rclpy.node import Node
from rclpy.publisher import Publisher
from sensor_msgs.msg import CameraInfo, Image, PointCloud2

from da3_ros.core.config import Config, OutputConfig
from da3_ros.core.depth_view import DepthView, view
from da3_ros.core.point_cloud import PointCloudWriter
from da3_ros.core.prediction import WindowDepth
from da3_ros.msg import CameraPoses
from da3_ros.ros import messages
from da3_ros.ros.outputs.odometry import OdometryOutput
from da3_ros.ros.outputs.publishing import create_publisher, is_listened

PATH_LENGTH = 1000
"""Poses; ten times as many take 60 ms to send, with every frame."""


class ViewOfWindow:
    """One published view of a result; masked and brought to size only when somebody asks."""

    def __init__(self, result: WindowDepth, index: int, output: OutputConfig):
        self._result = result
        self._index = index
        self._output = output
        self.frame = result.frames[index]
        self.T_world_cam = result.pose(index)
        self.header = messages.header(self.frame.camera_id, self.frame.stamp_ns)

    @cached_property
    def depth_view(self) -> DepthView:
        """Depth, confidence, image and camera by the output parameters."""
        return view(self._result, self._index, self._output)


class CameraOutputs:
    """The publishers of one camera."""

    def __init__(self, node: Node, name: str, config: Config):
        prefix = f"~/{name}/" if name else "~/"
        self._node = node
        self._depth = create_publisher(node, Image, f"{prefix}depth/image")
        self._info = create_publisher(node, CameraInfo, f"{prefix}depth/camera_info")
        self._confidence = create_publisher(node, Image, f"{prefix}confidence/image")
        self._points = create_publisher(node, PointCloud2, f"{prefix}points")
        self._image = create_publisher(node, Image, f"{prefix}image_rect")
        self._pose = create_publisher(node, PoseStamped, f"{prefix}camera_pose")
        self._write_cloud = PointCloudWriter(config.output.cloud_step)
        self._config = config

    @property
    def publishers(self) -> list[Publisher]:
        """All of them."""
        return [self._depth, self._info, self._confidence, self._points, self._image, self._pose]

    def configure(self, config: Config) -> None:
        """Take parameters that changed while running."""
        self._config = config
        if self._write_cloud.step != config.output.cloud_step:
            self._write_cloud = PointCloudWriter(config.output.cloud_step)

    def publish(self, view: ViewOfWindow) -> None:
        """Publish whatever of the view has subscribers."""
        if is_listened(self._depth):
            depth = view.depth_view.depth
            message = messages.depth_message(depth, self._config.output.encoding, view.header)
            self._depth.publish(message)
        if is_listened(self._info):
            camera = view.depth_view.camera
            self._info.publish(messages.camera_info_message(camera, view.header, view.frame.centre))
        if is_listened(self._image):
            self._image.publish(messages.image_message(view.depth_view.image, "rgb8", view.header))
        self._publish_confidence(view)
        self._publish_points(view)
        self._publish_pose(view)

    def _publish_confidence(self, view: ViewOfWindow) -> None:
        if is_listened(self._confidence) and view.depth_view.conf is not None:
            conf = view.depth_view.conf
            self._confidence.publish(messages.image_message(conf, "32FC1", view.header))

    def _publish_points(self, view: ViewOfWindow) -> None:
        if is_listened(self._points):
            depth_view = view.depth_view
            picture = (depth_view.depth, depth_view.image, depth_view.camera)
            points = self._write_cloud(*picture, view.frame.centre)
            self._points.publish(messages.cloud_message(points, view.header))

    def _publish_pose(self, view: ViewOfWindow) -> None:
        if is_listened(self._pose) and view.T_world_cam is not None:
            head = messages.header(self._config.pose.world_frame, view.frame.stamp_ns)
            self._pose.publish(messages.pose_stamped(view.T_world_cam, head))


class Outputs:
    """All publishers of depth, clouds and poses, while the node is configured."""

    def __init__(self, node: Node, config: Config):
        self._node = node
        self._config = config
        self._cameras = {name: CameraOutputs(node, name, config) for name in config.input.cameras}
        self._poses = create_publisher(node, CameraPoses, "~/camera_poses")
        self._path = create_publisher(node, Path, "~/path")
        self._odometry = OdometryOutput(node, config) if config.pose.source == "none" else None
        self._way: deque[PoseStamped] = deque(maxlen=PATH_LENGTH)
        self._segment: int | None = None

    @property
    def _publishers(self) -> list[Publisher]:
        return [self._poses, self._path, *(p for c in self._cameras.values() for p in c.publishers)]

    def configure(self, config: Config) -> None:
        """Take parameters that changed while running."""
        self._config = config
        for camera in self._cameras.values():
            camera.configure(config)

    def has_listeners(self) -> bool:
        """Whether anybody subscribes to anything."""
        if self._odometry and self._odometry.is_wanted():
            return True
        return any(is_listened(publisher) for publisher in self._publishers)

    def clear(self) -> None:
        """Forget the path."""
        self._way.clear()

    def close(self) -> None:
        """Take all topics off the graph."""
        if self._odometry:
            self._odometry.close()
        for publisher in self._publishers:
            self._node.destroy_publisher(publisher)

    def publish(self, result: WindowDepth, camera_of: dict[str, str]) -> None:
        """Publish the views of one result. camera_of: frame id -> name of the camera."""
        for index, frame in enumerate(result.frames):
            shown = ViewOfWindow(result, index, self._config.output)
            self._cameras[camera_of[frame.camera_id]].publish(shown)
        if self._odometry:
            self._odometry.publish(result)
        self._extend_path(result)
        if is_listened(self._poses) and result.T_world_cam is not None:
            self._poses.publish(camera_poses_message(result, self._config.pose.world_frame))

    def _extend_path(self, result: WindowDepth) -> None:
        world_frame = self._config.pose.world_frame
        segment = result.link.segment if result.link else None
        if segment != self._segment:  # another world: its poses do not continue the path
            self._segment = segment
            self._way.clear()
        for index, frame in enumerate(result.frames):
            T_world_cam = result.pose(index)
            if T_world_cam is not None:
                head = messages.header(world_frame, frame.stamp_ns)
                self._way.append(messages.pose_stamped(T_world_cam, head))
        if self._way and is_listened(self._path):
            self._path.publish(Path(header=self._way[-1].header, poses=list(self._way)))


def camera_poses_message(result: WindowDepth, world_frame: str) -> CameraPoses:
    """da3_ros/CameraPoses of all views of a window with given poses."""
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
    return msg
