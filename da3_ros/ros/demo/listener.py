"""The third party of the demo: subscribes to what the node publishes, as a user would."""

from __future__ import annotations

import numpy as np
from diagnostic_msgs.msg import DiagnosticArray
from geometry_msgs.msg import PoseStamped
from sensor_msgs.msg import Image, PointCloud2

from da3_ros.msg import Status
from da3_ros.ros.background_node import SpunNode
from da3_ros.ros.images import to_rgb
from da3_ros.ros.messages import cloud_points, pose_matrix, stamp_to_ns

CLOUD_STEP = 3
"""Every n-th pixel and row goes into the picture from above."""


class Listener(SpunNode):
    """Collects depth, clouds, poses and the status of the node `da3`."""

    def __init__(self):
        self.depth: np.ndarray | None = None
        self.rgb: np.ndarray | None = None
        self.status: Status | None = None
        self.stages: dict[str, list[float]] = {}
        self._clouds: dict[int, tuple[np.ndarray, np.ndarray]] = {}
        self._poses: dict[int, np.ndarray] = {}
        super().__init__("da3_demo")
        self._subscribe()

    def _subscribe(self) -> None:
        create = self.node.create_subscription
        create(Image, "/da3/depth/image", self._on_depth, 10)
        create(Image, "/da3/image_rect", self._on_image, 10)
        create(PointCloud2, "/da3/points", self._on_points, 10)
        create(PoseStamped, "/da3/camera_pose", self._on_pose, 10)
        create(Status, "/da3/status", self._on_status, 10)
        create(DiagnosticArray, "/diagnostics", self._on_diagnostics, 10)

    def cloud(self) -> tuple[np.ndarray, np.ndarray]:
        """All points (N, 3) in the world, metres, and their colors (N, 3) uint8."""
        stamps = [stamp for stamp in self._clouds if stamp in self._poses]
        if not stamps:
            return np.zeros((0, 3)), np.zeros((0, 3), np.uint8)
        placed = [
            self._clouds[s][0] @ self._poses[s][:3, :3].T + self._poses[s][:3, 3] for s in stamps
        ]
        return np.vstack(placed), np.vstack([self._clouds[s][1] for s in stamps])

    def path(self) -> np.ndarray:
        """Camera positions (M, 3) in the world, by stamp."""
        positions = [self._poses[stamp][:3, 3] for stamp in sorted(self._poses)]
        return np.array(positions).reshape(-1, 3)

    def _on_depth(self, msg: Image) -> None:
        self.depth = np.frombuffer(msg.data, np.float32).reshape(msg.height, msg.width)

    def _on_image(self, msg: Image) -> None:
        self.rgb = to_rgb(msg)

    def _on_points(self, msg: PointCloud2) -> None:
        points = cloud_points(msg)[::CLOUD_STEP, ::CLOUD_STEP].ravel()
        xyz = np.stack([points[axis] for axis in "xyz"], axis=-1)
        packed = points["rgb"].view(np.uint32)
        colors = np.stack([packed >> 16 & 255, packed >> 8 & 255, packed & 255], axis=-1)
        self._clouds[stamp_to_ns(msg.header.stamp)] = xyz, colors.astype(np.uint8)

    def _on_pose(self, msg: PoseStamped) -> None:
        self._poses[stamp_to_ns(msg.header.stamp)] = pose_matrix(msg.pose)

    def _on_status(self, msg: Status) -> None:
        self.status = msg

    def _on_diagnostics(self, msg: DiagnosticArray) -> None:
        for pair in msg.status[0].values:
            if pair.key.endswith(" [ms]"):
                self.stages.setdefault(pair.key.removesuffix(" [ms]"), []).append(float(pair.value))
