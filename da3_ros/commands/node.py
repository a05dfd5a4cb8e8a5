"""da3_node: the depth node, until SIGINT or SIGTERM."""

from __future__ import annotations

import argparse
import re
import sys

from rclpy.utilities import remove_ros_args

from da3_ros.core.stop_signals import end_at_once_on_signals
from da3_ros.ros.run_node import run_node

HELP = """\
Parameters, names and topics are given after --ros-args, as to every ROS node:
  da3_node --ros-args -p model.name:=da3-demo -r image:=/camera/image_raw -r __ns:=/front
  da3_node --ros-args --params-file my_robot.yaml --log-level debug

subscribes to (remap them with -r; each camera of a rig has <name>/ before the first three)
  image                       sensor_msgs/Image
  image/compressed            sensor_msgs/CompressedImage instead, with input.compressed
  camera_info                 sensor_msgs/CameraInfo, same stamps as the images
  /tf, /tf_static             poses of the cameras, with pose.source tf or odometry
  odometry                    nav_msgs/Odometry, with pose.source odometry
  anchor/points               sensor_msgs/PointCloud2 of points known in metres, in any frame
  anchor/depth                sensor_msgs/Image of depth with holes, with anchor/camera_info

publishes
  ~/depth/image               sensor_msgs/Image, metres
  ~/depth/image/compressedDepth, ~/image_rect/compressed
                              sensor_msgs/CompressedImage, as image_transport has them
  ~/depth/camera_info         sensor_msgs/CameraInfo of the depth
  ~/confidence/image          sensor_msgs/Image
  ~/image_rect                sensor_msgs/Image, the picture that belongs to the depth
  ~/points                    sensor_msgs/PointCloud2
  ~/camera_pose, ~/path       geometry_msgs/PoseStamped, nav_msgs/Path
  ~/camera_poses              da3_ros/CameraPoses, all views of the window
  ~/odometry                  nav_msgs/Odometry, with pose.source none
  ~/cloud_map, ~/mesh_marker  the fused scene, with scene.enabled
  ~/status, /diagnostics      how it is doing

services
  ~/export                    da3_ros/Export: files of the newest window, or meshes of the scene;
                              also as an action, with feedback
  ~/export_glb, ~/export_gs_ply, ~/build_mesh, ~/reset   std_srvs/Trigger
  ~/load_mesh                 da3_ros/LoadMesh
  ~/render_depth              da3_ros/RenderDepth: depth of the mesh from any pose

parameters, with meaning, bounds and default
  config/da3.yaml (installed in share/da3_ros/config), docs/parameters.md, and on a running node
  ros2 param describe /da3 NAME
"""


def main() -> None:
    """Entry point of da3_node."""
    check_arguments(sys.argv)
    end_at_once_on_signals()
    # Imported here: they wait for torch, and --help and wrong arguments need not.
    from da3_ros.ros.node import DepthNode
    from da3_ros.ros.transport import use_large_message_profile

    use_large_message_profile()
    run_node(DepthNode)


def check_arguments(arguments: list[str]) -> None:
    """--help, or end in one sentence: the node takes nothing but ROS arguments."""
    parser = argparse.ArgumentParser(
        "da3_node",
        usage="da3_node [--help] [--ros-args ...]",
        description="Posed camera images in, metric depth and point clouds out.",
        epilog=HELP,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    try:
        _, unknown = parser.parse_known_args(remove_ros_args(arguments)[1:])
    except RuntimeError as error:  # rclpy exports no type for it
        parser.exit(2, f"da3_node: {_in_one_line(error)}; see da3_node --help\n")
    if unknown:
        parser.exit(
            2,
            f"da3_node: unknown argument {unknown[0]}; the node takes ROS arguments only, for "
            "example: da3_node --ros-args -p window.size:=4\n",
        )


def _in_one_line(error: Exception) -> str:
    """Without the lines of rcl's own sources, and with words where it gives a list only."""
    text = re.sub(r", at \S+:\d+", "", str(error))
    return re.sub(r"^\[(.*)\]$", r"ROS does not understand the argument \1", text)


if __name__ == "__main__":
    main()
