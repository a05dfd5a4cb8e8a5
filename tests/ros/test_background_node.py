"""A node beside whatever else the process does."""

import pytest
from graph import a_robot
from std_srvs.srv import Trigger

robot = pytest.fixture(a_robot)


def test_an_error_of_a_callback_is_said_and_the_node_goes_on_listening(robot, capfd):
    def answer(request, response):
        response.success = True
        return response

    called = []

    def fail():
        called.append(True)
        raise KeyError("nobody thought of it")

    robot.node.create_timer(0.01, fail)
    robot.wait_until(lambda: len(called) > 2, what="more calls after the first")
    robot.node.create_service(Trigger, "~/ask", answer)
    assert robot.call(Trigger, "/robot/ask", Trigger.Request()).success
    assert capfd.readouterr().err.count("KeyError: 'nobody thought of it'") >= 1
