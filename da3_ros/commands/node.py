"""da3_node: the depth node, until SIGINT or SIGTERM."""

from __future__ import annotations

from da3_ros.ros.node import DepthNode
from da3_ros.ros.run_node import run_node
from da3_ros.ros.transport import use_large_message_profile


def main() -> None:
    """Entry point of da3_node."""
    use_large_message_profile()
    run_node(DepthNode)


if __name__ == "__main__":
    main()
