"""Points known in metres in a bag: what the live node takes as anchors, offline."""

import re

import numpy as np
import pytest
from long_bag import PARAMETERS
from std_msgs.msg import Header
from xyz_cloud import xyz_cloud

from da3_ros.commands.process import FleetOptions, process_all
from da3_ros.ros.bags.bag import BagReader, BagWriter
from da3_ros.ros.bags.bag_job import BagJob
from da3_ros.ros.demo.bag import DEMO_CAMERA
from da3_ros.ros.topics.find_camera import Choice

FRAMES = 8
LATE_NS = 80_000_000
"""After its picture a cloud is recorded."""


def cloud(depth_msg):
    """The true points of 300 pixels, in the camera's frame."""
    depth = np.frombuffer(depth_msg.data, np.float32).reshape(depth_msg.height, depth_msg.width)
    xyz = (DEMO_CAMERA.rays() * depth[..., None]).reshape(-1, 3)
    head = Header(stamp=depth_msg.header.stamp, frame_id=depth_msg.header.frame_id)
    return xyz_cloud(head, xyz[np.random.default_rng(0).permutation(len(xyz))[:300]])


def write(room, path, points="", depth="", info="", prefix=""):
    """A copy with the truth as points, as depth images, or both; `prefix` before all topics."""
    with BagReader(room) as bag, BagWriter(path) as out:
        for topic, time_ns, msg in bag.messages(*(c.topic for c in bag.connections)):
            if topic != "/ground_truth/depth":
                out.write(prefix + topic, time_ns, msg)
            if topic == "/ground_truth/depth" and points:
                out.write(prefix + points, time_ns + LATE_NS, cloud(msg))
            if topic == "/ground_truth/depth" and depth:
                out.write(prefix + depth, time_ns + LATE_NS, msg)
            if topic == "/camera/camera_info" and info:
                out.write(prefix + info, time_ns, msg)
    return path


def sources(job):
    """What the metres of each window rest on, and their depth."""
    with BagReader(job.result) as bag:
        poses = [msg for _, _, msg in bag.messages("/da3/camera_poses")]
        depth = [msg for _, _, msg in bag.messages("/da3/depth/image")]
    return [msg.scale_source for msg in poses], depth


def error(room, depth):
    """Median relative error against the truth."""
    with BagReader(room) as bag:
        truth = {
            (m.header.stamp.sec, m.header.stamp.nanosec): np.frombuffer(m.data, np.float32)
            for _, _, m in bag.messages("/ground_truth/depth")
        }
    errors = []
    for msg in depth:
        true = truth[msg.header.stamp.sec, msg.header.stamp.nanosec]
        found = np.frombuffer(msg.data, np.float32)
        known = np.isfinite(found)
        errors.append(np.median(np.abs(found[known] / true[known] - 1)))
    return np.mean(errors)


@pytest.mark.parametrize(
    "topics, choice, prefix",
    [
        ({"points": "/lidar/anchor/points"}, Choice(), ""),
        ({"points": "/velodyne_points"}, Choice(anchor_points="/velodyne_points"), ""),
        ({"depth": "/anchor/depth", "info": "/anchor/camera_info"}, Choice(), ""),
        (
            {"points": "/anchor/points"},
            Choice("/r1/camera/image_raw", "/r1/camera/camera_info", ("/r1/tf",)),
            "/r1",
        ),
    ],
)
def test_metres_rest_on_the_points_of_the_bag(room, tmp_path, topics, choice, prefix):
    bag = write(room, tmp_path / "bag", **topics, prefix=prefix)
    job = BagJob(bag, tmp_path / "out", PARAMETERS, choice=choice)
    (report,) = process_all([job])
    assert report.failure == "", report.failure
    found, depth = sources(job)
    assert len(found) > 3 and set(found) == {"anchors"}
    assert error(room, depth) < 0.12
    assert any(sentence.startswith("metres rest on the points of") for sentence in report.warnings)


def test_the_camera_info_of_the_picture_is_that_of_the_depth(room, tmp_path):
    """Depth that is registered to the colour camera has no camera info of its own."""
    bag = write(room, tmp_path / "bag", depth="/depth")
    choice = Choice(anchor_depth="/depth", anchor_camera_info="/camera/camera_info")
    job = BagJob(bag, tmp_path / "out", PARAMETERS, choice=choice)
    (report,) = process_all([job])
    assert report.failure == "" and set(sources(job)[0]) == {"anchors"}


@pytest.mark.parametrize(
    "choice, parameters, sentence",
    [
        (Choice(anchor_points="/x"), {}, "--anchor-points /x: there are none of this kind"),
        (Choice(anchor_depth="/ground_truth/depth"), {}, "--anchor-camera-info \\(there are /cam"),
        (Choice(anchor_depth="/x"), {"scale.source": "cameras"}, "needs poses, and scale.source"),
        (Choice(anchor_depth="/x"), {"pose.source": "none"}, "--anchor-depth needs poses"),
    ],
)
def test_anchors_that_cannot_be_used(room, tmp_path, choice, parameters, sentence):
    job = BagJob(room, tmp_path / "out", PARAMETERS | parameters, choice=choice)
    (report,) = process_all([job], FleetOptions())
    assert re.search(sentence, report.failure), report.failure


def test_points_that_nobody_chose_are_not_taken(room, tmp_path):
    """A lidar whose mount is not known well would do harm."""
    bag = write(room, tmp_path / "bag", points="/velodyne_points")
    job = BagJob(bag, tmp_path / "out", PARAMETERS)
    process_all([job])
    assert "anchors" not in sources(job)[0]


def test_clouds_with_more_fields_than_any_lidar_has_are_left_out(tmp_path):
    """A million of them take 14 s to become objects."""
    good, bad = (xyz_cloud(Header(), np.zeros((3, 3), np.float32)) for _ in range(2))
    bad.fields = bad.fields * 40
    with BagWriter(tmp_path / "bag") as out:
        for k, msg in enumerate((good, bad, good, bad)):
            out.write("/points", k, msg)
    with BagReader(tmp_path / "bag") as bag:
        assert [k for _, k, _ in bag.messages("/points")] == [0, 2]
        (note,) = bag.notes
    assert note.endswith(
        "/points holds clouds whose points have more than 100 fields; they are left out"
    )
