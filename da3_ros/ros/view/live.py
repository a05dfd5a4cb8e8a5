"""A running node as the page's source: one more subscriber on the graph."""

from __future__ import annotations

import re
import threading
import time

import numpy as np
import trimesh
from rclpy.qos import QoSProfile, ReliabilityPolicy
from sensor_msgs.msg import CompressedImage
from visualization_msgs.msg import Marker

from da3_ros.core.input_config import MOST_CAMERAS
from da3_ros.core.poses import PoseError
from da3_ros.msg import CameraPoses, Status
from da3_ros.ros.background_node import LATCHED, BackgroundNode
from da3_ros.ros.messages import pose_matrix
from da3_ros.ros.outputs import topics
from da3_ros.ros.view.frame_parts import KINDS, FrameParts, unit_of
from da3_ros.ros.view.view_frame import ViewFrame

NEWEST = QoSProfile(depth=2, reliability=ReliabilityPolicy.BEST_EFFORT)
"""The newest is enough: what the page has no time for is dropped."""

MOST_VIEWS = 500
"""Of a window: each is drawn."""

LOOK_PERIOD = 1.0
"""Seconds between two looks for cameras that have come since."""

HEARD_WITHIN = 5.0
"""Seconds after which a status says nothing of now."""


class LiveView(BackgroundNode):
    """Collects what the node `name` publishes; the `take`s hand over what is new.

    name: with its namespace, `/da3`. Cameras of a rig are found as they appear. compressed: take
    the compressed topics of depth and picture.
    """

    def __init__(self, name: str, *, compressed: bool = False):
        self.name = "/" + name.strip("/")
        self._compressed = topics.COMPRESSED if compressed else {}
        self._lock = threading.Lock()
        self._parts = FrameParts()
        self._frames: dict[str, ViewFrame] = {}
        self._status: Status | None = None
        self._heard_at = 0.0
        self._poses: CameraPoses | None = None
        self._cameras: set[str] = set()
        self._mesh: trimesh.Trimesh | None = None
        super().__init__("da3_view")
        self.node.create_subscription(Status, f"{self.name}/{topics.STATUS}", self._on_status, 10)
        self.node.create_subscription(
            CameraPoses, f"{self.name}/{topics.CAMERA_POSES}", self._on_poses, NEWEST
        )
        self.node.create_subscription(
            Marker, f"{self.name}/{topics.MESH_MARKER}", self._on_mesh, LATCHED
        )
        self.node.create_timer(LOOK_PERIOD, self._look)
        self._look()

    def take(self) -> list[ViewFrame]:
        """The newest frame of each camera that has a new one."""
        with self._lock:
            frames, self._frames = list(self._frames.values()), {}
        return frames

    def take_mesh(self) -> trimesh.Trimesh | None:
        """The mesh in the world, m, when it is another one; empty when there is none any more."""
        with self._lock:
            mesh, self._mesh = self._mesh, None
        return mesh

    def status(self) -> Status | None:
        """The newest status; None when none came within `HEARD_WITHIN`."""
        return self._status if time.monotonic() - self._heard_at < HEARD_WITHIN else None

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
        pattern = re.compile(rf"{re.escape(self.name)}/(?:(.+)/)?{topics.DEPTH}")
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
        self._parts.unit = unit_of(msg.scale)

    def _on_poses(self, msg: CameraPoses) -> None:
        self._parts.unit = unit_of(msg.scale)
        with self._lock:
            self._poses = msg

    def _on_mesh(self, msg: Marker) -> None:
        try:
            mesh = trimesh.Trimesh() if msg.action == Marker.DELETE else marker_mesh(msg)
        except (PoseError, ValueError):  # no mesh of our node
            return
        with self._lock:
            self._mesh = mesh

    def _on_part(self, camera: str, part: str, msg) -> None:
        for frame in self._parts.add(camera, part, msg):
            with self._lock:
                self._frames[frame.camera_name] = frame


def marker_mesh(msg: Marker) -> trimesh.Trimesh:
    """The triangles of a visualization_msgs/Marker of kind TRIANGLE_LIST. Raises `PoseError`, and
    `ValueError` for anything else."""
    if msg.type != Marker.TRIANGLE_LIST or len(msg.points) % 3:
        raise ValueError(f"a marker of type {msg.type} with {len(msg.points)} points is not a mesh")
    corners = np.array([(p.x, p.y, p.z) for p in msg.points]).reshape(-1, 3)
    T = pose_matrix(msg.pose)
    faces = np.arange(len(corners)).reshape(-1, 3)
    colors = np.array([(c.r, c.g, c.b) for c in msg.colors])
    has_colors = len(colors) == len(corners)
    return trimesh.Trimesh(
        corners @ T[:3, :3].T + T[:3, 3],
        faces,
        vertex_colors=np.round(255 * colors).astype(np.uint8) if has_colors else None,
        process=False,
    )
