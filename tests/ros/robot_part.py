"""One part of a robot in a process of its own, which can die alone: a program for the tests.

camera     pictures and camera infos, 10 Hz
poses      where the camera is mounted, and odometry on /tf, 50 Hz
listener   subscribes to the depth and prints each stamp
"""

import sys
import time

import rclpy
from graph import mount_message, picture_messages, pose_message
from rclpy.node import Node
from rclpy.qos import DurabilityPolicy, QoSProfile
from sensor_msgs.msg import CameraInfo, Image
from tf2_msgs.msg import TFMessage

from da3_ros.ros.messages import stamp_to_ns


def camera(node: Node) -> None:
    images = node.create_publisher(Image, "image", 10)
    infos = node.create_publisher(CameraInfo, "camera_info", 10)

    def send():
        image, info = picture_messages(time.time_ns())
        infos.publish(info)
        images.publish(image)

    node.create_timer(0.1, send)


def poses(node: Node) -> None:
    latched = QoSProfile(depth=1, durability=DurabilityPolicy.TRANSIENT_LOCAL)
    static = node.create_publisher(TFMessage, "/tf_static", latched)
    static.publish(mount_message(time.time_ns(), "base_link", "camera_optical_frame"))
    moving = node.create_publisher(TFMessage, "/tf", 100)

    def send():
        now = time.time_ns()
        moving.publish(pose_message(now, x=now % 10**12 * 1e-9))

    node.create_timer(0.02, send)


def listener(node: Node) -> None:
    def heard(msg):
        print(f"depth {stamp_to_ns(msg.header.stamp)}")

    node.create_subscription(Image, "/da3/depth/image", heard, 10)


if __name__ == "__main__":
    rclpy.init()
    part = rclpy.create_node(sys.argv[1])
    {"camera": camera, "poses": poses, "listener": listener}[sys.argv[1]](part)
    rclpy.spin(part)
