"""The node is cleaned up while services and the export action are at work."""

import threading
from pathlib import Path

import da3_ros.action
import pytest
import trimesh
from action_msgs.msg import GoalStatus
from da3_ros.srv import LoadMesh
from graph import START, a_robot, start_node
from lifecycle_msgs.msg import Transition
from lifecycle_msgs.srv import ChangeState
from rclpy.action import ActionClient
from std_srvs.srv import Trigger

BUSY_NODE = Path(__file__).parents[1] / "busy_node.py"

robot = pytest.fixture(a_robot)


@pytest.fixture
def busy(tmp_path, monkeypatch):
    """While this file is there, meshes are not read and the network does not end."""
    monkeypatch.setenv("BUSY", str(tmp_path / "busy"))
    return tmp_path / "busy"


@pytest.fixture
def folder(tmp_path):
    (tmp_path / "exports").mkdir()
    trimesh.creation.box((2.0, 2.0, 2.0)).export(tmp_path / "exports" / "box.ply")
    return tmp_path / "exports"


@pytest.fixture
def node(robot, busy, folder, tmp_path):
    process = start_node(
        tmp_path,
        *("--log-level", "da3:=debug"),
        program=str(BUSY_NODE),
        export__directory=str(folder),
    )
    process.wait_for("active: waiting for images")
    robot.wait_for_node()
    yield process
    process.kill()


def begin_to_load(robot, node, busy):
    """The future of an answer that is not there before `busy` is gone."""
    client = robot.node.create_client(LoadMesh, "/da3/load_mesh")
    assert client.wait_for_service(START)
    busy.touch()
    answer = client.call_async(LoadMesh.Request(path="box.ply"))
    node.wait_for("load_mesh waits")
    return answer


def begin_cleanup(robot):
    """Deactivate; the future of the cleanup."""
    assert robot.change_state(Transition.TRANSITION_DEACTIVATE)
    client = robot.node.create_client(ChangeState, "/da3/change_state")
    assert client.wait_for_service(START)
    cleanup = Transition(id=Transition.TRANSITION_CLEANUP)
    return client.call_async(ChangeState.Request(transition=cleanup))


def test_what_ends_soon_is_answered(robot, node, busy):
    answer = begin_to_load(robot, node, busy)
    cleanup = begin_cleanup(robot)
    threading.Timer(0.2, busy.unlink).start()
    robot.wait_until(cleanup.done, what="the cleanup")
    assert cleanup.result().success
    robot.wait_until(answer.done, what="the answer")
    assert answer.result().success and "12 triangles" in answer.result().message
    assert not node.matching("internal error|Traceback|still at work")


def test_what_comes_meanwhile_is_refused_and_what_takes_longer_is_named(robot, node, busy):
    answer = begin_to_load(robot, node, busy)
    client = robot.node.create_client(Trigger, "/da3/export_glb")
    assert client.wait_for_service(START)
    cleanup = begin_cleanup(robot)
    refusals = []

    def is_refused():  # requests from before the cleanup has begun are answered otherwise
        request = client.call_async(Trigger.Request())
        robot.wait_until(request.done, what="an answer during the cleanup")
        refusals.append(request.result().message)
        return "the node is being cleaned up; ask again" in refusals[-1]

    robot.wait_until(is_refused, what="a refusal")
    robot.wait_until(cleanup.done, what="the cleanup")
    assert cleanup.result().success and robot.state() == "unconfigured"
    busy.unlink()
    node.wait_for("load_mesh was still at work when the node was cleaned up: whoever asked")
    assert not answer.done()
    assert not node.matching("internal error|Traceback")
    assert robot.change_state(Transition.TRANSITION_CONFIGURE)
    again = robot.call(LoadMesh, "/da3/load_mesh", LoadMesh.Request(path="box.ply"))
    assert again.success, again.message


def test_an_export_that_takes_longer_is_aborted_and_leaves_nothing(robot, node, busy, folder):
    client = ActionClient(robot.node, da3_ros.action.Export, "/da3/export")
    assert client.wait_for_server(START)
    for _ in range(4):
        robot.send()
    node.wait_for("nobody subscribes to any output")
    busy.touch()
    goal = client.send_goal_async(da3_ros.action.Export.Goal(formats="glb", name="late"))
    robot.wait_until(goal.done, what="the goal")
    answer = goal.result().get_result_async()
    node.wait_for("decode waits")
    cleanup = begin_cleanup(robot)
    robot.wait_until(cleanup.done, what="the cleanup")
    robot.wait_until(answer.done, what="the result")
    assert answer.result().status == GoalStatus.STATUS_ABORTED
    assert "cleaned up during the export; nothing was written" in answer.result().result.message
    seen = len(node.lines)
    busy.unlink()
    node.wait_for("the node was cleaned up during the export", start=seen)
    assert [path.name for path in folder.iterdir()] == ["box.ply"]
    assert not node.matching("internal error|Traceback")
    client.destroy()
