"""`da3_doctor` of a running graph."""

import threading
import time

import cv2
import numpy as np
import pytest
import rclpy
from graph import CAMERA, a_robot
from rclpy.context import Context
from rclpy.qos import QoSProfile
from sensor_msgs.msg import CameraInfo, CompressedImage, Image
from tf2_msgs.msg import TFMessage

from da3_ros.commands.doctor import examine, parse_arguments
from da3_ros.core.config import from_dict
from da3_ros.ros.doctor.findings import Verdict

robot = pytest.fixture(a_robot)


def look_at_graph():
    """What the doctor finds in 3 s, by the name of the check; all of it is `all`."""
    options = parse_arguments(["--seconds", "3"])
    findings = examine(options, from_dict({}), None)
    return {f.check: f for f in findings} | {"all": findings}


def look_while(send):
    """What the doctor finds while `send(stamp_ns)` is called ten times a second."""
    stop = threading.Event()

    def go_on():
        while not stop.wait(0.1):
            send(time.time_ns())

    driver = threading.Thread(target=go_on)
    driver.start()
    try:
        return look_at_graph()
    finally:
        stop.set()
        driver.join(timeout=60)


def frame(robot):
    """Sends a good frame of that stamp."""

    def send(stamp_ns):
        image, info = robot.messages(stamp_ns)
        robot.send_tf(stamp_ns)
        robot.info.publish(info)
        robot.image.publish(image)

    return send


def test_a_running_graph(robot):
    findings = look_while(frame(robot))
    for check in ("images", "stamps", "camera info", "info stamps", "clock", "tf", "qos"):
        assert findings[check].verdict is Verdict.OK, findings[check]


def test_a_graph_whose_static_transforms_are_not_latched(robot):
    context = Context()
    rclpy.init(context=context)
    other = rclpy.create_node("careless", context=context)
    publisher = other.create_publisher(TFMessage, "/tf_static", QoSProfile(depth=1))
    finding = look_while(frame(robot))["qos"]
    other.destroy_publisher(publisher)
    other.destroy_node()
    rclpy.shutdown(context=context)
    assert finding.verdict is Verdict.ERROR
    assert "careless publishes /tf_static without transient_local" in finding.seen


def test_names_of_transforms_that_somebody_takes_for_pictures(robot):
    """Nor does a picture on /rosout, which the doctor's own node has, end anything."""
    context = Context()
    rclpy.init(context=context)
    other = rclpy.create_node("mixed_up", context=context, enable_rosout=False)
    for topic in ("/tf", "/tf_static", "/rosout", "/image"):
        other.create_publisher(CameraInfo if topic == "/image" else Image, topic, 1)
    findings = look_while(frame(robot))
    other.destroy_node()
    rclpy.shutdown(context=context)
    for check in ("images", "tf", "qos"):
        assert findings[check].verdict is Verdict.OK, findings[check]
    assert findings["topic types"].verdict is Verdict.WARN
    said = [f.seen for f in findings["all"] if f.check == "topic types"]
    assert "/tf is published or taken as sensor_msgs/msg/Image by somebody" in said
    assert [s for s in said if s.startswith("/rosout cannot be listened to as sensor_msgs")]


def test_a_graph_with_large_images_that_are_lost_and_two_who_move_one_frame(robot):
    context = Context()
    rclpy.init(context=context)
    other = rclpy.create_node("second_odometry", context=context)
    publisher = other.create_publisher(TFMessage, "/tf", 10)
    sent = iter(range(10**6))

    def send(stamp_ns):
        camera = CAMERA.scaled(width=560, height=420)  # 706 kB
        image, info = robot.messages(stamp_ns, camera)
        moved = robot.send_tf(stamp_ns)
        moved.header.frame_id = "vo"
        publisher.publish(TFMessage(transforms=[moved]))
        robot.info.publish(info)
        if next(sent) % 10 == 0:
            robot.image.publish(image)

    findings = look_while(send)
    other.destroy_node()
    rclpy.shutdown(context=context)
    assert findings["images"].verdict is Verdict.ERROR
    assert "loses best-effort messages over 512 kB" in findings["images"].seen
    assert "fastdds_large_messages.xml" in findings["images"].fix
    parents = findings["tf parents"]
    assert parents.verdict is Verdict.ERROR and "more than one parent" in parents.seen
    assert "robot" in parents.seen and "second_odometry" in parents.seen


def test_a_graph_with_compressed_images_only(robot):
    compressed = robot.node.create_publisher(CompressedImage, "front/image/compressed", 10)

    def send(stamp_ns):
        image, info = robot.messages(stamp_ns, CAMERA)
        pixels = np.reshape(image.data, (image.height, image.width, 3))
        data = cv2.imencode(".jpg", pixels)[1].tobytes()
        robot.send_tf(stamp_ns)
        robot.info.publish(info)
        compressed.publish(CompressedImage(header=image.header, format="jpeg", data=data))

    finding = look_while(send)["images"]
    assert finding.verdict is Verdict.ERROR and "only these compressed ones come" in finding.seen
    assert finding.fix == "set input.compressed: true"


def test_a_graph_of_which_nothing_arrives(robot):
    finding = look_at_graph()["topics"]
    assert "a publisher of /image, of which nothing arrives" in finding.seen
    assert "512 kB" in finding.seen


def test_an_empty_graph():
    finding = look_at_graph()["topics"]
    assert finding.verdict is Verdict.ERROR and "the graph has no color images" in finding.seen
