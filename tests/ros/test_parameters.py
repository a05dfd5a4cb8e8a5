"""ROS parameters: declared from the config, checked in words, changed all or none."""

import re

import pytest
import rclpy
from graph import START, start_node
from rcl_interfaces.msg import Parameter as AnyMessage
from rcl_interfaces.msg import ParameterType
from rclpy.context import Context
from rclpy.exceptions import ParameterNotDeclaredException
from rclpy.node import Node
from rclpy.parameter import Parameter

from da3_ros.core.config import Config, ConfigError, parameters
from da3_ros.ros.parameters import (
    LiveParameters,
    as_dict,
    declare_parameters,
    descriptor,
    foreign_parameters,
    of_another_node,
)
from da3_ros.ros.qos_overrides import unused_overrides


@pytest.fixture(scope="module")
def context():
    context = Context()
    rclpy.init(context=context)
    yield context
    rclpy.shutdown(context=context)


@pytest.fixture
def create_node(context):
    nodes = []

    def create(**overrides):
        given = [Parameter(name.replace("__", "."), value=v) for name, v in overrides.items()]
        nodes.append(
            rclpy.create_node(
                "parameters",
                context=context,
                parameter_overrides=given,
                automatically_declare_parameters_from_overrides=True,
            )
        )
        return nodes[-1]

    yield create
    for node in nodes:
        node.destroy_node()


def test_defaults_are_those_of_the_config(create_node):
    node = create_node()
    assert declare_parameters(node) == Config()
    for name, value in as_dict(Config()).items():
        assert node.get_parameter(name).value == value


def test_values_given_at_start(create_node):
    node = create_node(window__size=7, output__max_depth=10, input__cameras=["left", "right"])
    config = declare_parameters(node)
    assert config.window.size == 7 and config.input.cameras == ("left", "right")
    assert config.output.max_depth == 10.0
    assert node.get_parameter("output.max_depth").value == 10.0


@pytest.mark.parametrize(
    "name, value, words",
    [
        ("window__size", 0, "window.size is 0, must be at least 1"),
        ("window__size", "four", "window.size is 'four', must be of type int"),
        ("pose__source", "gps", "pose.source is 'gps', must be one of tf, odometry, none"),
        ("output__max_depth", -1.0, "output.max_depth is -1.0, must be at least 0.0 m"),
        ("window__stride", 9, "window.stride is 9, must be at most window.size"),
    ],
)
def test_bad_values_name_parameter_value_and_bound(create_node, name, value, words):
    with pytest.raises(ConfigError, match=words):
        declare_parameters(create_node(**{name: value}))


@pytest.mark.parametrize(
    ("names", "arguments", "sentence"),
    [
        (["window.sizee"], [], "unknown parameter window.sizee; is window.size meant?"),
        (["windw.size"], [], "unknown parameter windw.size; is window.size meant?"),
        (["output.colour"], [], "unknown parameter output.colour"),
        (["speed"], ["-p", "speed:=3"], "unknown parameter speed"),
        (["speed"], ["--param", "da3:speed:=3"], "unknown parameter speed"),
    ],
)
def test_misspelt_names_are_refused(names, arguments, sentence):
    with pytest.raises(ConfigError, match=re.escape(sentence)):
        foreign_parameters(names, ["da3_node", "--ros-args", *arguments])


def test_a_name_without_its_block_is_refused_where_it_is_for_this_node_only(tmp_path):
    path = tmp_path / "mine.yaml"
    path.write_text("robot1: {da3: {ros__parameters: {max_depth: 3.0, robot_name: r2}}}")
    arguments = ["--ros-args", "--params-file", str(path)]
    names = ["max_depth", "robot_name"]
    with pytest.raises(ConfigError, match="parameter max_depth; is output.max_depth meant?"):
        foreign_parameters(names, arguments, "/robot1/da3")
    path.write_text("/**: {ros__parameters: {max_depth: 3.0, robot_name: r2}}")
    assert foreign_parameters(names, arguments, "/robot1/da3") == names
    assert "if output.max_depth is meant" in of_another_node("max_depth")
    assert of_another_node("robot_name").endswith("is ignored")


def test_parameters_of_other_nodes_in_one_file_are_no_mistake(create_node):
    node = create_node(robot_name="r2", window__size=3, use_sim_time=False)
    names = node.get_parameters_by_prefix("")
    arguments = ["--ros-args", "-p", "window.size:=3", "--params-file", "robots.yaml"]
    assert foreign_parameters(names, arguments) == ["robot_name"]


@pytest.mark.parametrize("about", list(parameters()), ids=lambda about: about.name)
def test_descriptors_say_what_the_config_says(about):
    msg = descriptor(about)
    assert about.meaning in msg.description and about.unit in msg.description
    ranges = [*msg.floating_point_range, *msg.integer_range]
    if about.low is not None and about.high is not None:
        (bounds,) = ranges
        assert (bounds.from_value, bounds.to_value) == (about.low, about.high)
    for choice in about.choices:
        assert choice in msg.additional_constraints


def live(node, *, configured=True):
    return LiveParameters(node, declare_parameters(node), is_configured=lambda: configured)


def set_all(node, **values):
    changes = [Parameter(name.replace("__", "."), value=v) for name, v in values.items()]
    return node.set_parameters_atomically(changes)


def test_live_parameters_change_together(create_node):
    node = create_node()
    parameters = live(node)
    assert set_all(node, output__min_depth=60.0, output__max_depth=80.0).successful
    assert (parameters.config.output.min_depth, parameters.config.output.max_depth) == (60, 80)


@pytest.mark.skipif(not hasattr(Node, "add_pre_set_parameters_callback"), reason="Humble")
def test_whole_numbers_are_taken_as_at_start_and_unknown_names_are_named(create_node):
    node = create_node()
    parameters = live(node)
    assert set_all(node, output__max_depth=10).successful
    assert parameters.config.output.max_depth == 10.0
    assert node.get_parameter("output.max_depth").value == 10.0
    assert not set_all(node, output__max_depth=-1).successful
    with pytest.raises(ParameterNotDeclaredException) as raised:
        set_all(node, output__max_dept=10)
    assert str(raised.value) == "unknown parameter output.max_dept; is output.max_depth meant?"


def test_all_or_none(create_node):
    node = create_node()
    parameters = live(node)
    result = set_all(node, scale__max_spread=0.5, output__min_depth=60.0)
    assert not result.successful and "below output.max_depth" in result.reason
    assert as_dict(parameters.config) == as_dict(Config())
    assert node.get_parameter("scale.max_spread").value == Config().scale.max_spread


def test_fixed_parameters_say_so(create_node):
    node = create_node()
    live(node)
    result = set_all(node, window__size=3)
    assert not result.successful
    assert result.reason.startswith("window.size cannot change while the node is configured")
    # The value it has is no change: tools write whole files back.
    assert set_all(node, window__size=Config().window.size).successful


def test_fixed_parameters_change_before_configure(create_node):
    node = create_node()
    parameters = live(node, configured=False)
    assert set_all(node, window__size=3).successful
    assert parameters.config.window.size == 3


def test_parameter_types(create_node):
    node = create_node()
    declare_parameters(node)
    assert node.describe_parameter("input.cameras").type == ParameterType.PARAMETER_STRING_ARRAY


def test_a_switch_of_ros_that_is_none_ends_the_node(tmp_path):
    """rclpy says only that its type is invalid, and goes on with the time of the wall."""
    process = start_node(tmp_path, use_sim_time="yes, please")
    assert process.wait(START) == 1
    assert process.lines[-1] == "da3_node: use_sim_time is 'yes, please', must be true or false"


def test_overrides_that_change_nothing_are_said(create_node):
    node = create_node()
    node.create_publisher(AnyMessage, "depth/image", 1)
    names = [
        "qos_overrides./depth/image.publisher.depth",
        "qos_overrides./depth.publisher.depth",
        "qos_overrides./depth/image.subscription.depth",
        "qos_overrides./depth/image.publisher.durability",
        "qos_overrides./depth/image.depth",
        "window.size",
    ]
    said = unused_overrides(names, node)
    words = (
        "no publisher of /depth now; is /depth/image meant?",
        "no subscription of /depth/image now",
        "only depth, history, reliability can be overridden",
        "its name must be qos_overrides.TOPIC.publisher or subscription.POLICY",
    )
    assert len(said) == len(words)
    assert all(word in sentence for word, sentence in zip(words, said))


@pytest.mark.parametrize(
    "parameters, sentence",
    [
        ({"window__size": 0}, "da3_node: window.size is 0, must be at least 1"),
        ({"model__name": "da3-tiny"}, "model.name is 'da3-tiny': unknown preset"),
        ({"model__device": "cuda:99"}, "model.device is 'cuda:99', but torch sees"),
        (
            {"qos_overrides./da3/depth/image.publisher.reliability": "relaible"},
            "qos_overrides./da3/depth/image.publisher.reliability is 'relaible', must be one of "
            "system_default, reliable, best_effort",
        ),
        ({"qos_overrides./image.subscription.depth": -5}, "depth is -5, must be a number of mess"),
    ],
)
def test_the_node_stops_at_start_with_one_sentence(tmp_path, parameters, sentence):
    process = start_node(tmp_path, **parameters)
    assert process.wait(START) == 1
    assert len(process.lines) == 1 and sentence in process.lines[0], process.lines
