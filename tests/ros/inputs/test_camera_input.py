"""One camera's way in, without a graph: errors on the way lose no other image."""

import pytest
from graph import mount_message, picture_messages, pose_message
from rclpy.clock import Clock

from da3_ros.core.config import PoseConfig, from_dict
from da3_ros.core.frame_counts import Drop, Ledger
from da3_ros.ros.health.throttled_log import Complaints
from da3_ros.ros.inputs.camera_input import CameraInput, Desk
from da3_ros.ros.inputs.pose_source import PoseSource

SECOND = 10**9


class Here(list):
    """A node as far as a camera asks, and a log."""

    warning = list.append

    def get_clock(self):
        return Clock()


def test_an_error_ends_one_frame_and_counts_it():
    taken = []

    def take(name, frame):
        if not taken:
            taken.append("a mistake")
            raise KeyError("a mistake")
        taken.append(frame.stamp_ns)

    here, ledger, poses = Here(), Ledger(), PoseSource(PoseConfig())
    config = from_dict({"model.process_res": 56})
    desk = Desk(here, config, ledger, Complaints(here), poses, take, here.append, lambda: None)
    camera = CameraInput("", desk)
    for second in (1, 2):
        image, info = picture_messages(second * SECOND)
        camera.on_info(info)
        camera.on_image(image)
    poses.take_transforms(mount_message(0, "base_link", "camera_optical_frame"), static=True)
    for second in (1, 2):
        poses.take_transforms(pose_message(second * SECOND, x=second), static=False)
    with pytest.raises(KeyError):
        camera.locate()
    counts = ledger.counts()
    assert counts.dropped[Drop.INTERNAL_ERROR.value] == counts.pending == 1
    camera.locate()
    assert taken == ["a mistake", 2 * SECOND]
