"""~/status and /diagnostics say what is wrong with poses and scale; the node is real."""

import time

import pytest
from da3_ros.msg import Status
from diagnostic_msgs.msg import DiagnosticArray
from graph import Robot, start_node
from sensor_msgs.msg import Image


@pytest.fixture(scope="module")
def robot():
    robot = Robot()
    robot.listen(Image, "/da3/depth/image")
    robot.listen(Status, "/da3/status")
    robot.listen(DiagnosticArray, "/diagnostics")
    yield robot
    robot.close()


@pytest.fixture(scope="module")
def node(robot, tmp_path_factory):
    """No spread of the scale is small enough for it: a trained network's views never agree."""
    process = start_node(tmp_path_factory.mktemp("node"), window__size=4, scale__max_spread=0.0)
    process.wait_for("active: waiting for images")
    robot.wait_for_node()
    yield process
    process.kill()


def send_until(robot, condition, what):
    """Good frames until a new status fulfils the condition; returns it."""
    statuses = robot.received["/da3/status"]
    deadline = time.monotonic() + 30
    while not (statuses and condition(statuses[-1])):
        assert time.monotonic() < deadline, f"timed out: {what}"
        robot.send()
        time.sleep(0.1)
    return statuses[-1]


def diagnostics_of(robot, status):
    messages = robot.received["/diagnostics"]
    robot.wait_until(lambda: any(m.header.stamp == status.stamp for m in messages))
    (message,) = (m for m in messages if m.header.stamp == status.stamp)
    return message.status[0]


def test_views_that_disagree_about_the_scale(robot, node):
    status = send_until(robot, lambda s: s.window_scale_spread > 0, "a spread")
    assert status.level == Status.WARN
    assert "the views of a window disagree about the scale by" in status.reason
    assert status.scale_spread != status.scale_spread  # none is in use
    entry = diagnostics_of(robot, status)
    assert "disagree about the scale" in entry.message
    values = {v.key: v.value for v in entry.values}
    assert float(values["scale spread of the window"]) == pytest.approx(
        status.window_scale_spread, abs=1e-3
    )


def test_age_of_the_newest_transform(robot, node):
    status = send_until(robot, lambda s: s.transform_age > -100, "transforms")
    # The robot's stamps run as its frames are sent, not as the clock does.
    newest_ns = robot._start_ns + robot.count * 100_000_000
    assert abs((time.time_ns() - newest_ns) / 1e9 - status.transform_age) < 3
    time.sleep(2.5)  # nobody sends transforms
    assert robot.received["/da3/status"][-1].transform_age > status.transform_age + 0.9


def test_misses_and_refusals_by_cause(robot, node):
    robot.send_tf(robot.next_stamp(), x=float("nan"))
    for frame in ("ghost_frame", "camera_optical_frame"):  # unknown, and its pose never comes
        image, info = robot.messages(robot.next_stamp() + 20_000_000)
        image.header.frame_id = info.header.frame_id = frame
        robot.info.publish(info)
        robot.send_image(image)
        time.sleep(0.8)
    status = send_until(robot, lambda s: len(s.pose_misses) == 2, "two misses")
    misses = dict(zip(status.pose_misses, status.pose_miss_counts))
    assert misses["unknown frame"] == 1 and misses["after the newest transform"] > 0
    assert list(status.transforms_refused) == ["NaN or infinity"]
    assert list(status.transforms_refused_counts) == [1]
    dropped = dict(zip(status.dropped_reasons, status.dropped_counts))
    assert dropped["no_pose"] == sum(misses.values())
    values = {v.key: v.value for v in diagnostics_of(robot, status).values}
    assert values["no pose: unknown frame"] == values["transform refused: NaN or infinity"] == "1"
    assert node.stop() == 0
