"""Plays the demo's bag over and over, as a robot that never gets tired, with jumps in time.

    python -m tools.soak.player BAG --rate 15 [--size 1280x720] [--cameras a b c d] [--live]

Every loop starts over at the same stamp: time jumps back, for /clock as for the headers, as it
does with a looped bag. Every fifth loop is an hour later: time jumps forward, then far back.
With --live there is no /clock, and stamps are those of now. Cameras of a rig all send the picture
of the one in the bag, each under its own frame.
At the end (SIGINT, SIGTERM) it prints what it has sent.
"""

from __future__ import annotations

import argparse
import copy
import signal
import time
from collections import Counter
from collections.abc import Iterator, Sequence

import cv2
import rclpy
from geometry_msgs.msg import TransformStamped
from rclpy.duration import Duration
from rclpy.node import Node
from rclpy.qos import DurabilityPolicy, QoSProfile
from rclpy.signals import SignalHandlerOptions
from rosgraph_msgs.msg import Clock
from sensor_msgs.msg import CameraInfo, Image
from tf2_msgs.msg import TFMessage

from da3_ros.ros.bags.bag import BagReader
from da3_ros.ros.demo.bag import RATE, START_NS
from da3_ros.ros.images import to_rgb
from da3_ros.ros.messages import (
    camera_info_message,
    camera_model,
    image_message,
    ns_to_stamp,
)
from da3_ros.ros.transport import use_large_message_profile

CLOCK_PERIOD = 0.01
FORWARD_NS = 3600 * 1_000_000_000
FORWARD_EVERY = 5
TOPICS = {"/camera/image_raw": "image", "/camera/camera_info": "camera_info", "/tf": "/tf"}
"""Topics of the bag, and under which names they go out."""


class LoopingPlayer(Node):
    """Publishes the messages of a bag with stamps of its own making.

    size: (width, height) of the pictures, None as they are. cameras: [""] for one alone.
    """

    def __init__(
        self,
        path: str,
        rate: float,
        size: tuple[int, int] | None = None,
        cameras: Sequence[str] = ("",),
        is_live: bool = False,
    ):
        super().__init__("soak_player", start_parameter_services=False)
        self.sent = Counter()
        self.stopping = False
        self._clock = None if is_live else self.create_publisher(Clock, "/clock", 10)
        self._topic_publishers = {}
        with BagReader(path) as bag:
            # (ns after the start of the loop, topic, message)
            self._messages = [
                (round((time_ns - START_NS) * RATE / rate), name, copy)
                for topic, time_ns, msg in bag.messages(*TOPICS)
                for name, copy in for_rig(TOPICS[topic], resized(msg, size), cameras)
            ]
            self._mount = next(msg for _, _, msg in bag.messages("/tf_static"))
        self._mount.transforms = [m for camera in cameras for m in mounts(self._mount, camera)]
        self._duration_ns = self._messages[-1][0] + round(1e9 / rate)
        self._advertise()

    def _advertise(self) -> None:
        for _, topic, msg in self._messages:
            if topic not in self._topic_publishers:
                self._topic_publishers[topic] = self.create_publisher(type(msg), topic, 100)
        latched = QoSProfile(depth=1, durability=DurabilityPolicy.TRANSIENT_LOCAL)
        self._static = self.create_publisher(type(self._mount), "/tf_static", latched)
        self._static.publish(self._mount)

    def wait_for_node(self) -> None:
        """Until somebody takes the images and transforms, and a moment longer."""
        publishers = [*self._topic_publishers.values(), self._static]
        while not (self.stopping or all(p.get_subscription_count() for p in publishers)):
            time.sleep(0.1)
        time.sleep(2.0)

    def play(self) -> None:
        """Loop after loop until stopped; then wait until everything has arrived."""
        zero = time.monotonic_ns()
        while not self.stopping:
            is_later = self.sent["loops"] % FORWARD_EVERY == FORWARD_EVERY - 1
            start_ns = START_NS + is_later * FORWARD_NS
            if self._clock is None:
                start_ns = time.time_ns() - time.monotonic_ns() + zero
            self._play_once(zero, start_ns)
            self.sent["loops"] += 1
            zero += self._duration_ns
        for publisher in self._topic_publishers.values():
            publisher.wait_for_all_acked(Duration(seconds=5))

    def _play_once(self, zero: int, start_ns: int) -> None:
        for offset, topic, msg in self._messages:
            self._wait_until(zero, offset, start_ns)
            if self.stopping:
                return
            stamp = ns_to_stamp(start_ns + offset)
            for stamped in msg.transforms if topic == "/tf" else [msg]:
                stamped.header.stamp = stamp
            self._topic_publishers[topic].publish(msg)
            self.sent[topic] += 1

    def _wait_until(self, zero: int, offset: int, start_ns: int) -> None:
        while (left := zero + offset - time.monotonic_ns()) > 0 and not self.stopping:
            self._tell_time(start_ns + offset - left)
            time.sleep(min(left / 1e9, CLOCK_PERIOD))
        self._tell_time(start_ns + offset)

    def _tell_time(self, now_ns: int) -> None:
        if self._clock:
            self._clock.publish(Clock(clock=ns_to_stamp(now_ns)))

    def stop(self, *_) -> None:
        """Signal handler: no more messages."""
        self.stopping = True


def resized(msg, size: tuple[int, int] | None):
    """An image or camera info for another size of picture; other messages as they are."""
    if size is None or not isinstance(msg, (Image, CameraInfo)):
        return msg
    if isinstance(msg, Image):
        return image_message(cv2.resize(to_rgb(msg), size), "rgb8", msg.header)
    camera = camera_model(msg).scaled(width=size[0], height=size[1])
    return camera_info_message(camera, msg.header)


def for_rig(topic: str, msg, cameras: Sequence[str]) -> Iterator[tuple[str, object]]:
    """(topic, message) for each camera of a rig, under a frame of its own."""
    if not isinstance(msg, (Image, CameraInfo)):
        yield topic, msg
        return
    for camera in cameras:
        own = copy.copy(msg)
        own.header = copy.deepcopy(msg.header)
        own.header.frame_id = f"{camera}_{msg.header.frame_id}".lstrip("_")
        yield f"{camera}/{topic}".lstrip("/"), own


def mounts(msg: TFMessage, camera: str) -> Iterator[TransformStamped]:
    """The mount of the bag's camera, for one of the rig."""
    for transform in copy.deepcopy(msg.transforms):
        transform.child_frame_id = f"{camera}_{transform.child_frame_id}".lstrip("_")
        yield transform


def size_of(text: str) -> tuple[int, int]:
    """(width, height) of `1280x720`."""
    width, height = map(int, text.split("x"))
    return width, height


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("bag")
    parser.add_argument("--rate", type=float, default=15.0, help="images per second")
    parser.add_argument("--size", type=size_of, help="of the pictures: 1280x720")
    parser.add_argument("--cameras", nargs="+", default=[""], help="names of a rig's cameras")
    parser.add_argument("--live", action="store_true", help="stamps of now, no /clock")
    options = parser.parse_args()
    use_large_message_profile()
    rclpy.init(signal_handler_options=SignalHandlerOptions.NO)
    player = LoopingPlayer(options.bag, options.rate, options.size, options.cameras, options.live)
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, player.stop)
    player.wait_for_node()
    player.play()
    images = sum(n for topic, n in player.sent.items() if topic.endswith("image"))
    print(f"sent: {images} images in {player.sent['loops']} loops", flush=True)
    player.destroy_node()
    rclpy.shutdown()


if __name__ == "__main__":
    main()
