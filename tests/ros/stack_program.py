"""In the place of a mapping stack: says its name, its parameters and the topics asked for."""

import contextlib
import sys

import rclpy
from rclpy.executors import ExternalShutdownException
from rclpy.utilities import remove_ros_args
from std_msgs.msg import Empty

topics = remove_ros_args(sys.argv)[1:]
rclpy.init()
node = rclpy.create_node("stack", automatically_declare_parameters_from_overrides=True)
print("name", node.get_fully_qualified_name())
for name, parameter in sorted(node.get_parameters_by_prefix("").items()):
    print("parameter", name, parameter.value)
for topic in (*topics, "/tf", "/tf_static"):
    print("topic", topic, node.create_subscription(Empty, topic, print, 1).topic_name)
print("ready")
with contextlib.suppress(KeyboardInterrupt, ExternalShutdownException):
    rclpy.spin(node)
