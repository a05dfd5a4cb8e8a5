"""Another node of the same name: topics and services of the two cannot be told apart."""

from __future__ import annotations

from rclpy.node import Node


class Namesakes:
    """Looks for them on the graph."""

    def __init__(self, node: Node):
        self._node = node
        self._own = (node.get_name(), node.get_namespace())

    def warnings(self) -> list[str]:
        """What is wrong with the name now, in sentences; to be asked regularly."""
        if self._node.get_node_names_and_namespaces().count(self._own) < 2:
            return []
        return [
            f"another node is named {self._node.get_fully_qualified_name()}, too: give one of them "
            "another name (-r __node:=NAME, name:=NAME) or namespace, or end it (one that was "
            "killed disappears by itself within 20 s)"
        ]
