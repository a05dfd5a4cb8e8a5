"""The node over a real graph, in its own process, on good days and bad ones."""

import math
import time

import numpy as np
import pytest
from da3_ros.msg import CameraPoses, Status
from diagnostic_msgs.msg import DiagnosticArray
from geometry_msgs.msg import PoseStamped
from graph import CAMERA, a_robot, stamps, start_node
from nav_msgs.msg import Path
from sensor_msgs.msg import CameraInfo, CompressedImage, Image, PointCloud2
from std_srvs.srv import Trigger

from da3_ros.core.camera_model import CameraModel
from da3_ros.ros.compressed import compressed_depth_metres
from da3_ros.ros.depth_images import depth_metres
from da3_ros.ros.images import compressed_to_rgb, to_rgb
from da3_ros.ros.messages import stamp_to_ns

BRIGHTNESS = (0.299, 0.587, 0.114)
robot = pytest.fixture(a_robot, scope="module")


@pytest.fixture(scope="module")
def node(robot, tmp_path_factory):
    """One node for all tests of this file: it has to survive every fault anyway."""
    robot.listen(Image, "/da3/depth/image")
    robot.listen(CameraInfo, "/da3/depth/camera_info")
    robot.listen(Status, "/da3/status")
    process = start_node(tmp_path_factory.mktemp("node"))
    process.wait_for("active: waiting for images")
    robot.wait_for_node()
    yield process
    process.kill()


def depth_stamps(robot):
    return stamps(robot.received["/da3/depth/image"])


def warnings_since(node, start):
    """Not that stamps fall behind the clock, as they do on a busy machine."""
    lines = node.matching(r"\[WARN\]", start)
    return [line for line in lines if "behind the node's clock" not in line]


def test_depth_and_camera_info_belong_together(robot, node):
    stamp = robot.send_until_published()
    depth = robot.received["/da3/depth/image"][-1]
    infos = robot.received["/da3/depth/camera_info"]
    robot.wait_until(lambda: infos and stamp_to_ns(infos[-1].header.stamp) == stamp, what="info")
    info = infos[-1]
    assert depth.header == info.header and depth.header.frame_id == "camera_optical_frame"
    assert (depth.encoding, depth.width, depth.height) == ("32FC1", CAMERA.width, CAMERA.height)
    assert (info.width, info.height) == (CAMERA.width, CAMERA.height)
    np.testing.assert_allclose(np.reshape(info.k, (3, 3)), CAMERA.K)


def no_bytes(image, info):
    image.height, image.width, image.step, image.data = 0, 0, 0, b""


def wrong_encoding(image, info):
    image.encoding = "purple9"


def short_data(image, info):
    image.data = image.data[:100]


def uncalibrated(image, info):
    info.k = np.zeros(9)


def other_size(image, info):
    info.width, info.height = 640, 480


def no_such_frame(image, info):
    image.header.frame_id = "ghost_frame"


def no_frame(image, info):
    image.header.frame_id = ""


def no_stamp(image, info):
    image.header.stamp.sec = image.header.stamp.nanosec = 0


@pytest.mark.parametrize(
    "spoil, warning",
    [
        (wrong_encoding, "encoding 'purple9' is not supported"),
        (no_bytes, "image has size 0x0"),
        (short_data, "has 100 bytes, needs 7056"),
        (uncalibrated, "camera_info: K has focal length fx=0, fy=0"),
        (other_size, "camera_info: its size is 640x480, but the image is 56x42"),
        (no_such_frame, "no pose: frame 'ghost_frame' does not exist in TF"),
        (no_frame, "image without a frame_id"),
        (no_stamp, "image without a stamp"),
    ],
)
def test_a_bad_frame_is_named_once_and_the_next_good_one_published(robot, node, spoil, warning):
    robot.send_until_published()
    start = len(node.lines)
    for _ in range(3):
        stamp = robot.next_stamp()
        image, info = robot.messages(stamp)
        spoil(image, info)
        robot.send_tf(stamp)
        robot.info.publish(info)
        robot.send_image(image)
    node.wait_for(warning, 10, start)
    robot.send_until_published()
    assert len(warnings_since(node, start)) == 1, node.lines[start:]


def test_camera_info_missing(robot, node):
    start = len(node.lines)
    for _ in range(3):
        stamp = robot.next_stamp()
        robot.send_tf(stamp)
        robot.send_image(robot.messages(stamp)[0])
    node.wait_for("no camera_info has the stamp of the image", 10, start)
    robot.send_until_published()
    assert len(warnings_since(node, start)) == 1


def test_poses_late_by_200_ms_are_waited_for(robot, node):
    robot.send_until_published()
    start = len(node.lines)
    late = []
    for _ in range(3):
        late.append(robot.next_stamp())
        image, info = robot.messages(late[-1])
        robot.info.publish(info)
        robot.send_image(image)
        time.sleep(0.2)
        robot.send_tf(late[-1])
    robot.wait_until(lambda: set(late) <= set(depth_stamps(robot)), what="late poses")
    assert not warnings_since(node, start)


def test_poses_later_than_the_timeout(robot, node):
    robot.send_until_published()
    start = len(node.lines)
    stamp = robot.next_stamp()
    image, info = robot.messages(stamp)
    robot.info.publish(info)
    robot.send_image(image)
    node.wait_for(r"no pose: transform odom -> \w+ is known only up to 0\.100 s", 10, start)
    robot.send_tf(stamp)
    robot.send_until_published()
    assert len(warnings_since(node, start)) == 1
    assert stamp not in depth_stamps(robot)


def test_poses_beyond_all_bounds(robot, node):
    """One alone is refused; of two within the bound, their product."""
    robot.send_until_published()
    start = len(node.lines)
    robot.send_mount("base_link", "far_frame", x=1e308)
    sentence = "transform base_link -> far_frame is 1e.308 m long, must be within 1e.12 m"
    node.wait_for(sentence, 10, start)
    robot.send_mount("base_link", "far_frame", x=0.9e12)
    stamp = robot.next_stamp()
    image, info = robot.messages(stamp)
    image.header.frame_id = info.header.frame_id = "far_frame"
    robot.send_tf(stamp, x=0.9e12)
    robot.info.publish(info)
    robot.send_image(image)
    sentence = "no pose: the transforms from 'far_frame' to 'odom': transform: lies 1.8e.12 m from"
    node.wait_for(sentence, 10, start)
    robot.send_until_published()


def test_stamps_out_of_order(robot, node):
    last = robot.send_until_published()
    start = len(node.lines)
    image, info = robot.messages(last - 50_000_000)
    robot.info.publish(info)
    robot.send_image(image)
    node.wait_for("image dropped: older than the frame before", 10, start)
    robot.send_until_published()
    assert len(warnings_since(node, start)) == 1


def test_resolution_change(robot, node):
    robot.send_until_published()
    start = len(node.lines)
    wide = CameraModel(84, 56, np.array([[60.0, 0, 41.5], [0, 60.0, 27.5], [0, 0, 1]]))
    robot.send_until_published(lambda: robot.send(wide))
    assert robot.received["/da3/depth/image"][-1].width == 84
    robot.send_until_published()
    assert robot.received["/da3/depth/image"][-1].width == 56
    assert len(node.matching("images changed from 56x42 to 84x56", start)) == 1
    assert len(warnings_since(node, start)) == 1


def test_nan_in_tf(robot, node):
    robot.send_until_published()
    start = len(node.lines)
    stamp = robot.next_stamp()
    robot.send_tf(stamp, x=math.nan)
    node.wait_for("odom -> base_link contains NaN or infinity; it is ignored", 10, start)
    robot.send_until_published()
    assert len(warnings_since(node, start)) == 1


def test_counters_add_up(robot, node):
    """After all the faults above; the newest status has seen everything that was sent."""
    robot.send_until_published()
    status = robot.fresh_status()
    dropped = dict(zip(status.dropped_reasons, status.dropped_counts))
    accounted = status.frames_published + sum(dropped.values()) + status.frames_pending
    assert status.frames_received == robot.images_sent == accounted
    expected = {"bad_image": 9, "bad_camera_info": 6, "bad_header": 6, "no_camera_info": 3}
    expected |= {"no_pose": 5, "out_of_order": 1}
    assert {reason: dropped[reason] for reason in expected} == expected
    assert status.frames_published == len(set(depth_stamps(robot)))
    assert status.model == "da3-demo" and status.windows_processed > 0


def test_all_other_topics(robot, node):
    """They cost nothing until now; once subscribed to, they say the same as the depth."""
    listen = {
        "points": PointCloud2,
        "confidence/image": Image,
        "image_rect": Image,
        "camera_pose": PoseStamped,
        "camera_poses": CameraPoses,
        "path": Path,
        "depth/image/compressedDepth": CompressedImage,
        "image_rect/compressed": CompressedImage,
    }
    for topic, kind in listen.items():
        robot.listen(kind, f"/da3/{topic}")
    robot.listen(DiagnosticArray, "/diagnostics")
    robot.wait_for_node()
    stamp = robot.send_until_published()
    robot.wait_until(
        lambda: (
            [stamp_to_ns(m.header.stamp) for m in newest(robot, listen).values()]
            == [stamp] * len(listen)
        ),
        what="all topics",
    )
    got = newest(robot, listen)
    for topic in ("points", "confidence/image", "image_rect"):
        assert got[topic].header.frame_id == "camera_optical_frame"
        assert (got[topic].width, got[topic].height) == (CAMERA.width, CAMERA.height)
    small = compressed_depth_metres(got["depth/image/compressedDepth"])
    depth = depth_metres(robot.received["/da3/depth/image"][-1])
    np.testing.assert_array_equal(np.isnan(small), np.isnan(depth))
    np.testing.assert_allclose(small, depth, rtol=1e-3)
    # The picture is noise, and JPEG halves the size of its colors: brightness is compared.
    small = compressed_to_rgb(got["image_rect/compressed"]) @ BRIGHTNESS
    np.testing.assert_allclose(small, to_rgb(got["image_rect"]) @ BRIGHTNESS, atol=50)
    assert got["camera_pose"].header.frame_id == "odom"
    poses = got["camera_poses"]
    assert len(poses.poses) == len(poses.network_poses) == 2 and poses.reference == 1
    assert poses.poses[1] == got["camera_pose"].pose == got["path"].poses[-1].pose
    assert np.isfinite(poses.scale)
    robot.wait_until(lambda: robot.received["/diagnostics"], what="diagnostics")
    values = {v.key: v.value for v in robot.received["/diagnostics"][-1].status[0].values}
    assert values["lifecycle"] == "active"


def newest(robot, listen):
    topics = {topic: robot.received[f"/da3/{topic}"] for topic in listen}
    return {topic: messages[-1] for topic, messages in topics.items() if messages}


def test_time_jumping_back_starts_over(robot, node):
    newest_ns = robot.send_until_published()
    start = len(node.lines)
    # Stamps near the clock are held to it: who leaves it, or comes to it, has another clock.
    both = newest_ns, newest_ns - 5 * 10**9
    robot.wait_until(lambda: all(abs(time.time_ns() - t) > 1.5 * 10**9 for t in both))
    robot.count -= 50
    robot.send_until_published()
    assert len(node.matching("image stamps jumped back by 4.9 s: starting over", start)) == 1


def test_reset_service(robot, node):
    assert robot.call(Trigger, "/da3/reset", Trigger.Request()).success
    robot.send_until_published()


def test_ends_cleanly(robot, node):
    """The last test of this file: SIGTERM while active."""
    robot.send()
    assert node.stop() == 0
    assert not node.matching("Traceback")
