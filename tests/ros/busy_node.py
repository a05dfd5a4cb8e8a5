"""The node whose network, and whoever reads a mesh, is busy while the file $BUSY exists."""

import os
import time
from pathlib import Path

from da3_ros.ros.node import DepthNode
from da3_ros.ros.run_node import run_node

BUSY = Path(os.environ["BUSY"])


class BusyNode(DepthNode):
    def on_configure(self, state):
        result = super().on_configure(state)
        network, scene = self._configured.runner.network, self._configured.scene
        say = self.get_logger().info
        network.decode = slowly(network.decode, say)
        scene.load_mesh = slowly(scene.load_mesh, say)
        return result


def slowly(work, say):
    """It begins when $BUSY is gone; the log says that it waits."""

    def wait_and_work(*arguments, **options):
        if BUSY.exists():
            say(f"{work.__name__} waits")
        while BUSY.exists():
            time.sleep(0.02)
        return work(*arguments, **options)

    return wait_and_work


if __name__ == "__main__":
    run_node(BusyNode)
