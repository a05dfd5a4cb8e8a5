"""What the files of the package import, and which of it only ROS can provide."""

import ast
from collections.abc import Iterator
from pathlib import Path

PACKAGE = Path(__file__).parents[1] / "da3_ros"
FILES = sorted(PACKAGE.rglob("*.py"))

# What only a ROS installation, or its wheels, can provide.
ROS_MODULES = {
    "ament_index_python",
    "cv_bridge",
    "launch",
    "launch_ros",
    "message_filters",
    "rclpy",
    "rosidl_runtime_py",
    "sensor_msgs_py",
    "tf2_geometry_msgs",
    "tf2_py",
    "tf2_ros",
    "tf_transformations",
}
OUR_INTERFACES = ("da3_ros.action", "da3_ros.msg", "da3_ros.srv")


def imports(file: Path, package: Path = PACKAGE) -> Iterator[str]:
    """Absolute names of all that a file of `package` imports, inside functions too."""
    within = file.relative_to(package.parent).parent.parts
    for node in ast.walk(ast.parse(file.read_text())):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            above = within[: len(within) - node.level + 1] if node.level else ()
            origin = ".".join((*above, *filter(None, [node.module])))
            yield origin
            yield from (f"{origin}.{alias.name}" for alias in node.names)


def needs_ros(module: str) -> bool:
    top = module.split(".")[0]
    return (
        top in ROS_MODULES
        or top.endswith(("_msgs", "_srvs", "_interfaces"))
        or module in OUR_INTERFACES
    )
