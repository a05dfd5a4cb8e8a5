"""Right cameras of stereo pairs: with a frame of their own (RealSense, ZED, OAK), or the left's."""

import numpy as np
import pytest
from graph import mount_message, picture_messages, pose_message
from sensor_msgs.msg import CameraInfo

from da3_ros.core.config import PoseConfig, from_dict
from da3_ros.core.frame_counts import FrameCounts
from da3_ros.core.live_config import LiveConfig
from da3_ros.ros.bags.bag import BagReader, BagWriter
from da3_ros.ros.health.throttled_log import ThrottledLog
from da3_ros.ros.inputs.cameras import CameraInputs
from da3_ros.ros.inputs.pose_source import PoseSource
from da3_ros.ros.inputs.stereo_frames import StereoFrames
from da3_ros.ros.topics.find_camera import find_topics

BASELINE = 0.12
ASIDE = -BASELINE
"""The optical x points to the robot's right, its y to the left."""
NS = 10**9


class Rig:
    """Cameras by name; the frames that they make, by name."""

    def __init__(self, *names, first_frames=None):
        self.frames, self.said = {}, []
        self.poses = PoseSource(PoseConfig())
        self.poses.stereo.frames = first_frames
        config = from_dict({"input.cameras": [*names], "pose.world_frame": "odom"})
        self.cameras = CameraInputs(
            LiveConfig(config),
            FrameCounts(),
            ThrottledLog(self, clock=lambda: 0.0),
            self.poses,
            lambda name, frame: self.frames.setdefault(name, frame),
            lambda what, seconds: None,
            now_ns=lambda: 0,
        )
        for frame in ("left", "right"):
            self.poses.take_transforms(mount_message(0, "base_link", frame), static=True)
        self.poses.take_transforms(pose_message(NS, x=0.0), static=False)

    def warning(self, sentence):
        self.said.append(sentence)

    def send(self, name, frame, info_frame="", baseline=0.0):
        image, info = picture_messages(NS)
        image.header.frame_id, info.header.frame_id = frame, info_frame or frame
        self.cameras.inputs[name].on_info(with_baseline(info, baseline))
        self.cameras.on_image(self.cameras.inputs[name], image)

    def aside(self, name):
        """Metres that the camera is taken to stand to the left of its frame."""
        return self.frames[name].T_world_cam[1, 3]


def with_baseline(info: CameraInfo, baseline: float) -> CameraInfo:
    info.p[3] = -info.p[0] * baseline
    return info


def test_a_right_camera_with_a_frame_of_its_own_is_where_tf_says():
    rig = Rig("a", "b")
    rig.send("a", "left")
    rig.send("b", "right", baseline=BASELINE)
    assert rig.aside("a") == rig.aside("b") == 0
    assert not rig.said


def test_alone_its_frame_is_its_own_and_that_is_said():
    rig = Rig("")
    rig.send("", "right", baseline=BASELINE)
    assert rig.aside("") == 0
    (said,) = rig.said
    assert "0.120 m beside the first of a stereo pair" in said and "'right'" in said


def test_what_is_known_from_the_bag_counts():
    rig = Rig("", first_frames={"left"})
    rig.send("", "left", baseline=BASELINE)
    assert rig.aside("") == pytest.approx(ASIDE)
    assert not rig.said


def test_what_was_said_is_not_said_again_for_each_new_camera_info():
    rig = Rig("")
    for k in range(3):
        rig.poses.take_transforms(pose_message((k + 2) * NS, x=0.0), static=False)
        image, info = picture_messages((k + 1) * NS)
        image.header.frame_id = info.header.frame_id = "right"
        info.p[0] += k  # as an autofocus does
        rig.cameras.inputs[""].on_info(with_baseline(info, BASELINE))
        rig.cameras.on_image(rig.cameras.inputs[""], image)
    assert len(rig.said) == 1


def test_a_P_that_is_no_cameras_has_no_baseline():
    _, info = picture_messages(NS)
    info.p = np.r_[np.zeros(3), 5.0, np.zeros(8)]
    assert not StereoFrames({"camera_optical_frame"}).is_second(info)
    assert StereoFrames().doubt(info) is None


def test_the_frames_of_a_bag(tmp_path):
    with BagWriter(tmp_path / "bag") as bag:
        for side, baseline in (("left", 0.0), ("right", BASELINE)):
            image, info = picture_messages(NS)
            image.header.frame_id = info.header.frame_id = f"{side}_optical"
            bag.write(f"/{side}/image_rect", NS, image)
            bag.write(f"/{side}/camera_info", NS, with_baseline(info, baseline))
    with BagReader(tmp_path / "bag") as bag:
        for side in ("left", "right"):
            assert find_topics(bag, name=side).first_frames == {"left_optical"}
