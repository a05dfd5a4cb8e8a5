"""Starts da3_node and nvblox (isaac_ros_nvblox), which maps da3's depth on the GPU.

    ros2 launch da3_ros nvblox.launch.py image:=/camera/image_raw camera_info:=/camera/camera_info

Takes the arguments of da3.launch.py; world_frame and use_sim_time hold for both nodes.
"""

from pathlib import Path

from launch import LaunchDescription
from launch.actions import DeclareLaunchArgument, IncludeLaunchDescription
from launch.launch_description_sources import PythonLaunchDescriptionSource
from launch.substitutions import LaunchConfiguration
from launch_ros.actions import Node

HERE = Path(__file__).parent
TOPICS = [
    ("camera_0/depth/image", "da3/depth/image"),
    ("camera_0/depth/camera_info", "da3/depth/camera_info"),
    ("camera_0/color/image", "da3/image_rect"),
    ("camera_0/color/camera_info", "da3/depth/camera_info"),
]


def generate_launch_description() -> LaunchDescription:
    # Declared here, so that da3.launch.py finds them set and keeps them.
    ours = [
        DeclareLaunchArgument(
            "params",
            default_value=str(HERE.parent / "config" / "nvblox.yaml"),
            description="YAML file of the parameters of da3 and nvblox_node",
        ),
        DeclareLaunchArgument("world_frame", default_value="odom", description="frame of the map"),
        DeclareLaunchArgument("use_sim_time", default_value="false", choices=["true", "false"]),
    ]
    da3 = PythonLaunchDescriptionSource(str(HERE / "da3.launch.py"))
    return LaunchDescription([*ours, IncludeLaunchDescription(da3), nvblox()])


def nvblox() -> Node:
    return Node(
        package="nvblox_ros",
        executable="nvblox_node",
        name="nvblox_node",
        namespace=LaunchConfiguration("namespace"),
        parameters=[
            LaunchConfiguration("params"),
            {
                "global_frame": LaunchConfiguration("world_frame"),
                "use_sim_time": LaunchConfiguration("use_sim_time"),
            },
        ],
        remappings=TOPICS,
        output="screen",
    )
