"""Message types by name: those that are installed, and nothing else."""

from da3_ros.msg import Status
from sensor_msgs.msg import Image
from std_msgs.msg import Float32MultiArray
from tf2_msgs.msg import TFMessage

from da3_ros.ros.topics.message_types import message_class, type_name


def test_message_classes():
    assert message_class("sensor_msgs/msg/Image") is Image
    assert message_class("acme_msgs/msg/Rocket") is None
    assert message_class("sensor_msgs/msg/Rocket") is None
    assert message_class("std_msgs/msg/Float32MultiArray") is Float32MultiArray
    assert message_class("da3_ros/msg/Status") is Status
    assert type_name(TFMessage) == "tf2_msgs/msg/TFMessage"
