"""Robotics without ROS: frames, windows, metres, scenes. numpy; torch where it calls net."""
