"""The node, whose callbacks wait as long as the file $BLOCKED exists; all else goes on.

BLOCKED=/tmp/blocked python -m tools.soak.blocked_node --ros-args ...
"""

from __future__ import annotations

import os
import time
from pathlib import Path

from rclpy.clock import Clock, ClockType

from da3_ros.core.stop_signals import end_at_once_on_signals
from da3_ros.ros.node import DepthNode
from da3_ros.ros.run_node import run_node
from da3_ros.ros.transport import use_large_message_profile

VARIABLE = "BLOCKED"
LOOK_PERIOD, POLL_PERIOD = 0.2, 0.02
"""Seconds between two looks for the file, and between two while it is there."""


class BlockedNode(DepthNode):
    """Blocked while it is configured, and by a timer."""

    def __init__(self, stopper):
        super().__init__(stopper)
        self._file = Path(os.environ[VARIABLE])
        steady = Clock(clock_type=ClockType.STEADY_TIME)
        self.create_timer(LOOK_PERIOD, self._wait, clock=steady)

    def on_configure(self, state):
        self._wait()
        return super().on_configure(state)

    def _wait(self) -> None:
        while self._file.exists():
            time.sleep(POLL_PERIOD)


if __name__ == "__main__":
    end_at_once_on_signals()
    use_large_message_profile()
    run_node(BlockedNode)
