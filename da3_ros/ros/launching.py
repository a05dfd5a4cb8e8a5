"""What the launch files share: the action that starts da3_node, alone or beside a mapping stack.

Of parameters that are given twice, the last in this order holds: what launch files choose by
themselves, the parameter file, the arguments of the launch.
"""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path

from launch import LaunchContext, LaunchDescription
from launch.actions import DeclareLaunchArgument, OpaqueFunction
from launch.substitutions import LaunchConfiguration
from launch_ros.actions import Node
from launch_ros.substitutions import ExecutableInPackage

from da3_ros.core.parameter import ConfigError
from da3_ros.ros.parameter_file import NODE_NAME, names_node, read_block
from da3_ros.ros.transport import use_large_message_profile

SWITCH = ["", "true", "false"]
"""Values of an argument that is on, off, or left to the parameter file."""

ARGUMENTS = [
    DeclareLaunchArgument("image", default_value="", description="topic of the camera's images"),
    DeclareLaunchArgument("camera_info", default_value="", description="topic of its camera info"),
    DeclareLaunchArgument("world_frame", default_value="", description="fixed frame, e.g. odom"),
    DeclareLaunchArgument("params_file", default_value="", description="YAML file of parameters"),
    DeclareLaunchArgument("params", default_value="", description="the same, shorter"),
    DeclareLaunchArgument("model", default_value="", description="parameter model.name"),
    DeclareLaunchArgument("name", default_value=NODE_NAME, description="name of the node"),
    DeclareLaunchArgument("namespace", default_value="", description="namespace of the node"),
    DeclareLaunchArgument(
        "tf",
        default_value="",
        description="topic of transforms instead of /tf, the static ones on <tf>_static: with "
        "tf:=tf a robot in a namespace has its own",
    ),
    DeclareLaunchArgument(
        "image_transport",
        default_value="",
        choices=["", "raw", "compressed"],
        description="compressed takes <image>/compressed",
    ),
    DeclareLaunchArgument(
        "compressed", default_value="", choices=SWITCH, description="the same as a switch"
    ),
    DeclareLaunchArgument(
        "use_sim_time", default_value="", choices=SWITCH, description="take time from /clock"
    ),
    DeclareLaunchArgument(
        "log_level",
        default_value="info",
        choices=["debug", "info", "warn", "error", "fatal"],
        description="least severe message to print",
    ),
]


class LaunchError(RuntimeError):
    """Nothing can be started this way; one sentence."""


@dataclass(frozen=True)
class Stack:
    """A mapping stack beside da3_node.

    name: of its node, and of its block in the parameter file. topics: each of its topics, and ours
    that it reads, below the node's name. world_frame: its parameter that names the fixed frame.
    install: what to do where the package is missing; DISTRO stands for the ROS distribution.
    """

    package: str
    executable: str
    name: str
    topics: tuple[tuple[str, str], ...]
    world_frame: str
    install: str


def stack_launch(stack: Stack, params: Path) -> LaunchDescription:
    """da3_node and a stack. params: parameter file of both, where the user gives none."""
    use_large_message_profile()  # every process of this launch inherits it
    ours = DeclareLaunchArgument(
        "params", default_value=str(params), description="the same; our own if neither is given"
    )
    arguments = [ours if a.name == "params" else a for a in ARGUMENTS]
    return LaunchDescription([*arguments, OpaqueFunction(function=with_stack, args=[stack])])


def da3_node(context: LaunchContext) -> list[Node]:
    """The node by the arguments of this launch. Raises `LaunchError`."""
    given = _given(context)
    return [
        Node(
            package="da3_ros",
            executable="da3_node",
            name=given["name"],
            namespace=given["namespace"],
            parameters=_our_parameters(given),
            remappings=[*_image_topics(given), *_tf_topics(given)],
            ros_arguments=["--log-level", given["log_level"]],
            output="screen",
            emulate_tty=True,
        )
    ]


def with_stack(context: LaunchContext, stack: Stack) -> list[Node]:
    """The node and the stack's. Raises `LaunchError` before either is started."""
    _require(context, stack)
    given = _given(context)
    return [
        *da3_node(context),
        Node(
            package=stack.package,
            executable=stack.executable,
            name=stack.name,
            namespace=given["namespace"],
            parameters=_stack_parameters(given, stack),
            remappings=[(theirs, f"{given['name']}/{ours}") for theirs, ours in stack.topics]
            + _tf_topics(given),
            output="screen",
        ),
    ]


def _given(context: LaunchContext) -> dict[str, str]:
    return {a.name: LaunchConfiguration(a.name).perform(context) for a in ARGUMENTS}


def _require(context: LaunchContext, stack: Stack) -> None:
    try:
        ExecutableInPackage(stack.executable, stack.package).perform(context)
    except (LookupError, OSError, RuntimeError) as error:  # of the index, or of launch_ros
        install = stack.install.replace("DISTRO", os.environ.get("ROS_DISTRO", "$ROS_DISTRO"))
        raise LaunchError(
            f"the program {stack.executable} of the package {stack.package} is not installed here: "
            f"{install}. Nothing was started"
        ) from error


def _parameter_file(given: dict[str, str]) -> str:
    path = given["params_file"] or given["params"]
    if path and not Path(path).is_file():
        raise LaunchError(f"{path} (params_file, params) is not a file. Nothing was started")
    return path


def _our_parameters(given: dict[str, str]) -> list[str | dict]:
    arguments = {
        "model.name": given["model"],
        "pose.world_frame": given["world_frame"],
        "input.compressed": _compressed(given),
        "use_sim_time": _switch(given["use_sim_time"]),
    }
    file, _ = _of_file(given, given["name"], NODE_NAME)
    return [s for s in (file, _given_only(arguments)) if s]


def _stack_parameters(given: dict[str, str], stack: Stack) -> list[str | dict]:
    file, theirs = _of_file(given, stack.name, stack.name)
    _, ours = _of_file(given, given["name"], NODE_NAME)
    arguments = {
        stack.world_frame: given["world_frame"],
        "use_sim_time": _switch(given["use_sim_time"]),
    }
    if not given["world_frame"] and stack.world_frame not in theirs:
        arguments[stack.world_frame] = ours.get("pose.world_frame", "odom")
    return [s for s in (file, _given_only(arguments)) if s]


def _of_file(given: dict[str, str], name: str, usual: str) -> tuple[str | dict, dict]:
    """What to give a node of this launch for its parameter file, and the values it has then.

    That is the file, if there is one; its values where its block has the node's usual name, or
    is outside the namespace: ROS would not give it to the node, and it is meant for no other.
    """
    path = _parameter_file(given)
    full = _full_name(given["namespace"], name)
    meant = (full, _full_name(given["namespace"], usual), f"/{usual}")
    try:
        if not path:
            return "", {}
        named = next((m for m in meant if names_node(path, m)), full)
        values = read_block(path, full)
        if named == full:
            return path, values
        values |= read_block(path, named)
        return values, values
    except ConfigError as error:
        raise LaunchError(f"{error}. Nothing was started") from error


def _full_name(namespace: str, name: str) -> str:
    return "/".join(["", *filter(None, namespace.split("/")), name])


def _compressed(given: dict[str, str]) -> bool | str:
    switch, transport = _switch(given["compressed"]), given["image_transport"]
    if not transport:
        return switch
    if switch != "" and switch != (transport == "compressed"):
        raise LaunchError(
            f"image_transport:={transport} and compressed:={given['compressed']} contradict each "
            "other; give one of them. Nothing was started"
        )
    return transport == "compressed"


def _switch(text: str) -> bool | str:
    """The value of a parameter; empty where the argument is."""
    return text and text == "true"


def _given_only(arguments: dict) -> dict:
    return {name: value for name, value in arguments.items() if value != ""}


def _image_topics(given: dict[str, str]) -> list[tuple[str, str]]:
    pairs = [("camera_info", given["camera_info"])]
    if given["image"]:
        pairs += [("image", given["image"]), ("image/compressed", f"{given['image']}/compressed")]
    return [(name, topic) for name, topic in pairs if topic]


def _tf_topics(given: dict[str, str]) -> list[tuple[str, str]]:
    tf = given["tf"]
    return [("/tf", tf), ("/tf_static", f"{tf}_static")] if tf else []
