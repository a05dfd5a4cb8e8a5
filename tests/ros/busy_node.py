"""The node with a network that is busy as long as the file $BUSY exists: run by the tests."""

import os
import time
from pathlib import Path

from da3_ros.ros.node import DepthNode
from da3_ros.ros.run_node import run_node

BUSY = Path(os.environ["BUSY"])


class BusyNode(DepthNode):
    def on_configure(self, state):
        result = super().on_configure(state)
        network = self._configured.runner.network
        decode = network.decode

        def decode_slowly(*arguments, **options):
            while BUSY.exists():
                time.sleep(0.02)
            return decode(*arguments, **options)

        network.decode = decode_slowly
        return result


if __name__ == "__main__":
    run_node(BusyNode)
