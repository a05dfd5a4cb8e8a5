"""What a node offers and listens to, in groups that come and go together."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import ExitStack

from rclpy.action import ActionServer
from rclpy.node import Node

CLOSING = "the node is being cleaned up; ask again once it is configured"
"""Why nothing new is begun while `Entities.is_closing`."""


class Entities:
    """Creates all that is on the graph, and timers, on a node; `close` destroys them.

    Whatever goes wrong half way: what was created is known here, and nothing stays behind.
    is_closing: set before `close`, by who lets callbacks in other threads end first.
    """

    def __init__(self, node: Node):
        self.node = node
        self.is_closing = False
        self._undo = ExitStack()

    def close(self) -> None:
        """Take all of them off the graph, the newest first."""
        self._undo.close()

    def create_publisher(self, *args, **options):
        """See `rclpy.node.Node.create_publisher`."""
        return self._keep(self.node.create_publisher(*args, **options), self.node.destroy_publisher)

    def create_subscription(self, *args, **options):
        """See `rclpy.node.Node.create_subscription`."""
        return self._keep(
            self.node.create_subscription(*args, **options), self.node.destroy_subscription
        )

    def create_service(self, srv_type, srv_name, callback: Callable, **options):
        """See `rclpy.node.Node.create_service`; while `is_closing`, `success` and `message` of the
        answer say so, and `callback` is not called."""

        def answer(request, response):
            if not self.is_closing:
                return callback(request, response)
            response.success, response.message = False, CLOSING
            return response

        service = self.node.create_service(srv_type, srv_name, answer, **options)
        return self._keep(service, self.node.destroy_service)

    def create_action_server(self, *args, **options) -> ActionServer:
        """See `rclpy.action.ActionServer`; without the node."""
        return self._keep(ActionServer(self.node, *args, **options), ActionServer.destroy)

    def create_timer(self, *args, **options):
        """See `rclpy.node.Node.create_timer`."""
        return self._keep(self.node.create_timer(*args, **options), self.node.destroy_timer)

    def _keep(self, entity, destroy: Callable):
        self._undo.callback(destroy, entity)
        return entity
