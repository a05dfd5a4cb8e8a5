"""Requests for more parameters than there can be, to the services of a real node."""

import pytest
from graph import a_robot, start_node
from rcl_interfaces.srv import (
    DescribeParameters,
    GetParameters,
    GetParameterTypes,
    ListParameters,
    SetParameters,
    SetParametersAtomically,
)
from rclpy.parameter import Parameter

SENTENCE = "1,001 parameters in one request; ask for at most 1,000"

robot = pytest.fixture(a_robot, scope="module")


@pytest.fixture(scope="module")
def node(robot, tmp_path_factory):
    process = start_node(tmp_path_factory.mktemp("node"), autostart=False)
    yield process
    process.kill()


def ask(robot, kind, name, **request):
    return robot.call(kind, f"/da3/{name}", kind.Request(**request))


def test_as_many_as_allowed_are_answered(robot, node):
    answer = ask(robot, GetParameters, "get_parameters", names=["window.size"] * 1000)
    assert len(answer.values) == 1000 and answer.values[-1].integer_value == 2


def test_more_get_nothing_and_the_log_says_why(robot, node):
    names = ["window.size"] * 1001
    assert not ask(robot, GetParameters, "get_parameters", names=names).values
    assert not ask(robot, GetParameterTypes, "get_parameter_types", names=names).types
    assert not ask(robot, DescribeParameters, "describe_parameters", names=names).descriptors
    assert not ask(robot, ListParameters, "list_parameters", prefixes=names).result.names
    node.wait_for(SENTENCE)


def test_more_are_not_set(robot, node):
    size = Parameter("window.size", value=3).to_parameter_msg()
    answer = ask(robot, SetParameters, "set_parameters", parameters=[size] * 1001)
    (result,) = answer.results
    assert not result.successful and result.reason == SENTENCE
    name = "set_parameters_atomically"
    result = ask(robot, SetParametersAtomically, name, parameters=[size] * 1001).result
    assert not result.successful and result.reason == SENTENCE
    answer = ask(robot, GetParameters, "get_parameters", names=["window.size"])
    assert answer.values[0].integer_value == 2
