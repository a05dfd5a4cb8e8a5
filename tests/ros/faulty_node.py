"""The node with callbacks that raise, of every kind: a program for the tests."""

from rclpy.clock import Clock, ClockType
from rclpy.qos import QoSProfile
from std_msgs.msg import String
from std_srvs.srv import Trigger

from da3_ros.ros.node import DepthNode
from da3_ros.ros.run_node import run_node


class FaultyNode(DepthNode):
    """Its timer, its topic `~/topic` and its service `~/service` are mistakes."""

    def __init__(self, stopper):
        super().__init__(stopper)
        self.create_timer(0.1, self._on_timer, clock=Clock(clock_type=ClockType.STEADY_TIME))
        self.create_subscription(String, "~/topic", self._on_topic, QoSProfile(depth=10))
        self.create_service(Trigger, "~/service", self._on_service)

    def _on_timer(self):
        raise KeyError("timer")

    def _on_topic(self, msg):
        raise AttributeError(msg.data)

    def _on_service(self, request, response):
        return 1 / 0


if __name__ == "__main__":
    run_node(FaultyNode)
