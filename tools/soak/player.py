"""Plays the demo's bag over and over, as a robot that never gets tired, with jumps in time.

    python -m tools.soak.player BAG --rate 15

Every loop starts over at the same stamp: time jumps back, for /clock as for the headers, as it
does with a looped bag. Every fifth loop is an hour later: time jumps forward, then far back.
At the end (SIGINT, SIGTERM) it prints what it has sent.
"""

from __future__ import annotations

import argparse
import signal
import time
from collections import Counter

import rclpy
from rclpy.duration import Duration
from rclpy.node import Node
from rclpy.qos import DurabilityPolicy, QoSProfile
from rclpy.signals import SignalHandlerOptions
from rosgraph_msgs.msg import Clock

from da3_ros.ros.bags.bag import BagReader
from da3_ros.ros.demo.bag import RATE, START_NS
from da3_ros.ros.messages import ns_to_stamp
from da3_ros.ros.transport import use_large_message_profile

CLOCK_PERIOD = 0.01
FORWARD_NS = 3600 * 1_000_000_000
FORWARD_EVERY = 5
TOPICS = {"/camera/image_raw": "image", "/camera/camera_info": "camera_info", "/tf": "/tf"}
"""Topics of the bag, and under which names they go out."""


class LoopingPlayer(Node):
    """Publishes the messages of a bag with stamps of its own making."""

    def __init__(self, path: str, rate: float):
        super().__init__("soak_player", start_parameter_services=False)
        self.sent = Counter()
        self.stopping = False
        self._clock = self.create_publisher(Clock, "/clock", 10)
        self._topic_publishers = {}
        with BagReader(path) as bag:
            # (ns after the start of the loop, topic, message)
            self._messages = [
                (round((time_ns - START_NS) * RATE / rate), TOPICS[topic], msg)
                for topic, time_ns, msg in bag.messages(*TOPICS)
            ]
            self._mount = next(msg for _, _, msg in bag.messages("/tf_static"))
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
            self._play_once(zero, START_NS + is_later * FORWARD_NS)
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
            self._clock.publish(Clock(clock=ns_to_stamp(start_ns + offset - left)))
            time.sleep(min(left / 1e9, CLOCK_PERIOD))
        self._clock.publish(Clock(clock=ns_to_stamp(start_ns + offset)))

    def stop(self, *_) -> None:
        """Signal handler: no more messages."""
        self.stopping = True


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("bag")
    parser.add_argument("--rate", type=float, default=15.0, help="images per second")
    options = parser.parse_args()
    use_large_message_profile()
    rclpy.init(signal_handler_options=SignalHandlerOptions.NO)
    player = LoopingPlayer(options.bag, options.rate)
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, player.stop)
    player.wait_for_node()
    player.play()
    print(f"sent: {player.sent['image']} images in {player.sent['loops']} loops", flush=True)
    player.destroy_node()
    rclpy.shutdown()


if __name__ == "__main__":
    main()
