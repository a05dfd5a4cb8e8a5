"""A mistake in a callback is said, counted and survived."""

from pathlib import Path

import pytest
from da3_ros.msg import Status
from diagnostic_msgs.msg import DiagnosticArray, DiagnosticStatus
from graph import a_robot, start_node
from sensor_msgs.msg import Image
from std_msgs.msg import String
from std_srvs.srv import Trigger

from da3_ros.ros.health.callback_errors import PERIOD, CallbackErrors


class Log(list):
    error = list.append


def raised(fault):
    try:
        fault()
    except Exception as error:
        return error


def no_key():
    return {}["scale"]


def no_number():
    return 1 / 0


def test_each_kind_is_logged_with_its_traceback_once_and_counted():
    log, now = Log(), [0.0]
    errors = CallbackErrors(log, clock=lambda: now[0])
    for fault in (no_key, no_key, no_number, no_key):
        sentence = errors.note(raised(fault))
    assert errors.count == 4 and len(log) == 2
    assert sentence == errors.recent()
    assert sentence.startswith("internal error, please report it: KeyError: 'scale' (test_")
    assert log[0].startswith(f"{sentence}; the node goes on\nTraceback") and "no_key" in log[0]
    assert "ZeroDivisionError" in log[1]
    now[0] += PERIOD
    assert errors.recent() == "" and errors.count == 4


robot = pytest.fixture(a_robot)


@pytest.fixture
def node(robot, tmp_path):
    process = start_node(tmp_path, program=str(Path(__file__).parents[1] / "faulty_node.py"))
    yield process
    process.kill()


def test_the_node_lives_on(robot, node):
    depths = robot.listen(Image, "/da3/depth/image")
    statuses = robot.listen(Status, "/da3/status")
    diagnostics = robot.listen(DiagnosticArray, "/diagnostics")
    broken = robot.node.create_publisher(String, "/da3/topic", 10)
    node.wait_for("active: waiting for images")
    robot.wait_for_node()
    for text in ("one", "two"):
        broken.publish(String(data=text))
        answer = robot.call(Trigger, "/da3/service", Trigger.Request())
        assert not answer.success and "internal error" in answer.message
        assert "ZeroDivisionError: division by zero (faulty_node.py:" in answer.message

    def feed():
        robot.send()
        return depths

    robot.wait_until(feed, what="depth beside the errors")

    def told():  # the first ones may be older than the first error
        return statuses and "internal error" in statuses[-1].reason and diagnosed()

    def diagnosed():
        return diagnostics and "internal error" in diagnostics[-1].status[0].message

    robot.wait_until(told, what="status and diagnostics that tell of the errors")
    assert statuses[-1].level == Status.ERROR
    assert diagnostics[-1].status[0].level == DiagnosticStatus.ERROR

    def counted():
        values = {v.key: v.value for v in diagnostics[-1].status[0].values}
        return int(values["internal errors"])

    robot.wait_until(lambda: counted() > 10, what="ten errors, of three kinds")
    node.wait_for("AttributeError: one")
    for kind in ("KeyError", "AttributeError", "ZeroDivisionError"):
        assert len(node.matching(f"internal error.*{kind}.*the node goes on")) == 1
    assert len(node.matching("Traceback")) == 3
    assert node.stop() == 0
