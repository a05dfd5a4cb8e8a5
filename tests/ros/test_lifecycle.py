"""The lifecycle through its services: states, signals, exports, what is forgotten and when."""

import signal
import time
from pathlib import Path

import numpy as np
import pytest
import trimesh
from da3_ros.msg import Status
from da3_ros.srv import Export
from graph import START, a_robot, node_starter, stamps
from lifecycle_msgs.msg import Transition
from rclpy.qos import ReliabilityPolicy
from sensor_msgs.msg import Image
from std_srvs.srv import Trigger

FOLDER = Path(__file__).parent

robot = pytest.fixture(a_robot)
start = pytest.fixture(node_starter)


def dropped(status):
    return {r: n for r, n in zip(status.dropped_reasons, status.dropped_counts) if n}


def test_a_manager_takes_the_node_through_its_life(robot, start):
    node = start(autostart=False)
    robot.listen(Status, "/da3/status")
    assert robot.state() == "unconfigured"
    assert not robot.change_state(Transition.TRANSITION_ACTIVATE)
    assert robot.set_parameters({"window.size": 3}).successful
    assert robot.set_parameters({"window.publish": "newest"}).successful
    assert robot.change_state(Transition.TRANSITION_CONFIGURE) and robot.state() == "inactive"
    refusal = robot.set_parameters({"window.size": 2})
    assert not refusal.successful and "cannot change while the node is configured" in refusal.reason
    robot.listen(Image, "/da3/depth/image")
    for _ in range(2):
        assert robot.change_state(Transition.TRANSITION_ACTIVATE) and robot.state() == "active"
        robot.wait_for_node()
        robot.send_until_published(count=4)
        assert robot.set_parameters({"output.max_depth": 30.0}).successful
        assert robot.change_state(Transition.TRANSITION_DEACTIVATE) and robot.state() == "inactive"
        status = robot.fresh_status()
        assert status.frames_received == 4 and status.frames_pending == 0
        assert dropped(status) == {"neighbour_only": 1, "stopped": 4 - 1 - status.frames_published}
    assert robot.change_state(Transition.TRANSITION_CLEANUP) and robot.state() == "unconfigured"
    robot.wait_until(lambda: not robot.node.count_publishers("/da3/depth/image"), what="no topics")
    assert robot.change_state(Transition.TRANSITION_UNCONFIGURED_SHUTDOWN)
    assert robot.state() == "finalized"
    assert node.stop(signal.SIGINT) == 0
    assert not node.matching("Traceback")


def test_sigterm_while_the_model_is_loading(robot, start):
    node = start(model__name="da3-giant")
    robot.wait_until(lambda: "da3" in robot.node.get_node_names(), START, "the node")
    time.sleep(0.5)
    assert node.stop() == 0
    assert not node.matching("Traceback|active")


def test_a_model_that_cannot_be_had_leaves_the_node_unconfigured(robot, start):
    start(autostart=False, model__name="da3-tiny")
    assert not robot.change_state(Transition.TRANSITION_CONFIGURE)
    assert robot.state() == "unconfigured"
    assert robot.set_parameters({"model.name": "da3-demo"}).successful
    assert robot.change_state(Transition.TRANSITION_CONFIGURE)


def test_nobody_listens(robot, start):
    node = start()
    robot.listen(Status, "/da3/status")
    node.wait_for("active")
    robot.wait_for_node()
    for _ in range(5):
        robot.send()
        time.sleep(0.05)
    status = robot.fresh_status()
    assert status.windows_processed == 0 and status.frames_published == 0
    assert dropped(status) == {"neighbour_only": 1, "no_listeners": 2}


def test_qos_of_a_topic_is_the_users(robot, start):
    name = "qos_overrides./da3/depth/image.publisher.reliability"
    node = start(**{name.replace(".", "__"): "best_effort"})
    node.wait_for("active")
    robot.wait_until(lambda: robot.node.count_publishers("/da3/depth/image"), what="the topic")
    (depth,) = robot.node.get_publishers_info_by_topic("/da3/depth/image")
    (points,) = robot.node.get_publishers_info_by_topic("/da3/points")
    assert depth.qos_profile.reliability == ReliabilityPolicy.BEST_EFFORT
    assert points.qos_profile.reliability == ReliabilityPolicy.RELIABLE
    assert not node.matching("misspelt")


def test_no_shared_memory_stays_behind(start):
    """Segments of Fast DDS are 64 MB each; a robot restarts its nodes more than once."""
    node = start()
    node.wait_for("active: waiting for images")
    segments = node.shared_memory()
    assert segments
    assert node.stop() == 0
    assert not [path for path in segments if path.exists()]


def test_an_export_processes_what_nobody_asked_for(robot, start, tmp_path):
    node = start("--log-level", "da3:=debug", **{"export.directory": str(tmp_path / "exports")})
    robot.listen(Status, "/da3/status")
    node.wait_for("active")
    robot.wait_for_node()
    answer = robot.call(Export, "/da3/export", Export.Request(formats="mini_npz"))
    assert not answer.success and "nothing to export yet" in answer.message
    for _ in range(4):
        stamp = robot.send()
        time.sleep(0.05)
    node.wait_for("nobody subscribes to any output: images are not processed until somebody does")
    # The middle of a window of two is its newer frame.
    for formats, file in (("mini_npz", "results.npz"), ("glb", "scene.glb")):
        answer = robot.call(Export, "/da3/export", Export.Request(formats=formats, name=formats))
        assert answer.success, answer.message
        assert [p for p in answer.paths if p.endswith(file)]
    glb = trimesh.load(next(p for p in answer.paths if p.endswith(".glb")))
    assert glb.metadata["stamp_ns"] == stamp
    status = robot.fresh_status()
    assert status.windows_processed == 0 and status.frames_published == 0
    assert robot.call(Trigger, "/da3/reset", Trigger.Request()).success
    answer = robot.call(Export, "/da3/export", Export.Request(formats="mini_npz"))
    assert not answer.success and "nothing to export yet" in answer.message
    robot.listen(Image, "/da3/depth/image")
    robot.wait_for_node()
    robot.send_until_published()
    assert node.matching("somebody subscribes: images are processed")


def test_what_was_measured_before_is_forgotten_on_activation(robot, start):
    node = start()
    robot.listen(Image, "/da3/depth/image")
    statuses = robot.listen(Status, "/da3/status")
    node.wait_for("active")
    robot.wait_for_node()
    robot.send_until_published()
    robot.wait_until(
        lambda: statuses and np.isfinite(statuses[-1].latency_median), what="a latency"
    )
    assert np.isfinite(statuses[-1].scale) and statuses[-1].window_rate > 0
    assert robot.change_state(Transition.TRANSITION_DEACTIVATE)
    assert robot.change_state(Transition.TRANSITION_ACTIVATE)
    status = robot.fresh_status()
    assert np.isnan([status.latency_median, status.scale]).all() and status.window_rate == 0


def test_a_network_that_is_still_busy_is_waited_for(robot, start, tmp_path, monkeypatch):
    """Two activations must not run two windows at once."""
    busy = tmp_path / "busy"
    monkeypatch.setenv("BUSY", str(busy))
    node = start(program=str(FOLDER / "busy_node.py"))
    depths = robot.listen(Image, "/da3/depth/image")
    node.wait_for("active: waiting for images")
    robot.wait_for_node()
    busy.touch()
    late = [robot.send() for _ in range(3)]
    time.sleep(0.5)
    assert robot.change_state(Transition.TRANSITION_DEACTIVATE)
    node.wait_for("the network is still busy with its last window, of which nothing is published")
    assert not robot.change_state(Transition.TRANSITION_ACTIVATE) and robot.state() == "inactive"
    node.wait_for("the network is still busy with its last window; activate again in a moment")
    busy.unlink()
    assert robot.change_state(Transition.TRANSITION_ACTIVATE)
    robot.wait_for_node()
    robot.send_until_published()
    assert not set(late) & set(stamps(depths))
    busy.touch()
    robot.send()
    time.sleep(0.5)
    assert node.stop() == 0
    assert not node.matching("Traceback")
