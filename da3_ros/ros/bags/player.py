"""Replays a bag into the graph: messages go out as the bytes that were recorded.

/tf_static and other latched topics are transient_local, all topics reliable; types that are not
installed are skipped and named.
"""

from __future__ import annotations

import time

from rclpy.duration import Duration
from rclpy.node import Node
from rclpy.publisher import Publisher
from rclpy.qos import DurabilityPolicy, QoSProfile, ReliabilityPolicy
from rosbags.interfaces import Connection
from rosgraph_msgs.msg import Clock

from da3_ros.net.plain_text import LONGEST_SENTENCE, plain
from da3_ros.ros.bags.bag import BagError, BagReader, is_latched
from da3_ros.ros.messages import LATEST_STAMP_NS, ns_to_stamp
from da3_ros.ros.topics.message_types import message_class

CLOCK_PERIOD = 0.025
"""As often as `ros2 bag play` says the time: every message makes rclpy's executor try all
that waits, and on a slow core a node does little else."""

SETTLE = 1.0
"""Seconds without a new subscriber after which all are taken to be there."""

LONGEST_GAP = 60
"""Seconds without a message that are waited for. A computer without a battery for its clock begins
a recording in 1970 and goes on in this year."""

IMAGES = ("sensor_msgs/msg/Image", "sensor_msgs/msg/CompressedImage")


class Player(Node):
    """Publishes a bag's messages at the pace they were recorded; of gaps see `LONGEST_GAP`.

    rate: times faster than recorded. clock: publish /clock, for nodes with use_sim_time.
    """

    def __init__(self, bag: BagReader, *, rate: float = 1.0, clock: bool = False):
        # It is never spun, so it offers no services.
        super().__init__("da3_play", start_parameter_services=False)
        self._bag = bag
        self._rate = rate
        if clock and bag.end_ns - 1 > LATEST_STAMP_NS:
            raise BagError("the bag lasts beyond 2038, which /clock cannot say: leave out --clock")
        self._clock = self.create_publisher(Clock, "/clock", 10) if clock else None
        self._publishers_of: dict[int, Publisher] = {}
        self._said = 0
        self.say_notes()
        for connection in bag.connections:
            self._advertise(connection)
        if not self._publishers_of:
            raise BagError("the bag holds no message of a type that is installed here")

    def say_notes(self) -> None:
        """What is odd about the bag, as far as it is known by now and was not said."""
        for note in self._bag.notes[self._said :]:
            self.get_logger().warning(plain(note, LONGEST_SENTENCE))
        self._said = len(self._bag.notes)

    def _advertise(self, connection: Connection) -> None:
        cls = message_class(connection.msgtype)
        if cls is None:
            self.get_logger().warning(
                f"{plain(connection.topic)} is skipped: "
                f"{plain(connection.msgtype)} is not installed"
            )
            return
        if connection.topic == "/clock" and self._clock:
            return
        qos = QoSProfile(depth=100, reliability=ReliabilityPolicy.RELIABLE)
        if is_latched(connection):
            qos.durability = DurabilityPolicy.TRANSIENT_LOCAL
        self._publishers_of[connection.id] = self.create_publisher(cls, connection.topic, qos)

    def wait_for_subscriber(self, timeout: float) -> bool:
        """Wait until somebody listens to an image topic, or to any topic of a bag without images,
        and nobody new comes; False when nobody came within `timeout` s.

        A subscriber is known here a moment before it knows this publisher, and what is sent in
        between is lost.
        """
        images = {c.id for c in self._bag.connections if c.msgtype in IMAGES and c.msgcount}
        wanted = images & self._publishers_of.keys() or self._publishers_of.keys()
        began = settled = time.monotonic()
        counts: dict[int, int] = {}
        while not (heard := any(counts.get(i) for i in wanted)) or _since(settled) < SETTLE:
            if not heard and _since(began) > timeout:
                return False
            time.sleep(0.05)
            before, counts = counts, self._count_subscribers()
            settled = settled if counts == before else time.monotonic()
        return True

    def _count_subscribers(self) -> dict[int, int]:
        return {i: p.get_subscription_count() for i, p in self._publishers_of.items()}

    def play(self) -> int:
        """Replay the bag once; returns the number of messages sent."""
        connections = [c for c in self._bag.connections if c.id in self._publishers_of]
        self._zero, self._skipped_ns = time.monotonic(), 0
        newest, count = self._bag.start_ns, 0
        for connection, time_ns, raw in self._bag.raw_messages(connections):
            if time_ns - newest > LONGEST_GAP * 10**9:
                self._skip(time_ns - newest)
            newest = max(newest, time_ns)
            self._wait_until(time_ns)
            self._publishers_of[connection.id].publish(raw)
            count += 1
        return count

    def flush(self) -> None:
        """Wait, but not long, until reliable subscribers have everything."""
        for publisher in self._publishers_of.values():
            publisher.wait_for_all_acked(Duration(seconds=2))

    def _skip(self, gap_ns: int) -> None:
        """Let that much recorded time pass at once."""
        self._skipped_ns += gap_ns
        self.get_logger().warning(
            f"nothing was recorded for {gap_ns / 1e9:,.0f} s, perhaps because the clock was "
            f"set: this gap, like every one above {LONGEST_GAP} s, is not waited for",
            once=True,
        )

    def _wait_until(self, time_ns: int) -> None:
        recorded_ns = time_ns - self._bag.start_ns - self._skipped_ns
        due = self._zero + recorded_ns / 1e9 / self._rate
        while (left := due - time.monotonic()) > 0:
            self._tell_time(min(time_ns, self._now_ns()))
            time.sleep(min(left, CLOCK_PERIOD) if self._clock else left)
        self._tell_time(time_ns)

    def _now_ns(self) -> int:
        elapsed = (time.monotonic() - self._zero) * self._rate
        return self._bag.start_ns + self._skipped_ns + round(elapsed * 1e9)

    def _tell_time(self, time_ns: int) -> None:
        if self._clock:
            self._clock.publish(Clock(clock=ns_to_stamp(time_ns)))


def _since(then: float) -> float:
    return time.monotonic() - then
