"""The ROS 2 edge: the only folder that imports rclpy or a message package."""

from da3_ros.ros.ros_libraries import check_ros_libraries

check_ros_libraries()
