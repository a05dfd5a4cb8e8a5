"""The third party of the demo: subscribes to what the node publishes, as a user would."""

from __future__ import annotations

import time
from dataclasses import dataclass, field

import cv2
import numpy as np
from diagnostic_msgs.msg import DiagnosticArray
from geometry_msgs.msg import PoseStamped
from sensor_msgs.msg import Image, PointCloud2

from da3_ros.msg import Status
from da3_ros.ros.background_node import LATCHED, BackgroundNode
from da3_ros.ros.depth_images import depth_metres
from da3_ros.ros.images import to_rgb
from da3_ros.ros.messages import cloud_points, pose_matrix, stamp_to_ns
from da3_ros.ros.outputs import topics
from da3_ros.ros.parameter_file import NODE_NAME

CLOUD_STEP = 3
"""Every n-th pixel and row goes into the picture from above."""

SHOT_WIDTH = 320
"""px of the pictures that are kept for the video."""

MOST_SHOTS = 240
"""Kept for the video; when there are more, every second one goes."""

NODE = f"/{NODE_NAME}/"


@dataclass
class Shot:
    """What came of one stamp, as it came. rgb, depth: (h, `SHOT_WIDTH`). points: (N, 3) m in the
    optical frame, colors: (N, 3) uint8. T_world_cam: (4, 4)."""

    rgb: np.ndarray | None = None
    depth: np.ndarray | None = None
    points: np.ndarray = field(default_factory=lambda: np.zeros((0, 3)))
    colors: np.ndarray = field(default_factory=lambda: np.zeros((0, 3), np.uint8))
    T_world_cam: np.ndarray | None = None

    def cloud(self) -> tuple[np.ndarray, np.ndarray]:
        """Known points (N, 3) in the world, m, and colors; none without a pose."""
        if self.T_world_cam is None:
            return np.zeros((0, 3)), np.zeros((0, 3), np.uint8)
        known = np.isfinite(self.points).all(axis=1)
        R, t = self.T_world_cam[:3, :3], self.T_world_cam[:3, 3]
        return self.points[known] @ R.T + t, self.colors[known]


class Listener(BackgroundNode):
    """Collects depth, clouds, poses and the status of the node `da3`."""

    def __init__(self):
        self.depth: np.ndarray | None = None
        self.rgb: np.ndarray | None = None
        self.status: Status | None = None
        self.depth_images = 0
        self.stages: dict[str, list[float]] = {}
        self._shots: dict[int, Shot] = {}
        self._map: PointCloud2 | None = None
        super().__init__("da3_demo")
        self._subscribe()

    def _subscribe(self) -> None:
        create = self.node.create_subscription
        create(Image, NODE + topics.DEPTH, self._on_depth, 10)
        create(Image, NODE + topics.IMAGE, self._on_image, 10)
        create(PointCloud2, NODE + topics.POINTS, self._on_points, 10)
        create(PoseStamped, NODE + topics.CAMERA_POSE, self._on_pose, 10)
        create(Status, NODE + topics.STATUS, self._on_status, 10)
        create(DiagnosticArray, "/diagnostics", self._on_diagnostics, 10)

    def shots(self) -> dict[int, Shot]:
        """Those with picture and depth, by stamp in ns, in order."""
        shots = sorted(self._shots.items())
        return {ns: s for ns, s in shots if s.rgb is not None and s.depth is not None}

    def fused_map(self, timeout: float) -> tuple[np.ndarray, np.ndarray] | None:
        """Points (N, 3) m and colors (N, 3) uint8 of `cloud_map`; None if none comes in time."""
        self.node.create_subscription(PointCloud2, NODE + topics.CLOUD_MAP, self._on_map, LATCHED)
        deadline = time.monotonic() + timeout
        while self._map is None and time.monotonic() < deadline:
            time.sleep(0.05)
        return None if self._map is None else _points_and_colors(cloud_points(self._map))

    def _shot(self, msg) -> Shot:
        stamp_ns = stamp_to_ns(msg.header.stamp)
        if stamp_ns not in self._shots and len(self._shots) >= 2 * MOST_SHOTS:
            self._shots = dict(sorted(self._shots.items())[::2])
        return self._shots.setdefault(stamp_ns, Shot())

    def _on_depth(self, msg: Image) -> None:
        self.depth = depth_metres(msg)
        self.depth_images += 1
        self._shot(msg).depth = _small(self.depth, cv2.INTER_NEAREST)

    def _on_image(self, msg: Image) -> None:
        self.rgb = to_rgb(msg)
        self._shot(msg).rgb = _small(self.rgb, cv2.INTER_AREA)

    def _on_points(self, msg: PointCloud2) -> None:
        shot = self._shot(msg)
        points = cloud_points(msg)[::CLOUD_STEP, ::CLOUD_STEP]
        shot.points, shot.colors = _points_and_colors(points)

    def _on_pose(self, msg: PoseStamped) -> None:
        self._shot(msg).T_world_cam = pose_matrix(msg.pose)

    def _on_map(self, msg: PointCloud2) -> None:
        self._map = msg

    def _on_status(self, msg: Status) -> None:
        self.status = msg

    def _on_diagnostics(self, msg: DiagnosticArray) -> None:
        ours = (entry for entry in msg.status if entry.name == f"{NODE_NAME}: depth")
        for pair in (pair for entry in ours for pair in entry.values):
            if pair.key.endswith(" [ms]"):
                self.stages.setdefault(pair.key.removesuffix(" [ms]"), []).append(float(pair.value))


def _small(picture: np.ndarray, interpolation: int) -> np.ndarray:
    height = max(1, round(SHOT_WIDTH * picture.shape[0] / picture.shape[1]))
    return cv2.resize(picture, (SHOT_WIDTH, height), interpolation=interpolation)


def _points_and_colors(points: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    points = points.ravel()
    packed = points["rgb"].view(np.uint32)
    colors = np.stack([packed >> 16 & 255, packed >> 8 & 255, packed & 255], axis=-1)
    return np.stack([points[axis] for axis in "xyz"], axis=-1), colors.astype(np.uint8)
