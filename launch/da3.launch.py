"""Starts da3_node on one camera. Arguments that are left empty change nothing.

    ros2 launch da3_ros da3.launch.py image:=/camera/image_raw camera_info:=/camera/camera_info \
        world_frame:=odom params_file:=my_robot.yaml

A robot among others, with transforms of its own: namespace:=robot1 tf:=tf
"""

from launch import LaunchDescription
from launch.actions import OpaqueFunction

from da3_ros.ros.launching import ARGUMENTS, da3_node
from da3_ros.ros.transport import use_large_message_profile


def generate_launch_description() -> LaunchDescription:
    use_large_message_profile()  # every process of this launch inherits it
    return LaunchDescription([*ARGUMENTS, OpaqueFunction(function=da3_node)])
