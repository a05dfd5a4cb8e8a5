"""The node's clock: simulated time that jumps back, stands still, or never comes."""

from __future__ import annotations

import time
from collections.abc import Callable

from rclpy.clock import JumpThreshold, TimeJump
from rclpy.duration import Duration
from rclpy.node import Node

from da3_ros.ros.health.time_jump import JUMP_NS, StampVerdict, StreamClock

PATIENCE = 5.0
"""Seconds of wall time to wait for the first /clock message, and for the next one."""

LONGEST_GAP = 2.0
"""Seconds between two calls of `warnings`. After a longer gap the node was too busy to hear the
clock: the gap does not count as waiting."""

SMALL = 0.1
"""Seconds that the clock may run back without everything starting over."""

DAY = 86_400
FAR_NS = 10_000_000_000
"""Stamps farther from the clock than this are not late, but of another clock."""


def far_from_clock(stamp_ns: int, now_ns: int) -> str:
    """What is wrong, in a sentence, when stamps and the node's clock are not of one time; else
    empty. now_ns: 0 while a simulated clock has not begun.
    """
    behind_ns = now_ns - stamp_ns
    if not now_ns or abs(behind_ns) <= FAR_NS:
        return ""
    seconds = abs(behind_ns) / 1e9
    how_far = f"{seconds:.0f} s" if seconds < DAY else f"{seconds / DAY:.0f} days"
    return (
        f"image stamps are {how_far} {'behind' if behind_ns > 0 else 'ahead of'} the node's clock: "
        "with a replayed bag (--clock) or a simulation start it with use_sim_time:=true; else "
        "synchronise the clocks"
    )


class ClockWatch:
    """start_over: called when time jumps, with that in words and by how many seconds.

    warn: told, under a cause, of a clock that runs back a little, or of two clocks.
    """

    def __init__(
        self,
        node: Node,
        start_over: Callable[[str, float], None],
        warn: Callable[[str, str], None],
        wall_clock: Callable[[], float] = time.monotonic,
    ):
        self._clock = node.get_clock()
        self._start_over, self._warn = start_over, warn
        self._stream = StreamClock()
        self._wall_clock = wall_clock
        self._waited, self._asked_at, self._newest_ns = 0.0, wall_clock(), 0
        jumps = JumpThreshold(
            min_forward=Duration(nanoseconds=JUMP_NS),
            min_backward=Duration(nanoseconds=-1_000_000),
            on_clock_change=False,
        )
        # The handle unregisters the callback when it is garbage collected.
        self._handle = self._clock.create_jump_callback(jumps, post_callback=self._on_jump)

    def warnings(self) -> list[str]:
        """What is wrong with the clock now, in sentences; to be asked regularly."""
        now = self._wall_clock()
        gap, self._asked_at = now - self._asked_at, now
        self._waited += gap if gap < LONGEST_GAP else 0.0
        now_ns, last_ns = self._clock.now().nanoseconds, self._newest_ns
        self._newest_ns = now_ns
        if not self._clock.ros_time_is_active or now_ns != last_ns:
            self._waited = 0.0
        if self._waited < PATIENCE:
            return []
        if now_ns:
            return [
                f"/clock has stood still for {PATIENCE:.0f} s: the simulator or player is paused, "
                "or has ended; images wait meanwhile, and nothing that takes time ends"
            ]
        return [
            f"use_sim_time is true, but no /clock message has come for {PATIENCE:.0f} s: start "
            "what publishes it (a simulator, ros2 bag play --clock), or set use_sim_time to false"
        ]

    def _on_jump(self, jump: TimeJump) -> None:
        now_ns, ahead_ns = self._clock.now().nanoseconds, jump.delta.nanoseconds
        self._stream.follow(now_ns - ahead_ns)
        verdict, _ = self._stream.judge(now_ns)
        if verdict is StampVerdict.OTHER_CLOCK:
            self._warn("two clocks", f"two programs publish /clock, {_by(ahead_ns)} apart: end one")
        elif verdict is StampVerdict.JUMP and ahead_ns > 0:
            self._start_over("time jumped ahead to where it was", ahead_ns / 1e9)
        elif ahead_ns < -SMALL * 1e9:
            self._start_over("time jumped back", -ahead_ns / 1e9)
        elif ahead_ns < 0:
            self._warn(
                "clock ran back",
                f"the clock ran back by {_by(ahead_ns)}: see who publishes /clock, maybe two do",
            )


def _by(ahead_ns: int) -> str:
    seconds = abs(ahead_ns) / 1e9
    return f"{seconds:.1f} s" if seconds > SMALL else f"{seconds * 1e3:.0f} ms"
