"""Starts da3_node on one camera. Arguments that are left empty change nothing.

    ros2 launch da3_ros da3.launch.py image:=/camera/image_raw camera_info:=/camera/camera_info \
        world_frame:=odom params:=my_robot.yaml
"""

from pathlib import Path

from launch import LaunchContext, LaunchDescription
from launch.actions import DeclareLaunchArgument, OpaqueFunction
from launch.substitutions import LaunchConfiguration
from launch_ros.actions import Node

from da3_ros.ros.transport import use_large_message_profile

SWITCH = ["", "true", "false"]
ARGUMENTS = [
    DeclareLaunchArgument("image", default_value="", description="topic of the camera's images"),
    DeclareLaunchArgument("camera_info", default_value="", description="topic of its camera info"),
    DeclareLaunchArgument("world_frame", default_value="", description="fixed frame, e.g. odom"),
    DeclareLaunchArgument("params", default_value="", description="YAML file of parameters"),
    DeclareLaunchArgument("model", default_value="", description="parameter model.name"),
    DeclareLaunchArgument("namespace", default_value="", description="namespace of the node"),
    DeclareLaunchArgument(
        "compressed", default_value="", choices=SWITCH, description="take <image>/compressed"
    ),
    DeclareLaunchArgument(
        "use_sim_time", default_value="", choices=SWITCH, description="take time from /clock"
    ),
    DeclareLaunchArgument(
        "log_level",
        default_value="info",
        choices=["debug", "info", "warn", "error", "fatal"],
        description="quietest message to print",
    ),
]


def generate_launch_description() -> LaunchDescription:
    use_large_message_profile()  # every process of this launch inherits it
    return LaunchDescription([*ARGUMENTS, OpaqueFunction(function=start_node)])


def start_node(context: LaunchContext) -> list[Node]:
    given = {a.name: LaunchConfiguration(a.name).perform(context) for a in ARGUMENTS}
    return [
        Node(
            package="da3_ros",
            executable="da3_node",
            namespace=given["namespace"] or None,
            parameters=parameters(given),
            remappings=remappings(given),
            ros_arguments=["--log-level", given["log_level"]],
            output="screen",
            emulate_tty=True,
        )
    ]


def parameters(given: dict[str, str]) -> list[str | dict]:
    """The file first, so that arguments win over it."""
    if given["params"] and not Path(given["params"]).is_file():
        raise FileNotFoundError(f"params:={given['params']} is not a file")
    arguments = {
        "model.name": given["model"],
        "pose.world_frame": given["world_frame"],
        "input.compressed": given["compressed"] and given["compressed"] == "true",
        "use_sim_time": given["use_sim_time"] and given["use_sim_time"] == "true",
    }
    chosen = {name: value for name, value in arguments.items() if value != ""}
    return [source for source in (given["params"], chosen) if source]


def remappings(given: dict[str, str]) -> list[tuple[str, str]]:
    pairs = [("camera_info", given["camera_info"])]
    if given["image"]:
        pairs += [("image", given["image"]), ("image/compressed", f"{given['image']}/compressed")]
    return [(name, topic) for name, topic in pairs if topic]
