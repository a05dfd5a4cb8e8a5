"""How the node starts: --help, arguments, what is refused before the weights, size, name."""

import os
import re
import signal
import socket
import subprocess
import sys
import time

import pytest
import rclpy
from da3_ros.msg import Status
from diagnostic_msgs.msg import DiagnosticArray
from graph import START, Process, a_node, a_robot, node_starter
from lifecycle_msgs.msg import Transition
from processes import run_code
from rcl_interfaces.srv import GetParameters
from rclpy.context import Context
from rclpy.parameter import Parameter, parameter_value_to_python
from sensor_msgs.msg import Image

from da3_ros.commands.node import HELP
from da3_ros.ros.health.clock_watch import ClockWatch

NODE = "da3_ros.commands.node"
OF_EVERY_NODE = (
    "_action",
    "parameter",
    "type_description",
    "state",
    "transition",
    "rosout",
    "logger",
)

robot = pytest.fixture(a_robot)
bare_node = pytest.fixture(a_node)


start = pytest.fixture(node_starter)


def test_help_waits_for_nothing():
    code = (
        "import sys; sys.argv = ['da3_node', '--help']\n"
        "from da3_ros.commands import node\n"
        "try:\n    node.main()\n"
        "except SystemExit as end:\n    assert not end.code and 'torch' not in sys.modules\n"
    )
    assert HELP in run_code(code, 600)


def test_help_names_all_there_is_a_bad_size_is_said_and_many_signals_are_one(robot, start):
    statuses = robot.listen(Status, "/da3/status")
    node = start(pose__source="odometry", scene__enabled=True, model__process_res=56)
    node.wait_for("active: waiting for images")
    check_help(robot)
    size = "da3-demo is good between 112 and 224 px, and process_res is 56 px"
    robot.wait_until(lambda: statuses and size in statuses[-1].reason, what="status")
    node.wait_for(size)
    for _ in range(3):
        node.send(signal.SIGINT)
        time.sleep(0.02)
    assert node.wait(20) == 0
    assert not node.matching("Traceback")


def check_help(robot):
    robot.wait_until(lambda: "da3" in robot.node.get_node_names(), START, "the node")
    graph = robot.node
    published = graph.get_publisher_names_and_types_by_node("da3", "/")
    taken = graph.get_subscriber_names_and_types_by_node("da3", "/")
    served = graph.get_service_names_and_types_by_node("da3", "/")
    names = {name for name, _ in [*published, *taken, *served]}
    ours = {n for n in names if not any(word in n for word in OF_EVERY_NODE)}
    assert len(ours) > 20
    written = {re.sub("^/(da3/)?", lambda m: "~/" if m[1] else "", n) for n in ours}
    assert not [n for n in written if not re.search(rf"(^|[\s,/]){re.escape(n)}[\s,]", HELP)]


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (["window.size:=4"], "unknown argument window.size:=4; the node takes ROS arguments only"),
        (["--ros-args", "window.size:=4"], "ROS does not understand the argument 'window.size:=4'"),
        (["--ros-args", "--params-file", "/no.yaml"], "Couldn't parse params file: .*/no.yaml"),
        (["--ros-args", "--log-level", "loud"], "Couldn't parse log level: .* loud"),
    ],
)
def test_wrong_arguments_are_named(arguments, sentence):
    node = Process(NODE, *arguments)
    assert node.wait(START) == 2
    assert len(node.lines) == 1 and re.search(sentence, node.lines[0]), node.lines


def test_a_misspelt_parameter_is_refused_by_name(start):
    node = start("-p", "window.sizee:=4")
    assert node.wait(START) == 1
    assert node.lines == ["da3_node: unknown parameter window.sizee; is window.size meant?"]


def test_what_would_fail_later_fails_before_the_hub(robot, start):
    """The default model would have to come from there."""
    node = start(autostart=False, model__name="depth-anything/DA3-SMALL")
    for name, value, sentence in (
        ("export.formats", "usdz", "export.formats is 'usdz': export format 'usdz' is unknown"),
        ("scene.mesh", "/no/such.ply", "/no/such.ply"),
        ("model.device", "tpu", "model.device is 'tpu'"),
        ("window.size", 1, "window.size is 1, and metres of da3-small come from several views"),
    ):
        before = get_parameter(robot, name)
        assert robot.set_parameters({name: value}).successful
        assert not robot.change_state(Transition.TRANSITION_CONFIGURE)
        node.wait_for(re.escape(sentence), 10)
        assert robot.set_parameters({name: before}).successful
    assert not node.matching("Hugging Face")


def test_a_folder_that_is_none_fails_before_the_hub(robot, start):
    """It can only be set at the start, unlike those above."""
    node = start(
        autostart=False, model__name="depth-anything/DA3-SMALL", export__directory="/dev/null/x"
    )
    assert not robot.set_parameters({"export.directory": "/dev/null/y"}).successful
    assert not robot.change_state(Transition.TRANSITION_CONFIGURE)
    node.wait_for("but '/dev/null' is a file, not a folder", 10)
    assert not node.matching("Hugging Face")


def get_parameter(robot, name):
    request = GetParameters.Request(names=[name])
    (value,) = robot.call(GetParameters, "/da3/get_parameters", request).values
    return parameter_value_to_python(value)


def test_a_hub_that_does_not_answer_is_said(monkeypatch, tmp_path, start):
    with socket.create_server(("127.0.0.1", 0)) as silent:
        monkeypatch.setenv("HF_ENDPOINT", f"http://127.0.0.1:{silent.getsockname()[1]}")
        monkeypatch.setenv("HF_HOME", str(tmp_path))
        node = start(model__name="depth-anything/DA3-SMALL")
        assert node.wait(START) == 1
    (said,) = node.lines
    assert re.search(r"Hugging Face hub \((no answer within 5 s|.*timed out)", said)
    assert "model:=da3-demo" in said


@pytest.mark.parametrize(
    "name, home, said",
    [
        ("nowhere", "/dev/null", "log directory '/dev/null/.ros/log': 20; set ROS_LOG_DIR to a"),
        ("a\udcff", "", "'a\\\\udcff' is not valid UTF-8: give it another name"),
    ],
)
def test_an_environment_that_ros_does_not_take_is_one_sentence(name, home, said):
    environment = {k: v for k, v in os.environ.items() if k not in ("ROS_LOG_DIR", "ROS_HOME")}
    environment |= {"HOME": home} if home else {}
    words = [sys.executable, "-m", "da3_ros.commands.play", name]
    done = subprocess.run(words, capture_output=True, text=True, env=environment, timeout=60)
    (line,) = done.stderr.splitlines()
    assert done.returncode == 1 and re.search(said, line)


def test_a_model_takes_its_own_size(robot, start):
    node = start(model__process_res=0)
    depths = robot.listen(Image, "/da3/depth/image")
    node.wait_for("warming up with a window of 2 views, 168 px")  # said by the core
    node.wait_for("model da3-demo is ready on cpu, 168 px")
    robot.wait_for_node()
    robot.wait_until(lambda: robot.send() and depths, what="depth")
    assert not node.matching("is good between")
    assert node.stop(signal.SIGHUP) == 0  # the terminal is closed


def test_two_nodes_of_one_name_and_diagnostics_of_teams(robot, start):
    node = start("-r", "__ns:=/robot1", "-p", "model.name:=da3-demo")
    diagnostics = robot.listen(DiagnosticArray, "/diagnostics")
    node.wait_for("active: waiting for images")
    robot.wait_until(lambda: diagnostics, what="diagnostics")
    assert diagnostics[-1].status[0].name == "robot1/da3: depth"
    context = Context()
    rclpy.init(context=context)
    other = rclpy.create_node("da3", namespace="/robot1", context=context)
    node.wait_for("another node is named /robot1/da3, too", 20)
    other.destroy_node()
    rclpy.shutdown(context=context)
    robot.wait_until(
        lambda: "another node" not in diagnostics[-1].status[0].message, what="the end of it"
    )


def test_a_busy_node_has_not_waited_for_the_clock(bare_node):
    bare_node.set_parameters([Parameter("use_sim_time", value=True)])
    now = [0.0]
    watch = ClockWatch(bare_node, print, print, wall_clock=lambda: now[0])

    def ask(after):
        now[0] += after
        return watch.warnings()

    assert not any(ask(1.0) for _ in range(4))
    assert not ask(30.0), "a model was loaded"
    assert "no /clock message has come for 5 s" in ask(1.0)[0]


def test_what_the_node_does_not_take_is_said_in_warnings(start):
    node = start("-r", "__ns:=/robot1", "-p", "model.name:=da3-demo", "-p", "model.device:=cpu")
    said = node.wait_for("parameters.yaml has no block for /robot1/da3: it has /da3, and nothing")
    assert "WARN" in said
    node.kill()
    node = start(**{"qos_overrides./da3/depth.publisher.depth": 3, "pose.source": "none"})
    assert "WARN" in node.wait_for("depth changes nothing: the node has no publisher of /da3/depth")
    assert len(node.matching("changes nothing")) == 1
