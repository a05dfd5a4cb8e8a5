"""Starts da3_node and RTAB-Map (rtabmap_slam), which builds a map with loop closures of it.

    ros2 launch da3_ros rtabmap.launch.py image:=/camera/image_raw camera_info:=/camera/camera_info

Takes the arguments of da3.launch.py; world_frame, tf and use_sim_time hold for both nodes. RTAB-Map
publishes map -> world_frame, which must therefore be an odometry frame.
"""

from pathlib import Path

from launch import LaunchDescription

from da3_ros.ros.launching import Stack, stack_launch

PARAMS = Path(__file__).parents[1] / "config" / "rtabmap.yaml"
STACK = Stack(
    package="rtabmap_slam",
    executable="rtabmap",
    name="rtabmap",
    topics=(
        ("rgb/image", "image_rect"),
        ("rgb/camera_info", "depth/camera_info"),
        ("depth/image", "depth/image"),
    ),
    world_frame="odom_frame_id",
    install="sudo apt install ros-DISTRO-rtabmap-ros",
)


def generate_launch_description() -> LaunchDescription:
    return stack_launch(STACK, PARAMS)
