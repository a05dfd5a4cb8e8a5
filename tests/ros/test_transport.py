"""Large messages between two processes: all of them arrive."""

import os
import shutil
import subprocess
import sys
import time
from array import array
from importlib.metadata import distributions
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

IMAGES, CLOUDS = 20, 5
IMAGE_BYTES = 1280 * 720 * 3
CLOUD_BYTES = 1280 * 720 * 32


def publish(reliability: str) -> None:
    """The other process: sends what each line on stdin asks for."""
    use_large_message_profile()
    rclpy.init()
    node = rclpy.create_node("large_message_source")
    qos = QoSProfile(depth=1, reliability=ReliabilityPolicy[reliability])
    image = Image(data=array("B", bytes(IMAGE_BYTES)))
    cloud = PointCloud2(data=array("B", bytes(CLOUD_BYTES)))
    outbox = {
        "image": (node.create_publisher(Image, "large/image", qos), image),
        "cloud": (node.create_publisher(PointCloud2, "large/points", qos), cloud),
    }
    for line in sys.stdin:
        publisher, message = outbox[line.strip()]
        publisher.publish(message)
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
    qos = QoSProfile(depth=1, reliability=ReliabilityPolicy[received_as])
    received = []
    for kind, topic in ((Image, "large/image"), (PointCloud2, "large/points")):
        node.create_subscription(kind, topic, lambda m: received.append(len(m.data)), qos)
    # Until the two sides have found each other messages are lost, however small.
    for kind, size in (("image", IMAGE_BYTES), ("cloud", CLOUD_BYTES)):
        deadline = time.monotonic() + 60
        while size not in received:
            assert time.monotonic() < deadline, f"no {kind} arrives"
            send(source, kind)
            spin_until(executor, lambda n=size: n in received, timeout=2)
    spin_until(executor, lambda: False, timeout=1)
    received.clear()
    # Best effort may lose a few on a busy machine; with the defaults it loses all.
    may_be_lost = 3 if received_as == "BEST_EFFORT" else 0
    lost = 0
    for sent, kind in enumerate(["image"] * IMAGES + ["cloud"] * CLOUDS, start=1):
        send(source, kind)
        spin_until(executor, lambda n=sent - lost: len(received) == n)
        lost = sent - len(received)
        assert lost <= may_be_lost, f"{kind} was lost after {sent - 1} messages"
    assert set(received) == {IMAGE_BYTES, CLOUD_BYTES}


def send(source, kind):
    source.stdin.write(f"{kind}\n".encode())
    source.stdin.flush()


def spin_until(executor, done, timeout: float = 20.0) -> None:
    deadline = time.monotonic() + timeout
    while not done() and time.monotonic() < deadline:
        executor.spin_once(timeout_sec=0.1)


@pytest.mark.parametrize(
    ("distro", "variable"),
    [
        ("humble", "FASTRTPS_DEFAULT_PROFILES_FILE"),
        ("jazzy", "FASTRTPS_DEFAULT_PROFILES_FILE"),
        ("kilted", "FASTDDS_DEFAULT_PROFILES_FILE"),
    ],
)
def test_the_variable_is_the_one_of_the_distribution(distro, variable):
    environment = {"ROS_DISTRO": distro}
    use_large_message_profile(environment)
    assert environment == {"ROS_DISTRO": distro, variable: str(find_profile())}


def test_without_a_name_it_is_the_one_of_the_wheels():
    """Which one is right, `test_every_large_message_arrives` shows."""
    (wheel,) = {d.name for d in distributions()} & {"ros-fastrtps", "ros-fastdds"}
    environment = {}
    use_large_message_profile(environment)
    assert list(environment) == [f"{wheel[4:].upper()}_DEFAULT_PROFILES_FILE"]


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
        timeout=600,
    )
    assert Path(found.stdout.strip()) == config / find_profile().name, found.stderr


def test_the_segment_is_the_one_of_the_profile():
    assert f"<segment_size>{SEGMENT_BYTES}</segment_size>" in find_profile().read_text()


if __name__ == "__main__":
    publish(sys.argv[1])
