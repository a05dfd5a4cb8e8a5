"""The node's clock: simulated time that jumps back, or never comes."""

from __future__ import annotations

import time
from collections.abc import Callable

from rclpy.clock import JumpThreshold, TimeJump
from rclpy.duration import Duration
from rclpy.node import Node

DAY = 86_400
PATIENCE = 5.0
"""Seconds of wall time to wait for the first /clock message."""

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
    """start_over: called, with the reason in words, when time jumps back."""

    def __init__(self, node: Node, start_over: Callable[[str], None]):
        self._clock = node.get_clock()
        self._start_over = start_over
        self._ticked_at = time.monotonic()
        backwards = JumpThreshold(
            min_forward=None, min_backward=Duration(nanoseconds=-1_000_000), on_clock_change=False
        )
        # The handle unregisters the callback when it is garbage collected.
        self._handle = self._clock.create_jump_callback(backwards, post_callback=self._on_jump)

    def complaints(self) -> list[str]:
        """What is wrong with the clock now, in sentences; to be asked regularly."""
        now = time.monotonic()
        if not self._clock.ros_time_is_active or self._clock.now().nanoseconds:
            self._ticked_at = now
        if now - self._ticked_at < PATIENCE:
            return []
        return [
            f"use_sim_time is true, but no /clock message has come for {PATIENCE:.0f} s: start "
            "what publishes it (a simulator, ros2 bag play --clock), or set use_sim_time to false"
        ]

    def _on_jump(self, jump: TimeJump) -> None:
        self._start_over(f"time jumped back by {-jump.delta.nanoseconds / 1e9:.1f} s")
