"""A node whose windows never get full says so, and parameters that contradict each other."""

import time

import pytest
from da3_ros.msg import Status
from graph import a_robot, node_starter
from sensor_msgs.msg import Image

robot = pytest.fixture(a_robot)
start = pytest.fixture(node_starter)


def test_a_camera_that_is_too_slow_for_its_window(robot, start):
    node = start(window__size=4, window__publish="newest", pose__publish_tf=True)
    robot.listen(Image, "/da3/depth/image")
    statuses = robot.listen(Status, "/da3/status")
    robot.wait_for_node()
    node.wait_for("pose.publish_tf is true, and has no effect: .* that is tf")
    first_ns = time.time_ns() - 100 * 10**9
    for k in range(5):
        stamp_ns = first_ns + k * 2 * 10**9
        image, info = robot.messages(stamp_ns)
        robot.send_tf(stamp_ns, x=0.2 * k)
        robot.info.publish(info)
        robot.send_image(image)
        time.sleep(0.1)
    node.wait_for("no depth: usable images come 2.0 s apart: a window of 4 takes 6.0 s")
    status = robot.fresh_status()
    assert status.level == Status.WARN and "raise it, or lower window.size" in status.reason
    assert not robot.received["/da3/depth/image"]
    robot.send_until_published(count=6)
    robot.wait_until(lambda: "usable images" not in statuses[-1].reason, what="the end of it")
