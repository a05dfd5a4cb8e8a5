"""What the doctor says of a bag's images is what da3_process then does with them."""

import re

import pytest
from graph import TINY
from sensor_msgs.msg import CameraInfo, Image
from spoilt_bags import diagnose, spoil

from da3_ros.commands.process import process_all
from da3_ros.ros.bags.bag_job import BagJob
from da3_ros.ros.demo.bag import RATE, START_NS
from da3_ros.ros.messages import ns_to_stamp, stamp_to_ns

FRAMES = 16
SAID = {
    "out_of_order": r"(\d+) have stamps of another clock",
    "bad_header": r"(\d+) are with",
    "no_camera_info": r"(\d+) have no camera_info",
    "no_pose": r"(\d+) have no pose",
}


def ahead(seconds):
    """Of images and their infos."""

    def change(header):
        header.stamp = ns_to_stamp(stamp_to_ns(header.stamp) + round(1e9 * seconds))

    return change


def to_zero(header):
    header.stamp.sec = header.stamp.nanosec = 0


def nowhere(header):
    header.frame_id = "/"


def flood(header):
    header.frame_id = "x" * 300


def spoilt(bag, path, change, every):
    """The first images of a bag, every so manieth changed, and its info alike."""
    end_ns = START_NS + FRAMES * 1_000_000_000 // RATE

    def edit(topic, time_ns, msg):
        if time_ns >= end_ns:
            return None
        is_camera = isinstance(msg, (Image, CameraInfo)) and topic.startswith("/camera")
        if is_camera and round((time_ns - START_NS) * RATE / 1e9) % every == every - 1:
            change(msg.header)
        return topic, time_ns, msg

    return spoil(bag, path, edit)


@pytest.mark.parametrize(
    "change, every, reason",
    [
        (ahead(1.5), 2, "out_of_order"),
        (ahead(-1.5), 3, "out_of_order"),
        (ahead(-30.0), 4, "out_of_order"),
        (ahead(3600.0), 3, "out_of_order"),
        (to_zero, 3, "bad_header"),
        (nowhere, 3, "bad_header"),
        (flood, 4, "bad_header"),
    ],
)
def test_they_agree(drive_around, tmp_path, change, every, reason):
    path = spoilt(drive_around, tmp_path / "spoilt", change, every)
    finding = diagnose(path)["frames"]
    (report,) = process_all([BagJob(path, tmp_path / "out", {**TINY, "scale.max_spread": 10.0})])
    assert not report.failure
    said = {name: re.search(pattern, finding.seen) for name, pattern in SAID.items()}
    said = {name: int(found[1]) if found else 0 for name, found in said.items()}
    assert said == {name: report.counts.dropped[name] for name in SAID}
    # The first of another clock may be a pause, until it is seen that the others do not follow.
    assert said[reason] >= FRAMES // every - 1
    assert f"{sum(said.values())} of {FRAMES} images of the bag" in finding.seen
