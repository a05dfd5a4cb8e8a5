"""rosbag2 in and out, without a graph."""
