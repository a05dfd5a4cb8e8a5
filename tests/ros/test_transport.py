"""Large messages between two processes: all of them arrive."""

import os
import shutil
import subprocess
import sys
import time
from array import array
from pathlib import Path

import pytest
import rclpy
from rclpy.context import Context
from rclpy.executors import SingleThreadedExecutor
from rclpy.qos import QoSProfile, ReliabilityPolicy
from sensor_msgs.msg import Image, PointCloud2

from da3_ros.ros.transport import (
    SEGMENT_BYTES,
    USERS_CHOICE,
    find_profile,
    use_large_message_profile,
)

ROUNDS, IMAGES_PER_ROUND = 5, 4  # and one cloud
IMAGE_BYTES = 1280 * 720 * 3
CLOUD_BYTES = 1280 * 720 * 32


def publish(reliability: str) -> None:
    """The other process: sends a round of messages for each line on stdin."""
    use_large_message_profile()
    rclpy.init()
    node = rclpy.create_node("large_message_source")
    qos = QoSProfile(depth=IMAGES_PER_ROUND, reliability=ReliabilityPolicy[reliability])
    image_publisher = node.create_publisher(Image, "large/image", qos)
    cloud_publisher = node.create_publisher(PointCloud2, "large/points", qos)
    image = Image(data=array("B", bytes(IMAGE_BYTES)))
    cloud = PointCloud2(data=array("B", bytes(CLOUD_BYTES)))
    for _ in sys.stdin:
        cloud_publisher.publish(cloud)
        for _ in range(IMAGES_PER_ROUND):
            image_publisher.publish(image)
    node.destroy_node()
    rclpy.shutdown()


@pytest.fixture
def source(request):
    process = subprocess.Popen([sys.executable, __file__, request.param], stdin=subprocess.PIPE)
    yield process
    process.stdin.close()
    assert process.wait(timeout=20) == 0


@pytest.fixture
def graph():
    """A node and its executor in a context of their own."""
    use_large_message_profile()
    context = Context()
    rclpy.init(context=context)
    node = rclpy.create_node("large_message_sink", context=context)
    executor = SingleThreadedExecutor(context=context)
    executor.add_node(node)
    yield node, executor
    executor.shutdown()
    node.destroy_node()
    rclpy.shutdown(context=context)


@pytest.mark.parametrize(
    ("source", "received_as"),
    [("RELIABLE", "RELIABLE"), ("RELIABLE", "BEST_EFFORT"), ("BEST_EFFORT", "BEST_EFFORT")],
    indirect=["source"],
)
def test_every_large_message_arrives(source, received_as, graph):
    node, executor = graph
    qos = QoSProfile(depth=IMAGES_PER_ROUND, reliability=ReliabilityPolicy[received_as])
    images, clouds = [], []
    subscriptions = [
        node.create_subscription(Image, "large/image", lambda m: images.append(len(m.data)), qos),
        node.create_subscription(
            PointCloud2, "large/points", lambda m: clouds.append(len(m.data)), qos
        ),
    ]
    spin_until(executor, lambda: all(s.get_publisher_count() for s in subscriptions))
    time.sleep(0.5)  # the source has to see us, too
    for received in range(1, ROUNDS + 1):
        source.stdin.write(b"\n")
        source.stdin.flush()
        spin_until(
            executor, lambda n=received: len(images) == n * IMAGES_PER_ROUND and len(clouds) == n
        )
    assert images == [IMAGE_BYTES] * IMAGES_PER_ROUND * ROUNDS
    assert clouds == [CLOUD_BYTES] * ROUNDS


def spin_until(executor, done, timeout: float = 20.0) -> None:
    deadline = time.monotonic() + timeout
    while not done() and time.monotonic() < deadline:
        executor.spin_once(timeout_sec=0.1)


@pytest.mark.parametrize(
    ("distro", "variable"),
    [
        ("", "FASTDDS_DEFAULT_PROFILES_FILE"),
        ("humble", "FASTRTPS_DEFAULT_PROFILES_FILE"),
        ("jazzy", "FASTRTPS_DEFAULT_PROFILES_FILE"),
        ("kilted", "FASTDDS_DEFAULT_PROFILES_FILE"),
    ],
)
def test_the_variable_is_the_one_of_the_distribution(distro, variable):
    environment = {"ROS_DISTRO": distro}
    use_large_message_profile(environment)
    assert environment == {"ROS_DISTRO": distro, variable: str(find_profile())}


@pytest.mark.parametrize("name", USERS_CHOICE)
def test_the_users_choice_stands(name):
    environment = {name: "mine"}
    use_large_message_profile(environment)
    assert environment == {name: "mine"}


def test_little_shared_memory_is_reported_and_left_alone(tmp_path, monkeypatch, capfd):
    usage = shutil.disk_usage(tmp_path)._replace(free=SEGMENT_BYTES)  # Docker's default
    monkeypatch.setattr(shutil, "disk_usage", lambda path: usage)
    environment = {}
    use_large_message_profile(environment)
    assert environment == {}
    assert "--shm-size" in capfd.readouterr().err


def test_the_profile_is_found_in_an_installed_tree(tmp_path):
    packages = tmp_path / "lib" / "python3" / "dist-packages"
    config = tmp_path / "share" / "da3_ros" / "config"
    root = Path(__file__).parents[2]
    shutil.copytree(root / "da3_ros", packages / "da3_ros")
    shutil.copytree(root / "config", config)
    code = "from da3_ros.ros.transport import find_profile; print(find_profile())"
    environment = {**os.environ, "PYTHONPATH": str(packages)}
    found = subprocess.run(
        [sys.executable, "-c", code],
        env=environment,
        cwd=tmp_path,
        check=False,
        capture_output=True,
        text=True,
    )
    assert Path(found.stdout.strip()) == config / find_profile().name, found.stderr


def test_the_segment_is_the_one_of_the_profile():
    assert f"<segment_size>{SEGMENT_BYTES}</segment_size>" in find_profile().read_text()


if __name__ == "__main__":
    publish(sys.argv[1])
