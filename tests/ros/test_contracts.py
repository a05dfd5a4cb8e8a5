"""What the mapping stacks demand, checked on what the node really publishes.

The demands are those of the consumers' own sources: nvblox_ros (ExactTime pairs, K and size of
the camera info), rtabmap_ros and rtabmap (divisible sizes), octomap_server and nav2 (cloud in the
sensor's frame, best effort), depth_image_proc (equal sizes, layout of the points).
"""

import ast
import json
import time
from pathlib import Path

import numpy as np
import pytest
import yaml
from consumers import (
    CONSUMERS,
    TOPICS,
    WIDE,
    Listener,
    coordinates,
    pixels,
    rtabmap_accepts,
    size,
)
from graph import TINY, Robot, a_robot, start_node
from rclpy.qos import (
    DurabilityPolicy,
    QoSCompatibility,
    ReliabilityPolicy,
    qos_check_compatible,
)
from sensor_msgs.msg import PointField

from da3_ros.ros.messages import stamp_to_ns

ROOT = Path(__file__).parents[2]


robot = pytest.fixture(a_robot, scope="module")


@pytest.fixture(scope="module")
def camera_size(robot, tmp_path_factory):
    """The node with its default outputs, and one complete frame."""
    listener = Listener(robot)
    process = start_node(tmp_path_factory.mktemp("camera"))
    process.wait_for("active: waiting for images")
    robot.wait_for_node()
    listener.send_until_complete()
    yield listener
    process.kill()


def test_every_consumer_gets_every_message_of_a_stamp(camera_size):
    """Four kinds of subscription at once; ExactTime finds each partner, and finds it once."""
    first = min(camera_size.complete())  # before it, not everybody was connected
    for _ in range(3):
        camera_size.send_until_complete()
    reliable = [m for (c, _), m in camera_size.received.items() if c.startswith("rtabmap")]

    def stamps() -> set[frozenset]:
        return {frozenset(s for s in list(m) if s >= first) for m in reliable}

    camera_size.robot.wait_until(lambda: len(stamps()) == 1, what="equal stamps on all topics")
    for messages in camera_size.received.values():
        assert all(len(same) == 1 for same in messages.values()), "a stamp was published twice"


def test_publishers_are_reliable_and_match_all_consumers(camera_size):
    for topic in TOPICS:
        (publisher,) = camera_size.robot.node.get_publishers_info_by_topic(f"/da3/{topic}")
        assert publisher.qos_profile.reliability == ReliabilityPolicy.RELIABLE
        assert publisher.qos_profile.durability == DurabilityPolicy.VOLATILE
        for name, qos in CONSUMERS.items():
            compatible, reason = qos_check_compatible(publisher.qos_profile, qos)
            assert compatible != QoSCompatibility.ERROR, f"{topic} and {name}: {reason}"


def test_all_say_the_optical_frame_and_the_stamp_of_the_image(camera_size):
    frame = camera_size.send_until_complete()
    assert {m.header.frame_id for m in frame.values()} == {"camera_optical_frame"}
    assert len({stamp_to_ns(m.header.stamp) for m in frame.values()}) == 1


def test_nvblox_depth_and_color_have_the_size_of_the_camera_info(camera_size):
    frame = camera_size.send_until_complete()
    depth, info, rgb = (frame[t] for t in ("depth/image", "depth/camera_info", "image_rect"))
    assert depth.encoding == "32FC1" and pixels(depth, np.float32).shape == (56, 84)
    assert rgb.encoding == "rgb8" and pixels(rgb, np.uint8, 3).shape == (56, 84, 3)
    assert (info.width, info.height) == (84, 56)
    np.testing.assert_allclose(np.reshape(info.k, (3, 3)), WIDE.K)
    np.testing.assert_allclose(np.reshape(info.p, (3, 4))[:, :3], WIDE.K)
    assert not np.any(info.d) and not info.p[3], "already rectified, not stereo"


def test_the_cloud_has_the_layout_of_depth_image_proc(camera_size):
    cloud = camera_size.send_until_complete()["points"]
    layout = [(f.name, f.offset, f.datatype, f.count) for f in cloud.fields]
    assert layout == [
        ("x", 0, PointField.FLOAT32, 1),
        ("y", 4, PointField.FLOAT32, 1),
        ("z", 8, PointField.FLOAT32, 1),
        ("rgb", 16, PointField.FLOAT32, 1),
    ]
    assert (cloud.point_step, cloud.row_step) == (32, 32 * 84)
    assert (cloud.height, cloud.width) == (56, 84) and len(cloud.data) == 56 * 84 * 32
    assert cloud.is_dense is False and cloud.is_bigendian is False


def test_the_cloud_is_the_depth_seen_through_k_in_the_optical_frame(camera_size):
    """octomap_server and nav2 take the sensor's place from the frame: nothing is moved yet."""
    frame = camera_size.send_until_complete()
    depth = pixels(frame["depth/image"], np.float32)
    K = np.reshape(frame["depth/camera_info"].k, (3, 3))
    v, u = np.mgrid[: depth.shape[0], : depth.shape[1]]
    z = np.where(np.isfinite(depth), depth, np.nan)
    assert np.isfinite(z).any()
    expected = np.stack([(u - K[0, 2]) / K[0, 0] * z, (v - K[1, 2]) / K[1, 1] * z, z], axis=-1)
    np.testing.assert_allclose(coordinates(frame["points"]), expected, rtol=1e-5, atol=1e-6)


def test_the_color_of_a_point_is_that_of_its_pixel(camera_size):
    frame = camera_size.send_until_complete()
    rgb = pixels(frame["image_rect"], np.uint8, 3).astype(np.uint32)
    packed = np.frombuffer(frame["points"].data, "<u4").reshape(56, 84, 8)[..., 4]
    np.testing.assert_array_equal(packed, rgb[..., 0] << 16 | rgb[..., 1] << 8 | rgb[..., 2])


def test_rtabmap_takes_the_depth_with_our_image_and_with_the_cameras_own(camera_size):
    frame = camera_size.send_until_complete()
    assert size(frame["image_rect"]) == size(frame["depth/image"])
    assert rtabmap_accepts((WIDE.width, WIDE.height), size(frame["depth/image"]))


def set_range(robot: Robot, near: float, far: float) -> None:
    result = robot.set_parameters({"output.min_depth": near, "output.max_depth": far})
    assert result.successful, result.reason


def test_unknown_is_nan_and_too_far_is_plus_infinity(camera_size):
    """REP-117, and in the cloud NaN for both: PCL and nav2 drop what is not finite."""
    robot = camera_size.robot
    depth = pixels(camera_size.send_until_complete()["depth/image"], np.float32)
    low, high = np.nanquantile(depth[np.isfinite(depth)], [0.3, 0.7])
    set_range(robot, float(low), float(high))
    camera_size.send_until_complete(1)  # whatever was under way
    frame = camera_size.send_until_complete()
    depth = pixels(frame["depth/image"], np.float32)
    known = np.isfinite(depth)
    assert not np.isneginf(depth).any() and not (depth <= 0).any()
    assert ((depth[known] >= low * 0.999) & (depth[known] <= high * 1.001)).all()
    assert np.isnan(coordinates(frame["points"])[~known]).all()
    set_range(robot, 0.0, 0.001)
    camera_size.send_until_complete(1)
    depth = pixels(camera_size.send_until_complete()["depth/image"], np.float32)
    assert np.isposinf(depth).all()
    set_range(robot, 0.1, 50.0)


def test_launch_files_and_layouts_name_topics_that_exist_with_their_type(camera_size):
    types = dict(camera_size.robot.node.get_topic_names_and_types())
    for file in ROOT.glob("launch/*.launch.py"):
        strings = [
            n.value for n in ast.walk(ast.parse(file.read_text())) if isinstance(n, ast.Constant)
        ]
        for topic in [s for s in strings if isinstance(s, str) and s.startswith("da3/")]:
            kind = "CameraInfo" if topic.endswith("info") else "Image"
            kind = "PointCloud2" if topic.endswith("points") else kind
            assert types[f"/{topic}"] == [f"sensor_msgs/msg/{kind}"], file.name
    rviz = yaml.safe_load((ROOT / "config" / "da3.rviz").read_text())
    for display in rviz["Visualization Manager"]["Displays"]:
        if "Topic" in display:
            kind = display["Class"].split("/")[1].replace("Pose", "PoseStamped")
            if "/compressed" in display["Topic"]["Value"]:  # image_transport goes by the name
                kind = f"Compressed{kind}"
            assert types[display["Topic"]["Value"]][0].endswith(f"/{kind}"), display["Name"]
    text = (ROOT / "config" / "foxglove_layout.json").read_text()
    for word in sorted(w for w in words(json.loads(text)) if w.startswith(("/da3/", "/diag"))):
        assert word.split(".")[0] in types, word
    nav2 = yaml.safe_load((ROOT / "config" / "nav2_voxel_layer.yaml").read_text())
    layer = nav2["local_costmap"]["local_costmap"]["ros__parameters"]["voxel_layer"]
    assert types[layer["da3"]["topic"]] == ["sensor_msgs/msg/PointCloud2"]


def words(value) -> set[str]:
    """All strings of a JSON value, names among them."""
    if isinstance(value, dict):
        return set(value) | words(list(value.values()))
    if isinstance(value, list):
        return set().union(*map(words, value))
    return {value} if isinstance(value, str) else set()


@pytest.fixture(scope="module")
def network_size(robot, camera_size, tmp_path_factory):
    """A second node in a namespace: network size, millimetres, a quarter of the pixels unsure."""
    folder = tmp_path_factory.mktemp("network")
    output = {"size": "network", "encoding": "16UC1", "min_confidence": 25.0}
    values = TINY | {f"output.{name}": value for name, value in output.items()}
    file = folder / "namespace.yaml"
    file.write_text(yaml.safe_dump({"/**": {"ros__parameters": values}}))
    remaps = ["__ns:=/small", "image:=/image", "camera_info:=/camera_info"]
    arguments = [word for remap in remaps for word in ("-r", remap)]
    listener = Listener(robot, "/small/da3")
    process = start_node(folder, *arguments, "--params-file", str(file))
    process.wait_for("active: waiting for images")
    robot.wait_until(lambda: robot.image.get_subscription_count() == 2, what="the second node")
    time.sleep(0.5)  # it has to find our subscriptions, too
    yield listener
    process.kill()


def test_network_size_is_consistent_in_itself(network_size):
    frame = network_size.send_until_complete()
    sizes = {size(frame[topic]) for topic in TOPICS}
    assert len(sizes) == 1
    width, height = sizes.pop()
    assert (width, height) != (WIDE.width, WIDE.height) and width % 14 == height % 14 == 0
    K = np.reshape(frame["depth/camera_info"].k, (3, 3))
    seen = np.array([[width / WIDE.width, height / WIDE.height]]).T
    np.testing.assert_allclose(K[[0, 1], [0, 1]], WIDE.K[[0, 1], [0, 1]] * seen[:, 0])
    # Pixel centres are whole numbers, so the edge of the image is at -0.5.
    np.testing.assert_allclose(K[:2, 2] + 0.5, (WIDE.K[:2, 2] + 0.5) * seen[:, 0])


def test_network_size_suits_rtabmap_with_our_image_but_not_with_the_cameras(network_size):
    """Why config/rtabmap.yaml asks for the size of the camera, and takes our image_rect."""
    frame = network_size.send_until_complete()
    assert rtabmap_accepts(size(frame["image_rect"]), size(frame["depth/image"]))
    assert not rtabmap_accepts((WIDE.width, WIDE.height), size(frame["depth/image"]))


def test_millimetres_have_zero_where_depth_is_unknown(network_size):
    frame = network_size.send_until_complete()
    assert frame["depth/image"].encoding == "16UC1"
    millimetres = pixels(frame["depth/image"], np.uint16)
    z = coordinates(frame["points"])[..., 2]
    np.testing.assert_array_equal(millimetres == 0, ~np.isfinite(z))
    assert 0.2 < np.mean(millimetres == 0) < 0.3
    np.testing.assert_allclose(millimetres[millimetres > 0] / 1000, z[np.isfinite(z)], atol=6e-4)
