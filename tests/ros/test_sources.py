"""Where pictures, poses and time come from: each kind on a real graph."""

import time

import cv2
import numpy as np
import pytest
from da3_ros.msg import CameraPoses, Status
from geometry_msgs.msg import PoseStamped
from graph import a_robot, node_starter, stamps
from nav_msgs.msg import Odometry, Path
from rosgraph_msgs.msg import Clock
from sensor_msgs.msg import CompressedImage, Image
from tf2_msgs.msg import TFMessage

from da3_ros.ros import messages

robot = pytest.fixture(a_robot)
start = pytest.fixture(node_starter)


def test_poses_from_odometry(robot, start):
    node = start(pose__source="odometry")
    poses = robot.listen(PoseStamped, "/da3/camera_pose")
    odometry = robot.node.create_publisher(Odometry, "odometry", 10)
    node.wait_for("active")
    robot.wait_for_node()

    def send():
        """The image's stamp lies half way between two odometry messages."""
        stamp = robot.next_stamp()
        for offset in (-20_000_000, 20_000_000):
            msg = Odometry(
                header=messages.header("odom", stamp + offset), child_frame_id="base_link"
            )
            msg.pose.pose.position.y = 0.1 * robot.count + offset * 1e-8
            odometry.publish(msg)
        image, info = robot.messages(stamp)
        robot.info.publish(info)
        robot.send_image(image)
        return stamp

    robot.send_until_published(send, topic="/da3/camera_pose")
    assert poses[-1].pose.position.y == pytest.approx(0.1 * robot.count)
    assert poses[-1].header.frame_id == "odom"


def test_no_poses_and_compressed_images(robot, start):
    node = start(pose__source="none", input__compressed=True)
    robot.listen(Image, "/da3/depth/image")
    windows = robot.listen(CameraPoses, "/da3/camera_poses")
    robot.listen(Status, "/da3/status")
    compressed = robot.node.create_publisher(CompressedImage, "image/compressed", 10)
    node.wait_for("active")
    robot.image = compressed
    robot.tf = robot.tf_static = robot.info
    robot.wait_for_node()

    def send():
        stamp = robot.next_stamp()
        image, info = robot.messages(stamp)
        pixels = np.frombuffer(image.data, np.uint8).reshape(image.height, image.width, 3)
        msg = CompressedImage(header=image.header, format="rgb8; jpeg compressed bgr8")
        msg.data = cv2.imencode(".jpg", pixels)[1].tobytes()
        robot.info.publish(info)
        robot.send_image(msg)
        return stamp

    robot.send_until_published(send)
    robot.wait_until(lambda: windows, what="camera poses")
    assert windows[-1].poses == [] and len(windows[-1].network_poses) == 2
    status = robot.fresh_status()
    assert status.scale_source == windows[-1].scale_source == "none"
    # It is said when the node is configured, and is no trouble.
    node.wait_for("depth is in an unknown unit, not in metres: without given poses")
    assert "unknown unit" not in status.reason


def test_without_poses_the_network_says_where_the_camera_is(robot, start):
    odometry = robot.listen(Odometry, "/da3/odometry")
    transforms = robot.listen(TFMessage, "/tf")
    node = start(pose__source="none", pose__publish_tf=True, pose__world_frame="start")
    node.wait_for("active: waiting for images")
    robot.wait_until(
        lambda: robot.image.get_subscription_count() and robot.info.get_subscription_count(),
        what="the node's inputs",
    )
    robot.wait_until(lambda: robot.node.count_publishers("/da3/odometry"), what="odometry")

    def feed():
        robot.send()
        time.sleep(0.1)
        return odometry

    robot.wait_until(feed, what="odometry")
    message = odometry[-1]
    assert message.header.frame_id == "start"
    assert message.child_frame_id == "camera_optical_frame"
    q = message.pose.pose.orientation
    assert np.linalg.norm([q.x, q.y, q.z, q.w]) == pytest.approx(1)

    def has_transform():
        return any(t.header.frame_id == "start" for m in transforms for t in m.transforms)

    robot.wait_until(has_transform, what="the transform")


def test_the_path_begins_anew_where_the_chain_breaks(robot, start):
    depths = robot.listen(Image, "/da3/depth/image")
    paths = robot.listen(Path, "/da3/path")
    node = start(pose__source="none", window__max_age=1.0)
    node.wait_for("active: waiting for images")
    robot.wait_for_node(robot.image, robot.info)
    robot.send_until_published()
    robot.wait_until(lambda: paths and len(paths[-1].poses) > 1, what="a path")
    time.sleep(2.0)  # older frames leave the window
    robot.count += 20
    first = robot.next_stamp()
    robot.send_until_published()
    node.wait_for("odometry: the window shares no frame with the one before", 10)
    robot.wait_until(lambda: stamps(paths)[-1] == stamps(depths)[-1], what="the last path")
    assert min(stamps(paths[-1].poses)) > first


def test_two_cameras(robot, start):
    """Each with its topics; one has no pose at first, the other goes on without it."""
    node = start(input__cameras=["left", "right"])
    topics = {name: robot.listen(Image, f"/da3/{name}/depth/image") for name in ("left", "right")}
    publishers = {
        name: [robot.node.create_publisher(type(m), f"{name}/{topic}", 10) for topic, m in pair]
        for name in topics
        for pair in [zip(("image", "camera_info"), robot.messages(1_000_000_000))]
    }
    node.wait_for("active")
    robot.image, robot.info = publishers["left"]
    robot.wait_for_node()
    robot.send_mount("base_link", "left_optical")

    def send():
        stamp = robot.next_stamp()
        robot.send_tf(stamp)
        for name, (image_publisher, info_publisher) in publishers.items():
            image, info = robot.messages(stamp)
            image.header.frame_id = info.header.frame_id = f"{name}_optical"
            info_publisher.publish(info)
            image_publisher.publish(image)
        return stamp

    for _ in range(12):  # longer than a silent camera is waited for
        send()
        time.sleep(0.02)
    robot.send_until_published(send, topic="/da3/left/depth/image")
    node.wait_for("camera right sends no usable images", 10)
    node.wait_for("camera right: no pose: frame 'right_optical' does not exist in TF", 10)
    assert not topics["right"]
    robot.send_mount("base_link", "right_optical")
    before = len(topics["left"])
    robot.send_until_published(send, topic="/da3/right/depth/image")
    assert {m.header.frame_id for m in topics["right"]} == {"right_optical"}
    assert len(topics["left"]) > before
    assert stamps(topics["right"])[-1] == stamps(topics["left"])[-1]


def test_simulated_time_jumping_back(robot, start):
    node = start(use_sim_time=True)
    depths = robot.listen(Image, "/da3/depth/image")
    clock = robot.node.create_publisher(Clock, "/clock", 1)
    node.wait_for("active")
    robot.wait_for_node()

    def send():
        stamp = robot.next_stamp()
        clock.publish(Clock(clock=messages.ns_to_stamp(stamp)))
        image, info = robot.messages(stamp)
        robot.send_tf(stamp)
        robot.info.publish(info)
        robot.send_image(image)
        return stamp

    robot.send_until_published(send)
    start_line = len(node.lines)
    robot.count -= 3  # less than what images alone would tell
    clock.publish(Clock(clock=messages.ns_to_stamp(robot.next_stamp())))
    node.wait_for("time jumped back by 0.2 s: starting over", 10, start_line)
    before = len(depths)
    robot.send_until_published(send)
    assert len(depths) > before
    assert len(node.matching(r"\[WARN\]", start_line)) == 1


def test_simulated_time_that_never_comes_is_said_once(robot, start):
    node = start(use_sim_time=True)
    statuses = robot.listen(Status, "/da3/status")
    node.wait_for("use_sim_time is true, but no /clock message has come for 5 s")
    robot.fresh_status()
    assert "no /clock message" in robot.fresh_status().reason
    assert len(node.matching("/clock")) == 1
    clock = robot.node.create_publisher(Clock, "/clock", 1)

    def tick():
        clock.publish(Clock(clock=messages.ns_to_stamp(robot.next_stamp())))
        return "/clock" not in statuses[-1].reason

    robot.wait_until(tick, what="the end of the complaint")
