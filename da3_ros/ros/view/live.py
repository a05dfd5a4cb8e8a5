"""A running node as the page's source: one more subscriber on the graph."""

from __future__ import annotations

import re
import threading
import time
from collections import OrderedDict

import numpy as np
import trimesh
from geometry_msgs.msg import PoseStamped
from rclpy.qos import DurabilityPolicy, QoSProfile, ReliabilityPolicy
from sensor_msgs.msg import CameraInfo, CompressedImage, Image
from visualization_msgs.msg import Marker

from da3_ros.core.camera_model import CameraError
from da3_ros.core.config_checks import MOST_CAMERAS
from da3_ros.core.poses import PoseError
from da3_ros.msg import CameraPoses, Status
from da3_ros.ros.background_node import SpunNode
from da3_ros.ros.compressed import compressed_depth_metres
from da3_ros.ros.images import ImageError, compressed_to_rgb, to_rgb
from da3_ros.ros.messages import depth_metres, pose_matrix, rectified_camera_model, stamp_to_ns
from da3_ros.ros.view.view_frame import ViewFrame

NEWEST = QoSProfile(depth=2, reliability=ReliabilityPolicy.BEST_EFFORT)
"""The newest is enough: what the page has no time for is dropped."""

LATCHED = QoSProfile(depth=1, durability=DurabilityPolicy.TRANSIENT_LOCAL)

UNFINISHED = 8
"""Stamps that wait for their other messages."""

MOST_VIEWS = 500
"""Of a window: each is drawn."""

TALLEST = 8
"""Times as high as wide: the page shows all pictures in one width."""

LOOK_PERIOD = 1.0
"""Seconds between two looks for cameras that have come since."""

DEPTH, IMAGE, INFO, POSE = "depth/image", "image_rect", "depth/camera_info", "camera_pose"
KINDS = {DEPTH: Image, IMAGE: Image, INFO: CameraInfo, POSE: PoseStamped}
COMPRESSED = {DEPTH: f"{DEPTH}/compressedDepth", IMAGE: f"{IMAGE}/compressed"}


class LiveView(SpunNode):
    """Collects what the node `name` publishes; the `take`s hand over what is new.

    name: with its namespace, `/da3`. Cameras of a rig are found as they appear. compressed: take
    the compressed topics of depth and picture.
    """

    def __init__(self, name: str = "/da3", *, compressed: bool = False):
        self.name = "/" + name.strip("/")
        self._compressed = COMPRESSED if compressed else {}
        self._lock = threading.Lock()
        self._parts: OrderedDict[tuple[str, int], dict[str, object]] = OrderedDict()
        self._frames: dict[str, ViewFrame] = {}
        self._status: Status | None = None
        self._heard_at = 0.0
        self._poses: CameraPoses | None = None
        self._cameras: set[str] = set()
        self._mesh: trimesh.Trimesh | None = None
        super().__init__("da3_view")
        self.node.create_subscription(Status, f"{self.name}/status", self._on_status, 10)
        self.node.create_subscription(
            CameraPoses, f"{self.name}/camera_poses", self._on_poses, NEWEST
        )
        self.node.create_subscription(Marker, f"{self.name}/mesh_marker", self._on_mesh, LATCHED)
        self.node.create_timer(LOOK_PERIOD, self._look)
        self._look()

    def take(self) -> list[ViewFrame]:
        """The newest frame of each camera that has a new one."""
        with self._lock:
            frames, self._frames = list(self._frames.values()), {}
        return frames

    def take_mesh(self) -> trimesh.Trimesh | None:
        """The mesh in the world, m, when a new one was built or loaded."""
        with self._lock:
            mesh, self._mesh = self._mesh, None
        return mesh

    def status(self) -> Status | None:
        """The newest status; None when none came in the last five seconds."""
        return self._status if time.monotonic() - self._heard_at < 5.0 else None

    def take_window(self) -> tuple[list[np.ndarray], int] | None:
        """T_world_cam (4, 4) of a new window's views and the index of the reference."""
        with self._lock:
            msg, self._poses = self._poses, None
        given = (msg.poses or msg.network_poses) if msg else ()
        if not 0 < len(given) <= MOST_VIEWS:
            return None
        try:
            return [pose_matrix(pose) for pose in given], msg.reference
        except PoseError:
            return None

    def _look(self) -> None:
        """Subscribe to cameras that were not there before."""
        pattern = re.compile(rf"{re.escape(self.name)}/(?:(.+)/)?{DEPTH}")
        for topic, _ in self.node.get_topic_names_and_types():
            match = pattern.fullmatch(topic)
            is_new = match and (match[1] or "") not in self._cameras
            if is_new and len(self._cameras) < MOST_CAMERAS:
                self._subscribe(match[1] or "")

    def _subscribe(self, camera: str) -> None:
        self._cameras.add(camera)
        prefix = f"{self.name}/{camera}/" if camera else f"{self.name}/"
        for part, kind in KINDS.items():
            self.node.create_subscription(
                CompressedImage if part in self._compressed else kind,
                prefix + self._compressed.get(part, part),
                lambda msg, part=part: self._on_part(camera, part, msg),
                NEWEST,
            )

    def _on_status(self, msg: Status) -> None:
        self._status, self._heard_at = msg, time.monotonic()

    def _on_poses(self, msg: CameraPoses) -> None:
        with self._lock:
            self._poses = msg

    def _on_mesh(self, msg: Marker) -> None:
        try:
            mesh = marker_mesh(msg)
        except (PoseError, ValueError):  # no mesh of our node
            return
        with self._lock:
            self._mesh = mesh

    def _on_part(self, camera: str, part: str, msg) -> None:
        key = camera, stamp_to_ns(msg.header.stamp)
        parts = self._parts.setdefault(key, {})
        parts[part] = msg
        # A node without poses publishes none; the next stamp shows that none will come.
        if len(parts) == len(KINDS):
            self._finish(*key)
        while len(self._parts) > UNFINISHED:
            self._finish(*next(iter(self._parts)))

    def _finish(self, camera: str, stamp_ns: int) -> None:
        frame = view_frame(camera, stamp_ns, self._parts.pop((camera, stamp_ns)))
        if frame:
            with self._lock:
                self._frames[camera] = frame


def view_frame(camera: str, stamp_ns: int, parts: dict[str, object]) -> ViewFrame | None:
    """Of the messages of one stamp; None when depth, picture or camera are missing or bad."""
    if not {DEPTH, IMAGE, INFO} <= parts.keys():
        return None
    try:
        rgb, depth = _rgb(parts[IMAGE]), _depth(parts[DEPTH])
        model = rectified_camera_model(parts[INFO])
        pose = parts.get(POSE)
        T_world_cam = None if pose is None else pose_matrix(pose.pose)
    except (ImageError, CameraError, PoseError):
        return None
    if rgb.shape[:2] != depth.shape or depth.shape != (model.height, model.width):
        return None
    if model.height > TALLEST * model.width:
        return None
    return ViewFrame(camera, stamp_ns, rgb, depth, model, T_world_cam)


def _rgb(msg: Image | CompressedImage) -> np.ndarray:
    return to_rgb(msg) if isinstance(msg, Image) else compressed_to_rgb(msg)


def _depth(msg: Image | CompressedImage) -> np.ndarray:
    return depth_metres(msg) if isinstance(msg, Image) else compressed_depth_metres(msg)


def marker_mesh(msg: Marker) -> trimesh.Trimesh:
    """The triangles of a visualization_msgs/Marker of kind TRIANGLE_LIST. Raises `PoseError`, and
    `ValueError` for what is none."""
    if msg.type != Marker.TRIANGLE_LIST or len(msg.points) % 3:
        raise ValueError(f"a marker of type {msg.type} with {len(msg.points)} points is no mesh")
    corners = np.array([(p.x, p.y, p.z) for p in msg.points]).reshape(-1, 3)
    T = pose_matrix(msg.pose)
    faces = np.arange(len(corners)).reshape(-1, 3)
    colors = np.array([(c.r, c.g, c.b) for c in msg.colors])
    return trimesh.Trimesh(
        corners @ T[:3, :3].T + T[:3, 3],
        faces,
        vertex_colors=np.round(255 * colors).astype(np.uint8)
        if len(colors) == len(corners)
        else None,
        process=False,
    )
