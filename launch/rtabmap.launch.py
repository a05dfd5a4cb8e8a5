"""Starts da3_node and RTAB-Map (rtabmap_slam), which builds a map with loop closures of it.

    ros2 launch da3_ros rtabmap.launch.py image:=/camera/image_raw camera_info:=/camera/camera_info

Takes the arguments of da3.launch.py; world_frame and use_sim_time hold for both nodes. RTAB-Map
publishes map -> world_frame, which must therefore be an odometry frame.
"""

from pathlib import Path

from launch import LaunchDescription
from launch.actions import DeclareLaunchArgument, IncludeLaunchDescription
from launch.launch_description_sources import PythonLaunchDescriptionSource
from launch.substitutions import LaunchConfiguration
from launch_ros.actions import Node

HERE = Path(__file__).parent
TOPICS = [
    ("rgb/image", "da3/image_rect"),
    ("rgb/camera_info", "da3/depth/camera_info"),
    ("depth/image", "da3/depth/image"),
]


def generate_launch_description() -> LaunchDescription:
    # Declared here, so that da3.launch.py finds them set and keeps them.
    ours = [
        DeclareLaunchArgument(
            "params",
            default_value=str(HERE.parent / "config" / "rtabmap.yaml"),
            description="YAML file of the parameters of da3 and rtabmap",
        ),
        DeclareLaunchArgument("world_frame", default_value="odom", description="odometry frame"),
        DeclareLaunchArgument("use_sim_time", default_value="false", choices=["true", "false"]),
    ]
    da3 = PythonLaunchDescriptionSource(str(HERE / "da3.launch.py"))
    return LaunchDescription([*ours, IncludeLaunchDescription(da3), rtabmap()])


def rtabmap() -> Node:
    return Node(
        package="rtabmap_slam",
        executable="rtabmap",
        name="rtabmap",
        namespace=LaunchConfiguration("namespace"),
        parameters=[
            LaunchConfiguration("params"),
            {
                "odom_frame_id": LaunchConfiguration("world_frame"),
                "use_sim_time": LaunchConfiguration("use_sim_time"),
            },
        ],
        remappings=TOPICS,
        output="screen",
    )
