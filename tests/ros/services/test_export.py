"""Exports while a window still has to go through the network for them."""

import threading

import pytest
import rclpy
from rclpy.context import Context
from runner_bench import Bench

from da3_ros.ros.entities import Entities
from da3_ros.ros.services.export import ExportServices


@pytest.fixture
def bench(tmp_path):
    """A window is there, and nobody wanted it so far."""
    bench = Bench(thread=False, export__directory=str(tmp_path))
    bench.results.wanted = False
    bench.drive(2)
    return bench


@pytest.fixture
def exports(bench):
    context = Context()
    rclpy.init(context=context)
    node = rclpy.create_node("exports", context=context)
    entities = Entities(node)
    yield ExportServices(entities, bench.live, bench.runner, bench.scene)
    entities.close()
    node.destroy_node()
    rclpy.shutdown(context=context)


def test_what_is_being_exported_is_named_before_its_window_is_there(bench, exports):
    bench.hold()
    first = threading.Thread(target=exports.export, args=("ply",))
    first.start()
    assert bench.in_network.wait(20)
    second = exports.export("glb")
    bench.go.set()
    first.join(20)
    assert not second.success
    assert second.message == "another export is running (ply); try again when it is done"


def test_options_that_are_no_json_cost_no_window(bench, exports):
    bench.hold()
    written = exports.export("glb", options="{")
    assert not written.success and "options must be a JSON object" in written.message
    assert not bench.in_network.is_set()
