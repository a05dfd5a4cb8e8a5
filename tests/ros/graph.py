"""A real graph for tests: the node in its own process, and a robot that feeds it."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import threading
import time
from collections.abc import Callable
from functools import cached_property
from pathlib import Path

import numpy as np
import rclpy
import yaml
from geometry_msgs.msg import TransformStamped
from lifecycle_msgs.msg import Transition
from lifecycle_msgs.srv import ChangeState, GetState
from rcl_interfaces.msg import SetParametersResult
from rcl_interfaces.srv import SetParametersAtomically
from rclpy.context import Context
from rclpy.parameter import Parameter
from rclpy.qos import DurabilityPolicy, QoSProfile
from sensor_msgs.msg import CameraInfo, Image
from tf2_msgs.msg import TFMessage
from tiny import TINY

from da3_ros.core.camera_model import CameraModel
from da3_ros.core.child_process import child_command
from da3_ros.ros import messages
from da3_ros.ros.background_node import BackgroundNode
from da3_ros.ros.messages import stamp_to_ns

CAMERA = CameraModel(56, 42, np.array([[40.0, 0, 27.5], [0, 40.0, 20.5], [0, 0, 1]]))
START = 120.0
"""Seconds a process may take to start on a busy machine."""


class Process:
    """A program of ours, its output read line by line as it comes.

    program: a module, or the path of a script; it ends with the tests, however they end.
    environment: variables besides our own.
    """

    def __init__(self, program: str, *arguments: str, environment: dict | None = None):
        self.lines: list[str] = []
        self._process = subprocess.Popen(
            child_command(program, *arguments),
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            env={**os.environ, **(environment or {})},
        )
        self._reader = threading.Thread(target=self._read, daemon=True)
        self._reader.start()

    def _read(self) -> None:
        for line in self._process.stdout:
            self.lines.append(line.rstrip("\n"))

    def wait_for(self, pattern: str, timeout: float = START, start: int = 0) -> str:
        """The first line from `start` on that matches; `AssertionError` with the log if none."""
        deadline = time.monotonic() + timeout
        while time.monotonic() < deadline:
            if found := self.matching(pattern, start):
                return found[0]
            if self._process.poll() is not None and not self._reader.is_alive():
                break
            time.sleep(0.02)
        if found := self.matching(pattern, start):
            return found[0]
        raise AssertionError(f"no line matches {pattern!r} in:\n" + "\n".join(self.lines))

    def matching(self, pattern: str, start: int = 0) -> list[str]:
        """All lines from number `start` on that match."""
        return [line for line in self.lines[start:] if re.search(pattern, line)]

    def stop(self, number: int = signal.SIGTERM) -> int:
        """Send a signal; the exit code. It has ten seconds."""
        self._process.send_signal(number)
        return self.wait(10)

    def send(self, number: int) -> None:
        """A signal."""
        self._process.send_signal(number)

    def wait(self, timeout: float) -> int:
        """The exit code."""
        code = self._process.wait(timeout)
        self._reader.join(5)
        return code

    def shared_memory(self) -> list[Path]:
        """The process's own Fast DDS segments; ports are shared with other processes."""
        maps = Path(f"/proc/{self._process.pid}/maps").read_text()
        return [Path(p) for p in set(re.findall(r"/dev/shm/fast(?:dds|rtps)_[0-9a-f]{16}\b", maps))]

    def crash(self) -> list[Path]:
        """SIGKILL: it can say nothing to anybody. Returns what it leaves in shared memory.

        Remove that at the end: others may still read from it.
        """
        segments = self.shared_memory()
        self._process.kill()
        self._process.wait(5)
        return segments

    @property
    def pid(self) -> int:
        """Its process id."""
        return self._process.pid

    def kill(self) -> None:
        """End it whatever happens; gently first, or its shared memory stays behind."""
        self._process.terminate()
        try:
            self._process.wait(5)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait(5)


def start_node(
    folder, *ros_args: str, program: str = "da3_ros.commands.node", **parameters
) -> Process:
    """The node with the `TINY` parameters and `parameters` (dots as double underscores)."""
    values = {**TINY, **{name.replace("__", "."): v for name, v in parameters.items()}}
    path = folder / "parameters.yaml"
    path.write_text(yaml.safe_dump({"da3": {"ros__parameters": values}}))
    return Process(program, "--ros-args", "--params-file", str(path), *ros_args)


def picture_messages(stamp_ns: int, camera: CameraModel = CAMERA) -> tuple[Image, CameraInfo]:
    """A textured picture and its camera info."""
    head = messages.header("camera_optical_frame", stamp_ns)
    seed = np.random.default_rng(stamp_ns % 1000)
    pixels = seed.integers(0, 255, (camera.height, camera.width, 3), np.uint8)
    image = messages.image_message(pixels, "rgb8", head)
    return image, messages.camera_info_message(camera, head)


def mount_message(stamp_ns: int, parent: str, child: str, x: float = 0.0) -> TFMessage:
    """A transform that lets the camera look along the robot's x."""
    T = np.array([[0.0, 0, 1, x], [-1, 0, 0, 0], [0, -1, 0, 0], [0, 0, 0, 1]])
    head = messages.header(parent, stamp_ns)
    return TFMessage(transforms=[messages.transform_message(T, head, child)])


def pose_message(stamp_ns: int, x: float) -> TFMessage:
    """odom -> base_link."""
    T = np.eye(4)
    T[0, 3] = x
    head = messages.header("odom", stamp_ns)
    return TFMessage(transforms=[messages.transform_message(T, head, "base_link")])


class Robot(BackgroundNode):
    """Publishes images, camera infos and TF as a robot would; keeps what the node publishes."""

    def __init__(self):
        super().__init__("robot")
        latched = QoSProfile(depth=10, durability=DurabilityPolicy.TRANSIENT_LOCAL)
        self.image = self.node.create_publisher(Image, "image", 10)
        self.images_sent = 0
        self.info = self.node.create_publisher(CameraInfo, "camera_info", 10)
        self.tf = self.node.create_publisher(TFMessage, "/tf", 100)
        self.tf_static = self.node.create_publisher(TFMessage, "/tf_static", latched)
        self.received: dict[str, list] = {}
        self.count = 0
        self.send_mount("base_link", "camera_optical_frame")

    def listen(self, kind: type, topic: str, qos=10) -> list:
        """Subscribe; the list grows with every message."""
        messages = self.received.setdefault(topic, [])
        self.node.create_subscription(kind, topic, messages.append, qos)
        return messages

    def call(self, kind: type, name: str, request):
        """The answer of a service."""
        client = self.node.create_client(kind, name)
        assert client.wait_for_service(START), name
        future = client.call_async(request)
        self.wait_until(future.done, START, name)
        self.node.destroy_client(client)
        return future.result()

    def change_state(self, transition: int) -> bool:
        """Ask the node for a `lifecycle_msgs/Transition`; whether it was made."""
        request = ChangeState.Request(transition=Transition(id=transition))
        return self.call(ChangeState, "/da3/change_state", request).success

    def state(self) -> str:
        """The lifecycle state of the node."""
        return self.call(GetState, "/da3/get_state", GetState.Request()).current_state.label

    def set_parameters(self, values: dict) -> SetParametersResult:
        """Of the node, all or none."""
        parameters = [Parameter(name, value=v).to_parameter_msg() for name, v in values.items()]
        request = SetParametersAtomically.Request(parameters=parameters)
        return self.call(SetParametersAtomically, "/da3/set_parameters_atomically", request).result

    def wait_until(self, condition, timeout: float = 20.0, what: str = "the condition") -> None:
        """Wait until `condition()` holds."""
        deadline = time.monotonic() + timeout
        while not condition():
            assert time.monotonic() < deadline, f"timed out: {what}"
            time.sleep(0.02)

    def wait_for_node(self, *publishers) -> None:
        """Until the node subscribes to images and TF (or these), and our subscriptions found it."""
        publishers = publishers or (self.image, self.info, self.tf, self.tf_static)
        self.wait_until(
            lambda: all(p.get_subscription_count() for p in publishers), START, "the node's inputs"
        )
        topics = list(self.received)
        self.wait_until(
            lambda: all(self.node.count_publishers(t) for t in topics), START, "the node's outputs"
        )
        time.sleep(0.5)  # the node has to find our subscriptions, too

    def send_mount(self, parent: str, child: str, x: float = 0.0) -> None:
        """A static transform, turned so that the camera looks along the robot's x."""
        self.tf_static.publish(mount_message(time.time_ns(), parent, child, x))

    @cached_property
    def _start_ns(self) -> int:
        """Of the first image: nodes may take longer to start than stamps may be late."""
        return time.time_ns()

    def next_stamp(self) -> int:
        """Stamp of the next image: 0.1 s after the last one."""
        self.count += 1
        return self._start_ns + self.count * 100_000_000

    def send_tf(self, stamp_ns: int, x: float | None = None) -> TransformStamped:
        """odom -> base_link, 10 cm further on each image."""
        x = (stamp_ns - self._start_ns) * 1e-9 if x is None else x
        msg = pose_message(stamp_ns, x)
        self.tf.publish(msg)
        return msg.transforms[0]

    def messages(self, stamp_ns: int, camera: CameraModel = CAMERA) -> tuple[Image, CameraInfo]:
        """A textured picture and its camera info."""
        return picture_messages(stamp_ns, camera)

    def send_image(self, image: Image) -> None:
        """Publish and count it."""
        self.images_sent += 1
        self.image.publish(image)

    def send(self, camera: CameraModel = CAMERA) -> int:
        """One good frame with its pose; returns its stamp."""
        stamp_ns = self.next_stamp()
        image, info = self.messages(stamp_ns, camera)
        self.send_tf(stamp_ns)
        self.info.publish(info)
        self.send_image(image)
        return stamp_ns

    def send_until_published(
        self,
        send: Callable[[], int] | None = None,
        *,
        topic: str = "/da3/depth/image",
        count: int = 3,
    ) -> int:
        """Good frames, or what `send` sends, until the last one is published; its stamp.

        Somebody has to `listen` to the topic.
        """
        for _ in range(count):
            stamp_ns = (send or self.send)()
            time.sleep(0.05)
        self.wait_until(lambda: stamp_ns in stamps(self.received[topic]), what="the last frame")
        return stamp_ns

    def fresh_status(self):
        """One that was begun after this was asked; somebody has to `listen` to /da3/status."""
        statuses = self.received["/da3/status"]
        seen = len(statuses)
        self.wait_until(lambda: len(statuses) > seen + 1, what="status")
        return statuses[-1]


def stamps(received: list) -> list[int]:
    """Of messages, ns."""
    return [stamp_to_ns(msg.header.stamp) for msg in received]


def node_starter(tmp_path):
    """For a fixture: starts nodes as `start_node` does, and ends them with the test."""
    processes = []

    def start(*ros_args: str, **parameters) -> Process:
        processes.append(start_node(tmp_path, *ros_args, **parameters))
        return processes[-1]

    yield start
    for process in processes:
        process.kill()


def a_robot():
    """For a fixture, whose scope is the test file's choice."""
    robot = Robot()
    yield robot
    robot.close()


def a_node():
    """Likewise for a fixture: a node in a context of its own."""
    context = Context()
    rclpy.init(context=context)
    node = rclpy.create_node("test", context=context)
    yield node
    node.destroy_node()
    rclpy.shutdown(context=context)
