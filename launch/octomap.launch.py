"""Starts da3_node and octomap_server, which fills an octree with da3's points.

    ros2 launch da3_ros octomap.launch.py image:=/camera/image_raw camera_info:=/camera/camera_info

Takes the arguments of da3.launch.py; world_frame and use_sim_time hold for both nodes.
"""

from pathlib import Path

from launch import LaunchDescription
from launch.actions import DeclareLaunchArgument, IncludeLaunchDescription
from launch.launch_description_sources import PythonLaunchDescriptionSource
from launch.substitutions import LaunchConfiguration
from launch_ros.actions import Node

HERE = Path(__file__).parent
TOPICS = [("cloud_in", "da3/points")]


def generate_launch_description() -> LaunchDescription:
    # Declared here, so that da3.launch.py finds them set and keeps them.
    ours = [
        DeclareLaunchArgument(
            "params",
            default_value=str(HERE.parent / "config" / "octomap.yaml"),
            description="YAML file of the parameters of da3 and octomap_server",
        ),
        DeclareLaunchArgument("world_frame", default_value="odom", description="frame of the map"),
        DeclareLaunchArgument("use_sim_time", default_value="false", choices=["true", "false"]),
    ]
    da3 = PythonLaunchDescriptionSource(str(HERE / "da3.launch.py"))
    return LaunchDescription([*ours, IncludeLaunchDescription(da3), octomap_server()])


def octomap_server() -> Node:
    return Node(
        package="octomap_server",
        executable="octomap_server_node",
        name="octomap_server",
        namespace=LaunchConfiguration("namespace"),
        parameters=[
            LaunchConfiguration("params"),
            {
                "frame_id": LaunchConfiguration("world_frame"),
                "use_sim_time": LaunchConfiguration("use_sim_time"),
            },
        ],
        remappings=TOPICS,
        output="screen",
    )
