"""Thousands of random messages at every input: the node lives, counts and says why.

`python -m tools.soak --fuzz 10000` sends more of them.
"""

import time

import pytest
from da3_ros.msg import Status
from graph import Robot, start_node
from sensor_msgs.msg import Image

from da3_ros.ros.messages import stamp_to_ns
from tools.soak.fuzz import PARAMETERS, FuzzSender, refused_for_what_they_hold, unsaid
from tools.soak.fuzz_messages import Parts

ROUNDS, AT_ONCE = 1000, 100
INPUTS = {
    "none": ["image", "camera_info"],
    "odometry": ["image", "camera_info", "/tf", "/tf_static", "odometry"],
    "tf": ["image", "camera_info", "/tf", "/tf_static"],
}


@pytest.fixture(scope="module")
def parts():
    return Parts.draw()


@pytest.fixture
def robot():
    robot = Robot()
    robot.listen(Image, "/da3/depth/image", 1000)
    robot.listen(Status, "/da3/status")
    yield robot
    robot.close()


@pytest.fixture(params=INPUTS)
def source(request):
    return request.param


@pytest.fixture
def sender(robot, parts):
    return FuzzSender(robot.node, parts)


@pytest.fixture
def node(robot, sender, source, tmp_path):
    parameters = {name.replace(".", "__"): value for name, value in PARAMETERS.items()}
    process = start_node(tmp_path, pose__source=source, **parameters)
    process.wait_for("active")
    robot.wait_until(lambda: sender.is_heard(*INPUTS[source]), what="the node's inputs")
    # It has to find our publishers and subscriptions, too.
    assert sender.send_until(lambda: robot.received["/da3/depth/image"]), process.lines
    sender.forget_lost(settled_status(robot))
    yield process
    process.kill()


def settled_status(robot) -> Status:
    """After everything has been taken."""
    statuses = robot.received["/da3/status"]
    seen = len(statuses)
    robot.wait_until(
        lambda: (
            len(statuses) > seen + 2
            and statuses[-1].frames_received == statuses[-2].frames_received
        ),
        60,
        "the last status",
    )
    return statuses[-1]


def wait_until_taken(robot, sender):
    """A sender that is faster than the node would overflow any queue."""
    statuses = robot.received["/da3/status"]
    robot.wait_until(
        lambda: statuses and statuses[-1].frames_received >= sender.sent["image"],
        60,
        f"{sender.sent['image']} images counted",
    )


def test_any_message_may_come(robot, sender, node, source):
    for _ in range(ROUNDS // AT_ONCE):
        sender.send(AT_ONCE)
        wait_until_taken(robot, sender)
    # A wild stamp may still be the newest: the node starts over with the first good one.
    depths, begin = robot.received["/da3/depth/image"], time.time_ns()
    assert sender.send_until(
        lambda: any(begin < stamp_to_ns(m.header.stamp) < time.time_ns() for m in depths)
    )
    status = settled_status(robot)
    log = "\n".join(node.lines)
    assert "Traceback" not in log
    dropped = sum(status.dropped_counts)
    assert status.frames_received == status.frames_published + dropped + status.frames_pending
    assert status.frames_received == sender.sent["image"] > 2 * ROUNDS
    assert unsaid(status, log) == []
    refused = refused_for_what_they_hold(status)
    if source == "tf":
        assert refused == sender.refused and len(refused) == 5
    assert bool(refused) == (source != "none")
    assert node.stop() == 0
