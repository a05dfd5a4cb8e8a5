"""Starts da3_node and nvblox (isaac_ros_nvblox), which maps da3's depth on the GPU.

    ros2 launch da3_ros nvblox.launch.py image:=/camera/image_raw camera_info:=/camera/camera_info

Takes the arguments of da3.launch.py; world_frame, tf and use_sim_time hold for both nodes.
"""

from pathlib import Path

from launch import LaunchDescription

from da3_ros.ros.launching import Stack, stack_launch

PARAMS = Path(__file__).parents[1] / "config" / "nvblox.yaml"
STACK = Stack(
    package="nvblox_ros",
    executable="nvblox_node",
    name="nvblox_node",
    topics=(
        ("camera_0/depth/image", "depth/image"),
        ("camera_0/depth/camera_info", "depth/camera_info"),
        ("camera_0/color/image", "image_rect"),
        ("camera_0/color/camera_info", "depth/camera_info"),
    ),
    world_frame="global_frame",
    install="add NVIDIA's Isaac ROS repository, then sudo apt install ros-DISTRO-isaac-ros-nvblox",
)


def generate_launch_description() -> LaunchDescription:
    return stack_launch(STACK, PARAMS)
