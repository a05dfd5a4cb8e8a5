"""The node whose callbacks wait as long as the file $BLOCKED exists: a program for the tests."""

import os
import time
from pathlib import Path

from rclpy.qos import QoSProfile
from std_msgs.msg import Empty

from da3_ros.ros.node import DepthNode
from da3_ros.ros.run_node import run_node

BLOCKED = Path(os.environ["BLOCKED"])


class BlockedNode(DepthNode):
    """Blocked while it is configured, and by each message on `~/block`."""

    def __init__(self, stopper):
        super().__init__(stopper)
        self.create_subscription(Empty, "~/block", self._wait, QoSProfile(depth=1))

    def on_configure(self, state):
        self._wait()
        return super().on_configure(state)

    def _wait(self, msg=None):
        while BLOCKED.exists():
            time.sleep(0.02)


if __name__ == "__main__":
    run_node(BlockedNode)
