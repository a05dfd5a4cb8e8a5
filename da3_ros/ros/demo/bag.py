"""The demo's default bag: a robot drives once around the table of the synthetic room.

Topics: /camera/image_raw, /camera/camera_info, /tf (odom -> base_link), /tf_static
(base_link -> camera_optical_frame) and, as ground truth, /ground_truth/depth (32FC1).
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
from tf2_msgs.msg import TFMessage

from da3_ros.core import poses
from da3_ros.ros import messages
from da3_ros.ros.bags.bag import BagWriter
from da3_ros.ros.bags.partial import partial_folder, remove_abandoned
from da3_ros.synthetic.room import CAMERA, CAMERA_HEIGHT, demo_path, render_room

START_NS = 1_700_000_000_000_000_000
RATE = 10
"""Images per second."""
TF_PER_IMAGE = 5
DEMO_CAMERA = CAMERA.scaled(width=320, height=240)

T_BASE_CAMERA = poses.compose(poses.T_BODY_OPTICAL[:3, :3], np.array([0.1, 0.0, CAMERA_HEIGHT]))
"""The camera looks straight ahead."""


def write_demo_bag(
    path: str | Path, *, frames: int = 60, progress: Callable[[int], None] = lambda i: None
) -> None:
    """Render and write the bag, whole or not at all. `progress` is called with the number of each
    frame done."""
    path = Path(path)
    remove_abandoned(path.parent)
    with partial_folder(path) as folder, BagWriter(folder) as bag:
        _write_mount(bag)
        T_world_camera = demo_path(frames * TF_PER_IMAGE)
        for i, T in enumerate(T_world_camera):
            stamp_ns = START_NS + i * 1_000_000_000 // (RATE * TF_PER_IMAGE)
            _write_motion(bag, stamp_ns, T)
            if i % TF_PER_IMAGE == 0:
                _write_view(bag, stamp_ns, T)
                progress(i // TF_PER_IMAGE + 1)


def _write_mount(bag: BagWriter) -> None:
    head = messages.header("base_link", START_NS)
    mount = messages.transform_message(T_BASE_CAMERA, head, "camera_optical_frame")
    bag.write("/tf_static", START_NS, TFMessage(transforms=[mount]))


def _write_motion(bag: BagWriter, stamp_ns: int, T_world_camera: np.ndarray) -> None:
    T_odom_base = T_world_camera @ poses.inverse(T_BASE_CAMERA)
    head = messages.header("odom", stamp_ns)
    msg = TFMessage(transforms=[messages.transform_message(T_odom_base, head, "base_link")])
    bag.write("/tf", stamp_ns, msg)


def _write_view(bag: BagWriter, stamp_ns: int, T_world_camera: np.ndarray) -> None:
    view = render_room(T_world_camera, DEMO_CAMERA)
    head = messages.header("camera_optical_frame", stamp_ns)
    bag.write("/camera/camera_info", stamp_ns, messages.camera_info_message(view.camera, head))
    bag.write("/camera/image_raw", stamp_ns, messages.image_message(view.image, "rgb8", head))
    depth = messages.depth_message(view.depth, "32FC1", head)
    bag.write("/ground_truth/depth", stamp_ns, depth)
