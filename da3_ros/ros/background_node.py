"""A node in a context and a thread of its own, beside whatever else the process does."""

from __future__ import annotations

import threading

import rclpy
from rclpy.context import Context
from rclpy.executors import SingleThreadedExecutor
from rclpy.qos import DurabilityPolicy, QoSProfile

from da3_ros.ros.executor import spin_once
from da3_ros.ros.health.callback_errors import CallbackErrors

LATCHED = QoSProfile(depth=1, durability=DurabilityPolicy.TRANSIENT_LOCAL)
"""Of a subscription that wants what was published before it, too: maps."""


class BackgroundNode:
    """Spins from the beginning until `close`; what callbacks raise is said and ends nothing.

    node: to subscribe, publish and call with.
    """

    def __init__(self, name: str):
        self.context = Context()
        rclpy.init(context=self.context)
        self.node = rclpy.create_node(name, context=self.context)
        self._executor = SingleThreadedExecutor(context=self.context)
        self._executor.add_node(self.node)
        self._stopping = False
        # A daemon: a process that ends before `close`, interrupted say, does not wait for it.
        self._thread = threading.Thread(target=self._spin, daemon=True)
        self._thread.start()

    def _spin(self) -> None:
        errors = CallbackErrors(self.node.get_logger())
        while not self._stopping and self.context.ok():
            spin_once(self._executor, errors.note)

    def close(self) -> None:
        """Leave the graph."""
        self._stopping = True
        self._thread.join()
        self._executor.shutdown()
        self.node.destroy_node()
        rclpy.shutdown(context=self.context)
