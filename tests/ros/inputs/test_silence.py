"""What the status says of topics of which nothing comes, from a real graph: name, type, QoS."""

import time

import pytest
from geometry_msgs.msg import PoseWithCovarianceStamped
from graph import a_node
from nav_msgs.msg import Odometry
from rclpy.qos import DurabilityPolicy, QoSProfile, ReliabilityPolicy
from sensor_msgs.msg import CameraInfo, CompressedImage, Image, PointCloud2
from tf2_msgs.msg import TFMessage

from da3_ros.core.config import from_dict
from da3_ros.core.frame_counts import FrameCounts
from da3_ros.core.live_config import LiveConfig
from da3_ros.ros.entities import Entities
from da3_ros.ros.health.throttled_log import ThrottledLog
from da3_ros.ros.inputs.anchor_input import AnchorInput
from da3_ros.ros.inputs.cameras import CameraInputs
from da3_ros.ros.inputs.pose_source import PoseSource
from da3_ros.ros.inputs.silence import SILENCE
from da3_ros.ros.inputs.subscriptions import Inputs

BEST_EFFORT = QoSProfile(depth=10, reliability=ReliabilityPolicy.BEST_EFFORT)
LATCHED = QoSProfile(depth=10, durability=DurabilityPolicy.TRANSIENT_LOCAL)
OTHER_KIND = "test publishes sensor_msgs/msg/CompressedImage, the node takes sensor_msgs/msg/Image"

node = pytest.fixture(a_node)
other = pytest.fixture(a_node)


@pytest.fixture
def listen(node):
    """Inputs that have heard images until now, and nothing else for long."""
    made = []

    def listen(*, images=True, **parameters):
        values = {name.replace("__", "."): value for name, value in parameters.items()}
        live = LiveConfig(from_dict({"input.reliability": "reliable", **values}))
        log = ThrottledLog(node.get_logger())
        poses = PoseSource(live.config.pose)
        cameras = CameraInputs(
            live, FrameCounts(), log, poses, print, print, lambda: time.time_ns()
        )
        anchors = AnchorInput(live, log, poses, print, time.time_ns)
        entities = Entities(node)
        made.append(entities)
        inputs = Inputs(entities, live, log, cameras, anchors)
        for watch in inputs.watches.values():
            watch.heard_at -= 2 * SILENCE
        if images:
            for name in filter(lambda name: "image" in name, inputs.watches):
                inputs.watches[name].heard_at = time.monotonic()
        return inputs

    yield listen
    for entities in made:
        entities.close()


def said(inputs, words, count=1):
    """Until the graph knows the publishers."""
    deadline = time.monotonic() + 20
    found = inputs.silent()
    while not any(words in sentence for sentence in found):
        assert time.monotonic() < deadline, found
        time.sleep(0.02)
        found = inputs.silent()
    assert len(found) == count, found
    return next(sentence for sentence in found if words in sentence)


@pytest.mark.parametrize(
    ("kind", "qos", "words"),
    [
        (CompressedImage, 10, f"no image on /image for 5 s: {OTHER_KIND}; set input.compressed: t"),
        (Odometry, 10, "publishes nav_msgs/msg/Odometry, the node takes sensor_msgs/msg/Image; re"),
        (Image, BEST_EFFORT, "best effort, the node asks for reliable: set input.reliability: be"),
        (Image, 10, "it has a publisher, which sends nothing, or large images"),
    ],
)
def test_images_of_another_kind_or_qos(other, listen, kind, qos, words):
    other.create_publisher(kind, "image", qos)
    said(listen(images=False), words)


def test_nobody_publishes_images(listen):
    said(listen(images=False), "no image on /image for 5 s: nobody publishes it")


@pytest.mark.parametrize(
    ("kind", "qos", "words"),
    [
        (None, 10, "no odometry on /odometry for 5 s: nobody publishes it"),
        (Odometry, BEST_EFFORT, "set qos_overrides./odometry.subscription.reliability: best_eff"),
        (PoseWithCovarianceStamped, 10, "publishes geometry_msgs/msg/PoseWithCovarianceStamped"),
    ],
)
def test_odometry(other, listen, kind, qos, words):
    other.create_publisher(CameraInfo, "camera_info", 10)
    inputs = listen(pose__source="odometry")
    inputs.watches["camera_info"].heard_at = time.monotonic()
    if kind:
        other.create_publisher(kind, "odometry", qos)
    said(inputs, words)
    inputs.watches["odometry"].heard_at = time.monotonic()
    assert not inputs.silent()


def test_camera_infos_of_another_kind(other, listen):
    other.create_publisher(CompressedImage, "camera_info", 10)
    said(listen(), "no camera_info on /camera_info for 5 s: test publishes sensor_msgs/msg/Compr")


def test_transforms_that_do_not_arrive_are_said_while_images_have_no_poses(other, listen):
    inputs = listen()
    inputs.watches["camera_info"].heard_at = time.monotonic()
    other.create_publisher(TFMessage, "/tf", BEST_EFFORT)
    other.create_publisher(TFMessage, "/tf", 10)
    other.create_publisher(TFMessage, "/tf_static", 10)
    other.create_publisher(TFMessage, "/tf_static", LATCHED)
    assert not inputs.silent()
    inputs.cameras.poses.note_missed("unknown")
    said(inputs, "transforms on /tf_static are lost: test publishes it without transient_local", 2)
    said(inputs, "transforms on /tf are lost: test publishes it best effort", 2)


def test_anchors(other, listen):
    inputs = listen(scale__source="anchors")
    inputs.watches["camera_info"].heard_at = time.monotonic()
    said(inputs, "scale.source is anchors, and nothing has come on /anchor/points or /anchor/depth")
    other.create_publisher(PointCloud2, "anchor/points", BEST_EFFORT)
    said(inputs, "nothing comes on /anchor/points: test publishes it best effort")


def test_the_calibration_of_depth_is_no_points(listen):
    inputs = listen(scale__source="anchors")
    for topic in ("camera_info", "anchor/camera_info"):
        inputs.watches[topic].heard_at = time.monotonic()
    said(inputs, "nothing has come on /anchor/points or /anchor/depth for 5 s")
    inputs.watches["anchor/depth"].heard_at = time.monotonic()
    assert not inputs.silent()


def test_an_override_is_for_its_topic_only(node, listen):
    node.declare_parameter("qos_overrides./tf.subscription.reliability", "best_effort")
    node.declare_parameter("qos_overrides./image.subscription.depth", 3)
    listen(pose__source="odometry", input__queue_size=7)
    found = {s.topic_name: s.qos_profile for s in node.subscriptions}
    assert found["/tf"].reliability == ReliabilityPolicy.BEST_EFFORT
    assert found["/odometry"].reliability == ReliabilityPolicy.RELIABLE
    assert (found["/image"].depth, found["/camera_info"].depth) == (3, 7)


def test_each_camera_of_a_rig_and_compressed_images(other, listen):
    other.create_publisher(Image, "left/image/compressed", 10)
    inputs = listen(input__cameras=["left", "right"], input__compressed=True)
    inputs.watches["left/image/compressed"].heard_at -= 2 * SILENCE
    said(inputs, "no image on /left/image/compressed for 5 s: test publishes sensor_msgs/msg/Im", 2)
    said(inputs, "no camera_info on /right/camera_info for 5 s: nobody publishes it", 2)
