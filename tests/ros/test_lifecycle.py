"""The lifecycle through its services, sources of poses, clocks, signals."""

import signal
import time
from pathlib import Path as FilePath

import numpy as np
import pytest
import trimesh
from da3_ros.msg import CameraPoses, Status
from da3_ros.srv import Export
from geometry_msgs.msg import PoseStamped
from graph import START, a_robot, start_node
from lifecycle_msgs.msg import Transition
from nav_msgs.msg import Odometry, Path
from rcl_interfaces.srv import SetParametersAtomically
from rclpy.parameter import Parameter
from rclpy.qos import ReliabilityPolicy
from rosgraph_msgs.msg import Clock
from sensor_msgs.msg import CompressedImage, Image
from std_srvs.srv import Trigger
from tf2_msgs.msg import TFMessage

from da3_ros.ros import messages
from da3_ros.ros.messages import stamp_to_ns

FOLDER = FilePath(__file__).parent


robot = pytest.fixture(a_robot)


@pytest.fixture
def start(tmp_path):
    processes = []

    def start(*ros_args, **parameters):
        processes.append(start_node(tmp_path, *ros_args, **parameters))
        return processes[-1]

    yield start
    for process in processes:
        process.kill()


def set_parameter(robot, name, value):
    request = SetParametersAtomically.Request(
        parameters=[Parameter(name, value=value).to_parameter_msg()]
    )
    return robot.call(SetParametersAtomically, "/da3/set_parameters_atomically", request).result


def stamps(messages):
    return [stamp_to_ns(m.header.stamp) for m in messages]


def feed_until_published(robot, messages, send=None):
    for _ in range(4):
        stamp = (send or robot.send)()
        time.sleep(0.05)
    robot.wait_until(lambda: stamp in stamps(messages), what="the last frame")


def newest_status(robot, messages):
    seen = len(messages)
    robot.wait_until(lambda: len(messages) > seen + 1, what="status")
    return messages[-1]


def dropped(status):
    return {r: n for r, n in zip(status.dropped_reasons, status.dropped_counts) if n}


def test_a_manager_takes_the_node_through_its_life(robot, start):
    node = start(autostart=False)
    statuses = robot.listen(Status, "/da3/status")
    assert robot.state() == "unconfigured"
    assert not robot.change_state(Transition.TRANSITION_ACTIVATE)
    assert set_parameter(robot, "window.size", 3).successful
    assert set_parameter(robot, "window.publish", "newest").successful
    assert robot.change_state(Transition.TRANSITION_CONFIGURE) and robot.state() == "inactive"
    refusal = set_parameter(robot, "window.size", 2)
    assert not refusal.successful and "cannot change while the node is configured" in refusal.reason
    depths = robot.listen(Image, "/da3/depth/image")
    for _ in range(2):
        assert robot.change_state(Transition.TRANSITION_ACTIVATE) and robot.state() == "active"
        robot.wait_for_node()
        feed_until_published(robot, depths)
        assert set_parameter(robot, "output.max_depth", 30.0).successful
        assert robot.change_state(Transition.TRANSITION_DEACTIVATE) and robot.state() == "inactive"
        status = newest_status(robot, statuses)
        assert status.frames_received == 4 and status.frames_pending == 0
        assert dropped(status) == {"neighbour_only": 1, "stopped": 4 - 1 - status.frames_published}
    assert robot.change_state(Transition.TRANSITION_CLEANUP) and robot.state() == "unconfigured"
    robot.wait_until(lambda: not robot.node.count_publishers("/da3/depth/image"), what="no topics")
    assert robot.change_state(Transition.TRANSITION_UNCONFIGURED_SHUTDOWN)
    assert robot.state() == "finalized"
    assert node.stop(signal.SIGINT)[0] == 0
    assert not node.matching("Traceback")


def test_sigterm_while_the_model_is_loading(robot, start):
    node = start(model__name="da3-giant")
    robot.wait_until(lambda: "da3" in robot.node.get_node_names(), START, "the node")
    time.sleep(0.5)
    code, seconds = node.stop()
    assert code == 0 and seconds < 10
    assert not node.matching("Traceback|active")


def test_a_model_that_cannot_be_had_leaves_the_node_unconfigured(robot, start):
    start(autostart=False, model__name="da3-tiny")
    assert not robot.change_state(Transition.TRANSITION_CONFIGURE)
    assert robot.state() == "unconfigured"
    assert set_parameter(robot, "model.name", "da3-demo").successful
    assert robot.change_state(Transition.TRANSITION_CONFIGURE)


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

    feed_until_published(robot, poses, send)
    assert poses[-1].pose.position.y == pytest.approx(0.1 * robot.count)
    assert poses[-1].header.frame_id == "odom"


def test_no_poses_and_compressed_images(robot, start):
    import cv2

    node = start(pose__source="none", input__compressed=True)
    depths = robot.listen(Image, "/da3/depth/image")
    windows = robot.listen(CameraPoses, "/da3/camera_poses")
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

    feed_until_published(robot, depths, send)
    robot.wait_until(lambda: windows, what="camera poses")
    assert windows[-1].poses == [] and len(windows[-1].network_poses) == 2


def test_nobody_listens(robot, start):
    node = start()
    statuses = robot.listen(Status, "/da3/status")
    node.wait_for("active")
    robot.wait_for_node()
    for _ in range(5):
        robot.send()
        time.sleep(0.05)
    status = newest_status(robot, statuses)
    assert status.windows_processed == 0 and status.frames_published == 0
    assert dropped(status) == {"neighbour_only": 1, "no_listeners": 2}


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

    feed_until_published(robot, depths, send)
    start_line = len(node.lines)
    robot.count -= 3  # less than what images alone would tell
    clock.publish(Clock(clock=messages.ns_to_stamp(robot.next_stamp())))
    node.wait_for("time jumped back by 0.2 s: starting over", 10, start_line)
    before = len(depths)
    feed_until_published(robot, depths, send)
    assert len(depths) > before
    assert len(node.matching(r"\[WARN\]", start_line)) == 1


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
    feed_until_published(robot, topics["left"], send)
    node.wait_for("camera right sends no usable images", 10)
    node.wait_for("camera right: no pose: frame 'right_optical' does not exist in TF", 10)
    assert not topics["right"]
    robot.send_mount("base_link", "right_optical")
    before = len(topics["left"])
    feed_until_published(robot, topics["right"], send)
    assert {m.header.frame_id for m in topics["right"]} == {"right_optical"}
    assert len(topics["left"]) > before
    assert stamps(topics["right"])[-1] == stamps(topics["left"])[-1]


def test_qos_of_a_topic_is_the_users(robot, start):
    name = "qos_overrides./da3/depth/image.publisher.reliability"
    node = start(**{name.replace(".", "__"): "best_effort"})
    node.wait_for("active")
    robot.wait_until(lambda: robot.node.count_publishers("/da3/depth/image"), what="the topic")
    (depth,) = robot.node.get_publishers_info_by_topic("/da3/depth/image")
    (points,) = robot.node.get_publishers_info_by_topic("/da3/points")
    assert depth.qos_profile.reliability == ReliabilityPolicy.BEST_EFFORT
    assert points.qos_profile.reliability == ReliabilityPolicy.RELIABLE
    assert not node.matching("misspelt")


def test_no_shared_memory_stays_behind(start):
    """Segments of Fast DDS are 64 MB each; a robot restarts its nodes more than once."""
    node = start()
    node.wait_for("active: waiting for images")
    segments = node.shared_memory()
    assert segments
    code, _ = node.stop()
    assert code == 0
    assert not [path for path in segments if path.exists()]


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


def test_simulated_time_that_never_comes_is_said_once(robot, start):
    node = start(use_sim_time=True)
    statuses = robot.listen(Status, "/da3/status")
    node.wait_for("use_sim_time is true, but no /clock message has come for 5 s")
    newest_status(robot, statuses)
    assert "no /clock message" in newest_status(robot, statuses).reason
    assert len(node.matching("/clock")) == 1
    clock = robot.node.create_publisher(Clock, "/clock", 1)

    def tick():
        clock.publish(Clock(clock=messages.ns_to_stamp(robot.next_stamp())))
        return "/clock" not in statuses[-1].reason

    robot.wait_until(tick, what="the end of the complaint")


def test_an_export_processes_what_nobody_asked_for(robot, start, tmp_path):
    node = start("--log-level", "da3:=debug", **{"export.directory": str(tmp_path / "exports")})
    statuses = robot.listen(Status, "/da3/status")
    node.wait_for("active")
    robot.wait_for_node()
    answer = robot.call(Export, "/da3/export", Export.Request(formats="mini_npz"))
    assert not answer.success and "nothing to export yet" in answer.message
    for _ in range(4):
        stamp = robot.send()
        time.sleep(0.05)
    node.wait_for("nobody subscribes to any output: images are not processed until somebody does")
    # The middle of a window of two is its newer frame.
    for formats, file in (("mini_npz", "results.npz"), ("glb", "scene.glb")):
        answer = robot.call(Export, "/da3/export", Export.Request(formats=formats, name=formats))
        assert answer.success, answer.message
        assert [p for p in answer.paths if p.endswith(file)]
    glb = trimesh.load(next(p for p in answer.paths if p.endswith(".glb")))
    assert glb.metadata["stamp_ns"] == stamp
    status = newest_status(robot, statuses)
    assert status.windows_processed == 0 and status.frames_published == 0
    assert robot.call(Trigger, "/da3/reset", Trigger.Request()).success
    answer = robot.call(Export, "/da3/export", Export.Request(formats="mini_npz"))
    assert not answer.success and "nothing to export yet" in answer.message
    robot.listen(Image, "/da3/depth/image")
    robot.wait_for_node()
    feed_until_published(robot, robot.received["/da3/depth/image"])
    assert node.matching("somebody subscribes: images are processed")


def test_the_path_begins_anew_where_the_chain_breaks(robot, start):
    depths = robot.listen(Image, "/da3/depth/image")
    paths = robot.listen(Path, "/da3/path")
    node = start(pose__source="none", window__max_age=1.0)
    node.wait_for("active: waiting for images")
    robot.wait_for_node(robot.image, robot.info)
    feed_until_published(robot, depths)
    robot.wait_until(lambda: paths and len(paths[-1].poses) > 1, what="a path")
    time.sleep(2.0)  # older frames leave the window
    robot.count += 20
    first = robot.next_stamp()
    feed_until_published(robot, depths)
    node.wait_for("odometry: the window shares no frame with the one before", 10)
    robot.wait_until(lambda: stamps(paths)[-1] == stamps(depths)[-1], what="the last path")
    assert min(stamps(paths[-1].poses)) > first


def test_what_was_measured_before_is_forgotten_on_activation(robot, start):
    node = start()
    depths = robot.listen(Image, "/da3/depth/image")
    statuses = robot.listen(Status, "/da3/status")
    node.wait_for("active")
    robot.wait_for_node()
    feed_until_published(robot, depths)
    robot.wait_until(
        lambda: statuses and np.isfinite(statuses[-1].latency_median), what="a latency"
    )
    assert np.isfinite(statuses[-1].scale) and statuses[-1].window_rate > 0
    assert robot.change_state(Transition.TRANSITION_DEACTIVATE)
    assert robot.change_state(Transition.TRANSITION_ACTIVATE)
    status = newest_status(robot, statuses)
    assert np.isnan([status.latency_median, status.scale]).all() and status.window_rate == 0


def test_a_network_that_is_still_busy_is_waited_for(robot, start, tmp_path, monkeypatch):
    """Two activations must not run two windows at once."""
    busy = tmp_path / "busy"
    monkeypatch.setenv("BUSY", str(busy))
    node = start(program=str(FOLDER / "busy_node.py"))
    depths = robot.listen(Image, "/da3/depth/image")
    node.wait_for("active: waiting for images")
    robot.wait_for_node()
    busy.touch()
    late = [robot.send() for _ in range(3)]
    time.sleep(0.5)
    assert robot.change_state(Transition.TRANSITION_DEACTIVATE)
    node.wait_for("the network is still busy with its last window, which will not be published")
    assert not robot.change_state(Transition.TRANSITION_ACTIVATE) and robot.state() == "inactive"
    node.wait_for("the network is still busy with a window from before; activate again")
    busy.unlink()
    assert robot.change_state(Transition.TRANSITION_ACTIVATE)
    robot.wait_for_node()
    feed_until_published(robot, depths)
    assert not set(late) & set(stamps(depths))
    busy.touch()
    robot.send()
    time.sleep(0.5)
    code, seconds = node.stop()
    assert code == 0 and seconds < 10
    assert not node.matching("Traceback")
