"""Starts da3_node and octomap_server, which fills an octree with da3's points.

    ros2 launch da3_ros octomap.launch.py image:=/camera/image_raw camera_info:=/camera/camera_info

Takes the arguments of da3.launch.py; world_frame, tf and use_sim_time hold for both nodes.
"""

from pathlib import Path

from launch import LaunchDescription

from da3_ros.ros.launching import Stack, stack_launch

PARAMS = Path(__file__).parents[1] / "config" / "octomap.yaml"
STACK = Stack(
    package="octomap_server",
    executable="octomap_server_node",
    name="octomap_server",
    topics=(("cloud_in", "points"),),
    world_frame="frame_id",
    install="sudo apt install ros-DISTRO-octomap-server",
)


def generate_launch_description() -> LaunchDescription:
    return stack_launch(STACK, PARAMS)
