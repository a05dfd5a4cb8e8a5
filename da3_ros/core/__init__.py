"""Robotics without ROS: frames, windows, metres, maps, files. numpy and torch."""
