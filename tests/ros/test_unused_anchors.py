"""Metres that shall rest on points from outside, and cannot: ~/status says so, and why."""

import time

import numpy as np
import pytest
from da3_ros.msg import Status
from diagnostic_msgs.msg import DiagnosticArray
from graph import a_robot, node_starter
from sensor_msgs.msg import Image, PointCloud2
from xyz_cloud import xyz_cloud

from da3_ros.ros import messages

robot = pytest.fixture(a_robot)
start = pytest.fixture(node_starter)


def cloud(stamp_ns, z, frame_id="camera_optical_frame"):
    """400 points before the camera, or behind it."""
    x, y = np.random.default_rng(0).uniform(-1, 1, (2, 400))
    head = messages.header(frame_id, stamp_ns)
    return xyz_cloud(head, np.stack([x, y, np.full(400, z)], axis=-1))


def depth(stamp_ns):
    msg = Image(header=messages.header("camera_optical_frame", stamp_ns), width=2, height=2)
    msg.encoding, msg.step, msg.data = "32FC1", 8, np.full(4, 3.0, np.float32).tobytes()
    return msg


def test_each_cause_is_said(robot, start):
    node = start(scale__source="anchors")
    robot.listen(Image, "/da3/depth/image")
    robot.listen(Status, "/da3/status")
    robot.listen(DiagnosticArray, "/diagnostics")
    points = robot.node.create_publisher(PointCloud2, "anchor/points", 10)
    robot.wait_for_node(robot.image, robot.info, robot.tf, robot.tf_static, points)

    old_ns = robot.next_stamp() - 3 * 10**9
    robot.send_tf(old_ns)
    robot.send_until_published()
    status = robot.fresh_status()
    assert status.level == Status.WARN and status.scale_source == "cameras"
    assert "points from outside" not in status.reason  # none have come, which is said as that

    depths = robot.node.create_publisher(Image, "anchor/depth", 10)
    robot.wait_for_node(depths)
    depths.publish(depth(old_ns))
    robot.send_until_published()
    reason = robot.fresh_status().reason
    assert "scale.source is anchors, but no message with points from outside can be used" in reason
    assert "anchor/depth waits for its camera info on anchor/camera_info" in reason

    points.publish(cloud(old_ns, z=3.0))
    robot.send_until_published()
    assert "more than 1 s older than the image (scale.anchor_age)" in robot.fresh_status().reason

    def with_anchors(z, frame_id="camera_optical_frame"):
        stamp_ns = robot.send()
        points.publish(cloud(stamp_ns, z, frame_id))
        time.sleep(0.2)
        return stamp_ns

    robot.send_until_published(lambda: with_anchors(-3.0))
    reason = robot.fresh_status().reason
    assert "the picture shows none or too few of the points from outside" in reason
    values = {v.key: v.value for v in robot.received["/diagnostics"][-1].status[0].values}
    assert values["anchors: used"] == "4"
    assert values["anchors: received"] == "5"  # one depth image still waits for its camera info

    robot.send_until_published(lambda: with_anchors(3.0, "lidar"), count=15)
    reason = robot.fresh_status().reason
    assert "no points from outside have a place in the world" in reason
    assert "anchor/points is dropped: frame 'lidar' does not exist in TF" in reason
    for _ in range(6):  # longer than a warning is held back
        robot.send_until_published(lambda: with_anchors(3.0, "lidar"), count=5)
    assert len(node.matching("no points from outside have a place in the world")) == 1
