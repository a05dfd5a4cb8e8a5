"""Launch, parameter and layout files for the mapping stacks: they parse and fit each other."""

import ast
import itertools
import json

import pytest
import rclpy
import yaml
from rclpy.context import Context
from rclpy.qos import (
    DurabilityPolicy,
    HistoryPolicy,
    QoSCompatibility,
    QoSProfile,
    ReliabilityPolicy,
    qos_check_compatible,
    qos_profile_sensor_data,
)
from stack_config import CONFIG, ROOT, STACKS, da3, load, of_node

from da3_ros.core.config import Config

POLICIES = {
    "reliability": ReliabilityPolicy,
    "durability": DurabilityPolicy,
    "history": HistoryPolicy,
}


@pytest.mark.parametrize("name", STACKS)
def test_the_node_knows_every_parameter(name):
    assert da3(name) != Config(), "a block that changes nothing"


@pytest.mark.parametrize("namespace", ["", "/robots/alpha"])
@pytest.mark.parametrize("name", STACKS)
def test_rcl_gives_the_node_its_block_in_any_namespace(name, namespace):
    context = Context()
    files = ["--ros-args", "--params-file", str(CONFIG / f"{name}.yaml")]
    rclpy.init(args=files, context=context)
    node = rclpy.create_node(
        "da3",
        namespace=namespace,
        context=context,
        automatically_declare_parameters_from_overrides=True,
    )
    given = {n: p.value for n, p in node.get_parameters_by_prefix("").items()}
    node.destroy_node()
    rclpy.shutdown(context=context)
    assert of_node(name, "da3").items() <= given.items()
    assert not [n for n in given if n.startswith(("static_mapper", "sensor_model", "RGBD"))]


@pytest.mark.parametrize("file", sorted(ROOT.glob("launch/*.launch.py")), ids=lambda f: f.stem)
def test_launch_files_compile_and_find_their_files(file):
    code = compile(file.read_text(), str(file), "exec", ast.PyCF_ONLY_AST)
    assert "generate_launch_description" in {
        n.name for n in code.body if isinstance(n, ast.FunctionDef)
    }
    strings = {n.value for n in ast.walk(code) if isinstance(n, ast.Constant)}
    named = {s for s in strings if isinstance(s, str) and s.endswith((".yaml", ".launch.py"))}
    for name in named:
        folder = CONFIG if name.endswith(".yaml") else file.parent
        assert (folder / name).is_file(), name


@pytest.mark.parametrize(
    ("stack", "node"),
    [("nvblox", "nvblox_node"), ("rtabmap", "rtabmap"), ("octomap", "octomap_server")],
)
def test_the_launched_name_is_the_one_of_the_file(stack, node):
    assert f'name="{node}"' in (ROOT / "launch" / f"{stack}.launch.py").read_text()
    assert of_node(stack, node)


def test_nvblox_gets_no_infinite_depth_and_loses_none_of_a_pair():
    ranges = of_node("nvblox", "nvblox_node")
    reach = ranges["static_mapper.projective_integrator_max_integration_distance_m"]
    assert da3("nvblox").output.max_depth > 10 * reach
    assert ranges["input_qos"] == "DEFAULT"


def test_rtabmap_takes_only_exact_triples_of_whole_multiples():
    values = of_node("rtabmap", "rtabmap")
    assert values["approx_sync"] is False and values["qos"] == 1
    assert da3("rtabmap").output.size == "camera"
    own = {name: value for name, value in values.items() if "/" in name}
    assert own and all(isinstance(value, str) for value in own.values())


def test_octomap_gets_no_point_that_clears_unseen_space():
    """Points beyond the server's range clear all the way up to it."""
    values = of_node("octomap", "octomap_server")
    assert da3("octomap").output.max_depth < values["sensor_model.max_range"]
    assert values["sensor_model.miss"] < 0.5 < values["sensor_model.hit"]


def test_nav2_layer():
    costmap = load("nav2_voxel_layer")["local_costmap"]["local_costmap"]["ros__parameters"]
    layer = costmap["voxel_layer"]
    source = layer[layer["observation_sources"]]
    assert "voxel_layer" in costmap["plugins"] and source["data_type"] == "PointCloud2"
    assert layer["z_voxels"] <= 16, "bits of a column"
    top = layer["origin_z"] + layer["z_voxels"] * layer["z_resolution"]
    assert top >= layer["max_obstacle_height"] >= source["max_obstacle_height"]
    assert source["max_obstacle_height"] > source["min_obstacle_height"] > 0
    assert source["clearing"] and source["observation_persistence"] == 0
    assert source["raytrace_max_range"] >= source["obstacle_max_range"]
    config = da3("nav2_voxel_layer")
    assert config.output.max_depth > source["raytrace_max_range"]
    # The node publishes at least this often while the robot stands still.
    assert source["expected_update_rate"] > config.window.max_interval


def test_bag_play_qos_suits_the_subscriptions_of_the_node():
    """Read as `ros2 bag play` does, by the short names of rclpy."""
    wanted = {
        "/tf": QoSProfile(depth=100),
        "/tf_static": QoSProfile(depth=100, durability=DurabilityPolicy.TRANSIENT_LOCAL),
        "/camera/image_raw": qos_profile_sensor_data,
        "/camera/camera_info": qos_profile_sensor_data,
    }
    profiles = load("bag_play_qos")
    assert profiles.keys() == wanted.keys()
    for topic, values in profiles.items():
        policies = {p: POLICIES[p].get_from_short_key(values.pop(p)) for p in POLICIES}
        offered = QoSProfile(**policies, **values)
        compatible, reason = qos_check_compatible(offered, wanted[topic])
        assert compatible != QoSCompatibility.ERROR, f"{topic}: {reason}"


def test_rviz_shows_latched_topics_as_latched():
    rviz = yaml.safe_load((CONFIG / "da3.rviz").read_text())
    displays = rviz["Visualization Manager"]["Displays"]
    topics = {
        d["Topic"]["Value"]: d["Topic"]["Durability Policy"] for d in displays if "Topic" in d
    }
    latched = {t for t, durability in topics.items() if durability == "Transient Local"}
    assert latched == {"/da3/cloud_map", "/da3/mesh_marker"}


def test_foxglove_layout_places_every_panel_once():
    layout = json.loads((CONFIG / "foxglove_layout.json").read_text())

    def leaves(node):
        if isinstance(node, str):
            return [node]
        return list(itertools.chain(leaves(node["first"]), leaves(node["second"])))

    assert sorted(leaves(layout["layout"])) == sorted(layout["configById"])
