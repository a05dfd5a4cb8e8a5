"""The status goes on while a callback takes long; the node is real."""

import pytest
from da3_ros.msg import Status
from diagnostic_msgs.msg import DiagnosticArray
from graph import a_robot, node_starter

from da3_ros.ros.health.watchdog import Watchdog
from da3_ros.ros.inputs.silence import SILENCE
from tools.soak import blocked_node

STATUSES_IN_SILENCE = round(SILENCE)
"""So many status messages, one a second."""

robot = pytest.fixture(a_robot)
start = pytest.fixture(node_starter)


def wait_for_more(robot, received, count):
    seen = len(received)
    robot.wait_until(lambda: len(received) >= seen + count, 60, "status while blocked")
    return received[seen:]


@pytest.fixture
def blocked(tmp_path, monkeypatch):
    """While there is this file the callbacks of the node wait."""
    file = tmp_path / "blocked"
    monkeypatch.setenv(blocked_node.VARIABLE, str(file))
    return file


def test_status_while_a_callback_takes_long(robot, start, blocked):
    statuses = robot.listen(Status, "/da3/status")
    diagnostics = robot.listen(DiagnosticArray, "/diagnostics")
    blocked.touch()
    node = start(program=blocked_node.__name__)
    wait_for_more(robot, diagnostics, 3)
    assert diagnostics[-1].status[0].message == "configuring"
    assert diagnostics[-1].status[0].level == b"\0", "loading a model takes time"

    blocked.unlink()
    node.wait_for("active: waiting for images")
    robot.wait_for_node()
    blocked.touch()
    robot.wait_until(lambda: "has kept the node busy for" in statuses[-1].reason, 60, "the reason")
    for status in wait_for_more(robot, statuses, 3):
        assert status.level == Status.WARN and "has kept the node busy for" in status.reason
        dropped = sum(status.dropped_counts)
        assert status.frames_received == status.frames_published + dropped + status.frames_pending
    assert node.matching(r"what came in has kept the node busy for \d s")

    blocked.unlink()
    robot.wait_until(lambda: "has kept" not in statuses[-1].reason, 60, "the end of it")
    blocked.touch()
    wait_for_more(robot, statuses, 3)
    assert node.stop() == 0
    assert not node.matching("Traceback")


def test_who_did_not_listen_calls_nobody_silent(robot, start, blocked):
    statuses = robot.listen(Status, "/da3/status")
    node = start(program=blocked_node.__name__)
    node.wait_for("active: waiting for images")
    robot.wait_for_node()
    robot.send()
    robot.wait_until(lambda: statuses and statuses[-1].frames_received == 1, 60, "the image")
    seen = len(node.lines)
    blocked.touch()
    robot.wait_until(lambda: "has kept" in statuses[-1].reason, 60, "the reason")
    wait_for_more(robot, statuses, STATUSES_IN_SILENCE)
    robot.send()
    blocked.unlink()
    robot.wait_until(lambda: statuses[-1].frames_received == 2, 60, "the other image")
    assert not node.matching("no image on", seen)


def test_no_word_after_the_end():
    said, errors = [], []
    watchdog = Watchdog(said.append, errors.append)
    watchdog.stop()
    watchdog.stop()
    assert not said and not errors


def test_what_it_calls_may_raise(robot):
    errors = []

    def fail(seconds):
        raise ValueError(seconds)

    watchdog = Watchdog(fail, errors.append)
    robot.wait_until(lambda: len(errors) >= 2, 60, "two errors")
    watchdog.stop()
    first, second = (error.args[0] for error in errors[:2])
    assert second > first >= 1.5
