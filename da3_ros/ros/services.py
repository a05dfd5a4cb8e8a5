"""Services of the node, in a callback group of their own: none of them stops the images.

~/reset   std_srvs/Trigger   forget window, poses and scale, as after a jump back in time
"""

from __future__ import annotations

from collections.abc import Callable

from rclpy.callback_groups import MutuallyExclusiveCallbackGroup
from rclpy.node import Node
from std_srvs.srv import Trigger


class Services:
    """The services while the node is configured."""

    def __init__(self, node: Node, *, reset: Callable[[], None]):
        self._node = node
        self._reset = reset
        self.group = MutuallyExclusiveCallbackGroup()
        self._services = [
            node.create_service(Trigger, "~/reset", self._on_reset, callback_group=self.group)
        ]

    def close(self) -> None:
        """Take all services off the graph."""
        for service in self._services:
            self._node.destroy_service(service)

    def _on_reset(self, _, response: Trigger.Response) -> Trigger.Response:
        self._reset()
        response.success, response.message = True, "window, poses and scale are forgotten"
        return response
