"""What the doctor says of metres: good, spoilt, and where nothing can be said."""

import re

import numpy as np
import pytest
from sensor_msgs.msg import CameraInfo, Image
from spoilt_bags import diagnose, spoil, with_transform

from da3_ros.ros.doctor.findings import Verdict

GREY = 127


def late_poses(milliseconds):
    """The stamps of all poses are later than they should be."""

    def change(topic, time_ns, msg):
        if topic == "/tf":
            stamp = msg.transforms[0].header.stamp
            late = stamp.sec * 10**9 + stamp.nanosec + milliseconds * 10**6
            stamp.sec, stamp.nanosec = divmod(late, 10**9)
        return topic, time_ns, msg

    return change


def focal_length(times):
    """Of K and P."""

    def change(topic, time_ns, msg):
        if isinstance(msg, CameraInfo):
            msg.k = msg.k * np.array([times, 1, 1, 1, times, 1, 1, 1, 1])
            msg.p = msg.p * np.array([times, 1, 1, 1, 1, times, 1, 1, 1, 1, 1, 1])
        return topic, time_ns, msg

    return change


def stand_still(topic, time_ns, msg):
    if topic == "/tf":
        msg = with_transform(msg, np.eye(4))
    return topic, time_ns, msg


def turn_on_the_spot(topic, time_ns, msg):
    """Not about the camera's place, which moves 2 cm."""
    if topic == "/tf":
        yaw = time_ns % 10**9 * 2e-10
        T = np.eye(4)
        T[:2, :2] = [[np.cos(yaw), -np.sin(yaw)], [np.sin(yaw), np.cos(yaw)]]
        msg = with_transform(msg, T)
    return topic, time_ns, msg


def without_texture(topic, time_ns, msg):
    if isinstance(msg, Image) and topic != "/ground_truth/depth":
        msg.data = bytes([GREY]) * len(msg.data)
    return topic, time_ns, msg


def few_images(topic, time_ns, msg):
    """Three: fewer than a window has."""
    is_late = time_ns % 10**10 > 0.25e9
    return None if topic == "/camera/image_raw" and is_late else (topic, time_ns, msg)


def metres_of(bag, **parameters):
    return diagnose(bag, **parameters)["metres"]


def number(pattern, text):
    (found,) = re.findall(pattern, text)
    return float(found)


def test_a_good_bag_says_points_spread_and_residual(drive_around):
    finding = metres_of(drive_around)
    assert finding.verdict is Verdict.OK and finding.seen.startswith("from parallax"), finding
    assert number(r"(\d+) points a window", finding.seen) > 60
    assert number(r"([\d.]+)% apart", finding.seen) < 2
    assert number(r"([\d.]+) px off", finding.seen) < 0.5


@pytest.mark.parametrize(
    "change, pattern, low, high",
    [
        (late_poses(100), r"(\d+) ms too early", 80, 120),
        (focal_length(1.05), r"focal length ([\d.]+)% too long", 4, 6),
        (focal_length(0.95), r"focal length ([\d.]+)% too short", 4, 6),
    ],
)
def test_what_does_not_fit_the_pictures_is_named(
    drive_around, tmp_path, change, pattern, low, high
):
    finding = metres_of(spoil(drive_around, tmp_path / "spoilt", change))
    assert finding.verdict is Verdict.WARN, finding
    assert "poses, calibration or time stamps do not fit the pictures" in finding.seen
    assert low < number(pattern, finding.seen) < high, finding
    assert "camera_info" in finding.fix


def test_poses_of_later_than_the_pictures_raise_the_alarm(drive_around, tmp_path):
    finding = metres_of(spoil(drive_around, tmp_path / "spoilt", late_poses(-100)))
    assert finding.verdict is Verdict.WARN and "do not fit the pictures" in finding.seen
    assert "focal" not in finding.seen


@pytest.mark.parametrize(
    "change, sentence, fix",
    [
        (stand_still, "stands still, or only turns; it moved 0.00 m", "move it sideways"),
        (turn_on_the_spot, "stands still, or only turns; it moved 0.02 m", "anchor/points"),
        (without_texture, "from distances between cameras alone: 0 points", "textured"),
        (few_images, "3 images have a pose, a window needs 4", "record longer"),
    ],
)
def test_where_points_say_nothing(drive_around, tmp_path, change, sentence, fix):
    finding = metres_of(spoil(drive_around, tmp_path / "spoilt", change))
    assert finding.verdict is Verdict.WARN
    assert sentence in finding.seen and fix in finding.fix


def test_windows_that_disagree_about_points_are_said(drive_around):
    finding = metres_of(drive_around, scale__max_spread=0.001)
    assert finding.verdict is Verdict.WARN and "contradict each other" in finding.seen


def test_parameters_say_what_metres_rest_on(drive_around, tmp_path):
    finding = metres_of(drive_around, scale__source="cameras")
    assert finding.verdict is Verdict.OK and finding.seen.startswith("scale.source is cameras")
    assert "window.size is 1" in metres_of(drive_around, window__size=1).seen
    finding = metres_of(drive_around, input__mask=str(tmp_path / "none.png"))
    assert finding.verdict is Verdict.WARN and "there is no such file" in finding.seen
