"""The part of ROS 2's sensor_msgs_py that da3_ros uses, for environments of pip: it has none."""
