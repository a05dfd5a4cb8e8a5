"""Thousands of random messages at every input of a living node, and what it has to say."""

from __future__ import annotations

import re
import time
from collections import Counter
from collections.abc import Callable

import numpy as np
from da3_ros.msg import Status
from nav_msgs.msg import Odometry
from rclpy.node import Node
from rclpy.qos import DurabilityPolicy, QoSProfile
from sensor_msgs.msg import CameraInfo, Image
from std_msgs.msg import Header
from tf2_msgs.msg import TFMessage

from da3_ros.core import poses
from da3_ros.ros import messages
from da3_ros.ros.demo.bag import T_BASE_CAMERA
from da3_ros.ros.inputs.tf_buffer import BadTransform, check_transform
from tools.soak.fuzz_messages import Fuzzer, Parts
from tools.soak.listener import SoakListener

DEPTH = 1000
PARAMETERS = {
    # Nothing may get lost before the node, or the counters cannot be compared.
    "input.queue_size": DEPTH,
    "qos_overrides./tf.subscription.depth": DEPTH,
    "pose.timeout": 0.05,
}
PAUSE = 0.005
LONGEST_START = 120.0
"""Seconds for the node to load its model and subscribe."""

WORDS = {
    "bad_image": r"is not supported|image has size|has step|has odd width|bytes, needs|too narrow"
    r"|must have even sizes|cannot be converted",
    "blank_image": "the image is of one color|shows too little|leave no pixel",
    "bad_camera_info": "camera_info: ",
    "bad_header": "image without a (stamp|frame_id)",
    "no_camera_info": "no camera_info has the stamp of the image",
    "no_pose": "no pose: ",
    "queue_full": "too many images wait",
    "duplicate_stamp": "same stamp",
    "out_of_order": "image dropped: (older|its stamp is)",
    "time_jump": "starting over",
    "inference_failed": "inference failed",
    BadTransform.NO_NAME: "lacks a frame name; it is ignored",
    BadTransform.OWN_PARENT: "makes the frame its own parent; it is ignored",
    BadTransform.NOT_FINITE: "contains NaN or infinity; it is ignored",
    BadTransform.NO_ROTATION: "has a quaternion of length .*; it is ignored",
    BadTransform.TOO_FAR: "m long, must be within .*; it is ignored",
    BadTransform.OTHER_CLOCK: "two programs publish it, with clocks apart",
}
"""What the log says for each reason; frames that are merely not needed are not refusals."""


class FuzzSender:
    """Publishes rounds of random messages with a good pose around each.

    sent: messages by topic. refused: what a transform buffer has to refuse of them, by cause.
    """

    def __init__(self, node: Node, parts: Parts):
        self.sent: Counter[str] = Counter()
        self.refused: Counter[str] = Counter()
        self._fuzzer = Fuzzer(parts)
        latched = QoSProfile(depth=1, durability=DurabilityPolicy.TRANSIENT_LOCAL)
        self._publishers = {
            "image": node.create_publisher(Image, "image", DEPTH),
            "camera_info": node.create_publisher(CameraInfo, "camera_info", DEPTH),
            "/tf": node.create_publisher(TFMessage, "/tf", DEPTH),
            "/tf_static": node.create_publisher(TFMessage, "/tf_static", latched),
            "odometry": node.create_publisher(Odometry, "odometry", DEPTH),
        }
        self._send_mount()

    def is_heard(self, *topics: str) -> bool:
        """Whether the node subscribes to all of these."""
        return all(self._publishers[topic].get_subscription_count() for topic in topics)

    def _publish(self, topic: str, msg) -> None:
        self._publishers[topic].publish(msg)
        self.sent[topic] += 1

    def send(self, rounds: int) -> None:
        """In each: two images, two infos, transforms, an odometry. Static transforms are not
        fuzzed: a wrong mount stays, as it would in any buffer."""
        for _ in range(rounds):
            self._send_pose()
            image, info = self._fuzzer.pair()
            self._publish("image", image)
            self._publish("camera_info", info)
            self._send_pose()
            self._publish("image", self._fuzzer.image())
            self._publish("camera_info", self._fuzzer.info())
            self._send_transforms()
            self._publish("odometry", self._fuzzer.odometry())
            time.sleep(PAUSE)

    def send_good(self) -> int:
        """A frame that nothing is wrong with; returns its stamp."""
        self._send_pose()
        stamp_ns = time.time_ns()
        head = messages.header("camera_optical_frame", stamp_ns)
        pixels = np.random.default_rng(stamp_ns).integers(0, 255, (42, 56, 3), np.uint8)
        info = CameraInfo(header=head, width=56, height=42)
        info.k = [40.0, 0.0, 27.5, 0.0, 40.0, 20.5, 0.0, 0.0, 1.0]
        self._publish("camera_info", info)
        self._publish("image", messages.image_message(pixels, "rgb8", head))
        self._send_pose()
        return stamp_ns

    def send_until(self, is_published: Callable[[], bool]) -> bool:
        """Send good frames, for a minute at most."""
        deadline = time.monotonic() + 60
        while not is_published() and time.monotonic() < deadline:
            self.send_good()
            time.sleep(0.1)
        return is_published()

    def forget_lost(self, status: Status) -> None:
        """What was sent before the node had found this publisher does not count."""
        self.sent["image"] = status.frames_received

    def _send_transforms(self) -> None:
        msg = self._fuzzer.transforms()
        for transform in msg.transforms:
            try:
                check_transform(transform)
            except BadTransform as error:
                self.refused[error.cause] += 1
        self._publish("/tf", msg)

    def _send_mount(self) -> None:
        """Where the camera is on the robot; again and again: tf2 believes the last one who spoke
        of a frame, and that may have been a fuzzed transform."""
        head = messages.header("base_link", time.time_ns())
        mount = messages.transform_message(T_BASE_CAMERA, head, "camera_optical_frame")
        self._publish("/tf_static", TFMessage(transforms=[mount]))

    def _send_pose(self) -> None:
        """Where the robot is now, both as TF and as odometry."""
        self._send_mount()
        stamp_ns = time.time_ns()
        T = poses.compose(np.eye(3), np.array([stamp_ns % 10**12 * 1e-9, 0.0, 0.0]))
        head = messages.header("odom", stamp_ns)
        transform = messages.transform_message(T, head, "base_link")
        self._publish("/tf", TFMessage(transforms=[transform]))
        odometry = Odometry(header=Header(frame_id="odom", stamp=head.stamp))
        odometry.child_frame_id = "base_link"
        odometry.pose.pose = messages.pose_message(T)
        self._publish("odometry", odometry)


def unsaid(status: Status, log: str) -> list[str]:
    """Reasons that were counted, but of which the log has no word."""
    reasons = [*status.dropped_reasons, *status.transforms_refused]
    counts = [*status.dropped_counts, *status.transforms_refused_counts]
    counted = [reason for reason, n in zip(reasons, counts) if n and reason in WORDS]
    return [reason for reason in counted if not re.search(WORDS[reason], log)]


def fuzz(listener: SoakListener, rounds: int) -> FuzzSender:
    """Send so many rounds to the node that the listener listens to, then good frames until one
    comes back: a wild stamp may still be the newest."""
    sender = FuzzSender(listener.node, Parts.draw())
    deadline = time.monotonic() + LONGEST_START
    while not sender.is_heard("image", "camera_info", "/tf", "/tf_static"):
        if time.monotonic() > deadline:
            raise RuntimeError(f"the node did not subscribe within {LONGEST_START:.0f} s")
        time.sleep(0.1)
    sender.send_until(lambda: listener.depths > 0)
    sender.forget_lost(listener.wait_until_settled())
    sender.send(rounds)
    before = listener.depths
    sender.send_until(lambda: listener.depths > before)
    return sender


def broken_laws(sender: FuzzSender, status: Status, listener: SoakListener, log: str) -> list[str]:
    """One sentence for each law that does not hold."""
    sent, refused = sender.sent["image"], refused_for_what_they_hold(status)
    laws = [
        (not listener.unbalanced, f"counters do not add up: {listener.unbalanced[:1]}"),
        (status.frames_received == sent, f"{sent} images, {status.frames_received} counted"),
        (refused == sender.refused, f"transforms refused: {refused}, must be {sender.refused}"),
        (not unsaid(status, log), f"counted, but not a word about it: {unsaid(status, log)}"),
        (status.frames_published > 0, "nothing good was published"),
        ("Traceback" not in log, "the log holds a traceback"),
    ]
    return [sentence for holds, sentence in laws if not holds]


def table(sender: FuzzSender, status: Status) -> str:
    """Markdown: what was sent, and what became of it."""
    dropped = [f"{n} {r}" for r, n in zip(status.dropped_reasons, status.dropped_counts) if n]
    rows = [
        *((f"sent to {topic}", n) for topic, n in sender.sent.items() if topic != "/tf_static"),
        ("images counted", status.frames_received),
        ("published", status.frames_published),
        ("dropped", ", ".join(dropped)),
        (
            "transforms refused",
            ", ".join(
                map("{1} {0}".format, status.transforms_refused, status.transforms_refused_counts)
            ),
        ),
        ("no pose", ", ".join(map("{1} {0}".format, status.pose_misses, status.pose_miss_counts))),
    ]
    return "\n".join(["| | |", "|---|---|", *(f"| {name} | {value} |" for name, value in rows)])


def refused_for_what_they_hold(status: Status) -> dict[str, int]:
    """Transforms refused, by cause; without those whose stamp alone was wild."""
    counts = dict(zip(status.transforms_refused, status.transforms_refused_counts))
    counts.pop(BadTransform.OTHER_CLOCK, None)
    return counts
