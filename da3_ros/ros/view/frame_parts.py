"""Messages that the node publishes of one frame, gathered by their stamp."""

from __future__ import annotations

import math
from collections import OrderedDict
from collections.abc import Collection, Iterator

import numpy as np
from geometry_msgs.msg import PoseStamped
from sensor_msgs.msg import CameraInfo, CompressedImage, Image

from da3_ros.core.camera_model import CameraError
from da3_ros.core.poses import PoseError
from da3_ros.ros.compressed import compressed_depth_metres
from da3_ros.ros.depth_images import depth_metres
from da3_ros.ros.images import ImageError, decode
from da3_ros.ros.messages import pose_matrix, rectified_camera_model, stamp_to_ns
from da3_ros.ros.outputs.topics import CAMERA_POSE, DEPTH, DEPTH_INFO, IMAGE
from da3_ros.ros.view.view_frame import ViewFrame

KINDS = {DEPTH: Image, IMAGE: Image, DEPTH_INFO: CameraInfo, CAMERA_POSE: PoseStamped}
"""Topics of a camera, below the node's name, and their messages."""

UNFINISHED = 8
"""Stamps that wait for their other messages."""

TALLEST = 8
"""Times as high as wide: the page shows all pictures in one width."""


class FrameParts:
    """Gathers the messages of each stamp of each camera. A frame comes out once, when all of its
    messages are there, or when `UNFINISHED` newer stamps wait: a node without poses sends none.

    unit: of the depth of the frames that come, as of `unit_of`.
    """

    def __init__(self, unit: str = ""):
        self.unit = unit
        self._parts: OrderedDict[tuple[str, int], dict[str, object]] = OrderedDict()

    def add(
        self, camera: str, part: str, msg, wanted: Collection[str] = KINDS
    ) -> Iterator[ViewFrame]:
        """Take a message; yields what can be shown now.

        part: its topic, one of `KINDS`. wanted: the topics that this camera has.
        """
        key = camera, stamp_to_ns(msg.header.stamp)
        parts = self._parts.setdefault(key, {})
        parts[part] = msg
        finished = [key] if parts.keys() >= set(wanted) else []
        too_many = len(self._parts) - len(finished) - UNFINISHED
        finished += [k for k in self._parts if k not in finished][: max(too_many, 0)]
        for camera, stamp_ns in finished:
            frame = _view_frame(camera, stamp_ns, self._parts.pop((camera, stamp_ns)), self.unit)
            if frame:
                yield frame


def unit_of(scale: float) -> str:
    """Of depth, by the scale that the node says (NaN where its depth is in no known unit)."""
    return "m" if math.isfinite(scale) else ""


def _view_frame(
    camera: str, stamp_ns: int, parts: dict[str, object], unit: str
) -> ViewFrame | None:
    """Of the messages of one stamp; None when depth, picture or camera are missing or bad."""
    if not {DEPTH, IMAGE, DEPTH_INFO} <= parts.keys():
        return None
    try:
        rgb, depth = decode(parts[IMAGE]), _depth(parts[DEPTH])
        model = rectified_camera_model(parts[DEPTH_INFO])
        pose = parts.get(CAMERA_POSE)
        T_world_cam = None if pose is None else pose_matrix(pose.pose)
    except (ImageError, CameraError, PoseError):
        return None
    if rgb.shape[:2] != depth.shape or depth.shape != (model.height, model.width):
        return None
    if model.height > TALLEST * model.width:
        return None
    return ViewFrame(camera, stamp_ns, rgb, depth, model, T_world_cam, unit)


def _depth(msg: Image | CompressedImage) -> np.ndarray:
    return depth_metres(msg) if isinstance(msg, Image) else compressed_depth_metres(msg)
