"""Thousands of random messages at every input: the node lives, and its counters add up."""

import time

import pytest
from geometry_msgs.msg import Quaternion, TransformStamped, Vector3
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st
from nav_msgs.msg import Odometry
from sensor_msgs.msg import CameraInfo, Image
from std_msgs.msg import Header
from tf2_msgs.msg import TFMessage

from da3_ros.msg import Status
from da3_ros.ros.convert import ns_to_stamp
from da3_ros.ros.images import ENCODINGS
from da3_ros.ros.tf_buffer import stamp_to_ns
from graph import Robot, start_node

MESSAGES = 2000

numbers = st.floats(allow_nan=True, allow_infinity=True)
sizes = st.one_of(st.integers(0, 64), st.integers(0, 2**32 - 1))
frames = st.sampled_from(["", "odom", "/odom", "base_link", "camera_optical_frame", "ghost", "ü/ "])
# Mostly now: a wild stamp makes the node forget everything.
stamps = st.integers(0, 99).flatmap(
    lambda k: (
        st.integers(0, 2**31 - 1).map(lambda sec: ns_to_stamp(sec * 10**9))
        if k == 0
        else st.builds(lambda: ns_to_stamp(time.time_ns()))
    )
)
headers = st.builds(Header, frame_id=frames, stamp=stamps)
images = st.builds(
    Image,
    header=headers,
    width=sizes,
    height=sizes,
    step=sizes,
    is_bigendian=st.integers(0, 255),
    encoding=st.sampled_from([*ENCODINGS, "32FC1", "", "\x00", "nv12"]),
    data=st.binary(max_size=300),
)
infos = st.builds(
    CameraInfo,
    header=headers,
    width=sizes,
    height=sizes,
    distortion_model=st.sampled_from(["", "plumb_bob", "equidistant", "rational_polynomial", "x"]),
    d=st.lists(numbers, max_size=15),
    k=st.lists(numbers, min_size=9, max_size=9),
    p=st.lists(numbers, min_size=12, max_size=12),
    binning_x=sizes,
    binning_y=sizes,
)
vectors = st.builds(Vector3, x=numbers, y=numbers, z=numbers)
rotations = st.one_of(
    st.just(Quaternion()), st.builds(Quaternion, x=numbers, y=numbers, z=numbers, w=numbers)
)


@st.composite
def transforms(draw):
    msg = TransformStamped(header=draw(headers), child_frame_id=draw(frames))
    msg.transform.translation, msg.transform.rotation = draw(vectors), draw(rotations)
    return msg


@st.composite
def odometries(draw):
    msg = Odometry(header=draw(headers), child_frame_id=draw(frames))
    msg.pose.pose.orientation = draw(rotations)
    return msg


tfs = st.builds(TFMessage, transforms=st.lists(transforms(), max_size=3))


@st.composite
def pairs(draw):
    """An image and an info that at least have stamp and size in common."""
    image, info = draw(images), draw(infos)
    width, height = draw(st.integers(1, 40)), draw(st.integers(1, 40))
    stamp = ns_to_stamp(time.time_ns())
    for msg in (image, info):
        msg.header.frame_id, msg.header.stamp = "camera_optical_frame", stamp
        msg.width, msg.height = width, height
    image.encoding, image.step = "mono8", width
    image.data = bytes(width * height)
    fx, fy, cx, cy = draw(st.lists(st.floats(-1, 1e6), min_size=4, max_size=4))
    info.k = [fx, 0.0, cx, 0.0, fy, cy, 0.0, 0.0, 1.0]
    model, count = draw(st.sampled_from([("", 0), ("plumb_bob", 5), ("equidistant", 4)]))
    info.distortion_model = model
    info.d = draw(st.lists(st.floats(-1e3, 1e3), min_size=count, max_size=count))
    info.binning_x = info.binning_y = 0
    return image, info


@pytest.fixture
def robot():
    robot = Robot()
    yield robot
    robot.close()


@pytest.fixture(params=["none", "odometry"])
def node(request, robot, tmp_path):
    """Without poses, every image with an info goes all the way."""
    robot.listen(Image, "/da3/depth/image")
    robot.listen(Status, "/da3/status")
    robot.odometry = robot.node.create_publisher(Odometry, "odometry", 100)
    process = start_node(tmp_path, pose__source=request.param, pose__timeout=0.05)
    if request.param == "none":
        robot.tf = robot.tf_static = robot.info
    process.wait_for("active")
    robot.wait_for_node()
    yield process
    process.kill()


def send_odometry(robot):
    """Where the robot is now."""
    stamp = time.time_ns()
    msg = Odometry(header=Header(frame_id="odom", stamp=ns_to_stamp(stamp)))
    msg.child_frame_id = "base_link"
    msg.pose.pose.position.x = (stamp % 10**12) * 1e-9
    robot.odometry.publish(msg)


def send_good(robot):
    send_odometry(robot)
    stamp = time.time_ns()
    image, info = robot.messages(stamp)
    robot.info.publish(info)
    robot.send_image(image)
    send_odometry(robot)
    return stamp


def test_any_message_may_come(robot, node):
    @settings(
        max_examples=MESSAGES // 5,
        phases=[Phase.generate],
        suppress_health_check=list(HealthCheck),
        derandomize=True,
    )
    @given(pair=pairs(), image=images, info=infos, tf=tfs, odometry=odometries())
    def send(pair, image, info, tf, odometry):
        send_odometry(robot)
        robot.send_image(pair[0])
        robot.info.publish(pair[1])
        send_odometry(robot)
        robot.send_image(image)
        robot.info.publish(info)
        # Static ones are not fuzzed: a wrong mount stays, as it would in any TF buffer.
        if robot.tf is not robot.info:
            robot.tf.publish(tf)
        robot.odometry.publish(odometry)
        time.sleep(0.004)

    send()
    assert not node.matching("Traceback"), node.lines[-30:]
    depths = robot.received["/da3/depth/image"]
    # A wild stamp may still be the newest: the node starts over with the first good one.
    deadline = time.monotonic() + 60
    published = False
    while not published and time.monotonic() < deadline:
        stamp = send_good(robot)
        time.sleep(0.1)
        published = stamp in [stamp_to_ns(m.header.stamp) for m in depths]
    assert published, node.lines[-30:]
    statuses = robot.received["/da3/status"]
    seen = len(statuses)
    robot.wait_until(lambda: len(statuses) > seen + 1, what="status")
    status = statuses[-1]
    dropped = sum(status.dropped_counts)
    assert status.frames_received == status.frames_published + dropped + status.frames_pending
    assert status.frames_received > MESSAGES // 5
    assert node.stop()[0] == 0
