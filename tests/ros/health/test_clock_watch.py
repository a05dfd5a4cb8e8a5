"""Stamps and the node's clock: of one time, or not."""

import time

import pytest
import rclpy
from rclpy.context import Context
from rclpy.executors import SingleThreadedExecutor
from rclpy.parameter import Parameter
from rosgraph_msgs.msg import Clock

from da3_ros.ros.health.clock_watch import ClockWatch, far_from_clock
from da3_ros.ros.health.rates import Statistics
from da3_ros.ros.messages import ns_to_stamp

NOW = 1_795_000_000 * 10**9


@pytest.mark.parametrize(
    "seconds, sentence",
    [
        (0.1, ""),
        (-0.1, ""),
        (9.9, ""),
        (60, "image stamps are 60 s behind the node's clock"),
        (-60, "image stamps are 60 s ahead of the node's clock"),
        (95_703_622, "image stamps are 1108 days behind the node's clock"),
    ],
)
def test_stamps_of_another_clock_are_said(seconds, sentence):
    said = far_from_clock(NOW - round(seconds * 1e9), NOW)
    assert said.startswith(sentence) and bool(said) == bool(sentence)
    assert not said or "use_sim_time:=true" in said


def test_a_simulated_clock_that_has_not_begun_says_nothing():
    assert far_from_clock(NOW, 0) == ""


def test_what_is_no_latency_is_not_in_the_statistics():
    statistics = Statistics(lambda: NOW)
    for seconds in (0.5, 95_703_622, 0.7, -95_703_622):
        statistics.note(NOW - round(seconds * 1e9))
    assert statistics.latency.quantiles() == pytest.approx((0.6, 0.69))


class Simulated:
    """A node on simulated time, its watch, and what that one said."""

    def __init__(self):
        self.context = Context()
        rclpy.init(context=self.context)
        sim_time = Parameter("use_sim_time", value=True)
        self.node = rclpy.create_node("sim", context=self.context, parameter_overrides=[sim_time])
        self._clock = self.node.create_publisher(Clock, "/clock", 10)
        self.new_starts, self.warnings, self.wall = [], [], 0.0
        self.watch = ClockWatch(
            self.node,
            lambda what, by: self.new_starts.append((what, round(by, 3))),
            lambda cause, sentence: self.warnings.append(sentence),
            lambda: self.wall,
        )
        self._executor = SingleThreadedExecutor(context=self.context)
        self._executor.add_node(self.node)

    def tell(self, *times):
        """Seconds, one after the other; each has arrived when this returns."""
        for seconds in times:
            stamp_ns = round(seconds * 1e9)
            deadline = time.monotonic() + 20
            while self.node.get_clock().now().nanoseconds != stamp_ns:
                assert time.monotonic() < deadline, "the clock does not go on"
                self._clock.publish(Clock(clock=ns_to_stamp(stamp_ns)))
                self._executor.spin_once(timeout_sec=0.05)

    def lasting(self, seconds):
        """What is wrong after so many seconds of wall time, asked for once in each."""
        for _ in range(seconds):
            self.wall += 1.0
            said = self.watch.warnings()
        return said

    def close(self):
        self._executor.shutdown()
        self.node.destroy_node()
        rclpy.shutdown(context=self.context)


@pytest.fixture
def simulated():
    simulated = Simulated()
    yield simulated
    simulated.close()


def test_a_clock_that_jumps_back_starts_over_and_one_that_runs_back_is_named(simulated):
    simulated.tell(100, 100.5, 50, 50.1)
    assert simulated.new_starts == [("time jumped back", 50.5)]
    simulated.tell(50.2, 50.197)
    assert simulated.warnings == [
        "the clock ran back by 3 ms: see who publishes /clock, maybe two do"
    ]
    simulated.tell(60, 3600, 3600.1)
    assert len(simulated.new_starts) == 1


def test_two_programs_that_publish_the_clock_are_named(simulated):
    for k in range(10):
        simulated.tell(100 + 0.1 * k, 98.5 + 0.1 * k)
    assert len(simulated.new_starts) <= 2
    assert simulated.warnings[-1] == "two programs publish /clock, 1.5 s apart: end one"


def test_a_clock_that_stands_still_is_named_until_it_goes_on(simulated):
    simulated.tell(100)
    assert simulated.lasting(5) == []
    (sentence,) = simulated.lasting(2)
    assert sentence.startswith("/clock has stood still for 5 s: the simulator or player is paused")
    simulated.tell(100.1)
    assert simulated.lasting(3) == []


def test_a_clock_that_never_comes_is_named(simulated):
    (sentence,) = simulated.lasting(7)
    assert "no /clock message has come for 5 s" in sentence
