"""SLAM corrects where `odom` is in `map` while a window spans it: metres stay those of the room.

The robot has a neck that turns; its poses are asked for in `map`.
"""

import time
from functools import cache

import numpy as np
import pytest
from da3_ros.msg import CameraPoses
from geometry_msgs.msg import PoseStamped
from graph import a_robot, node_starter, stamps
from sensor_msgs.msg import Image
from tf2_msgs.msg import TFMessage

from da3_ros.commands.process import process_all
from da3_ros.core import poses
from da3_ros.ros import messages
from da3_ros.ros.bags.bag import BagReader, BagWriter
from da3_ros.ros.bags.bag_job import BagJob
from da3_ros.ros.messages import pose_matrix
from da3_ros.synthetic.room import CAMERA, demo_path, render_room

SMALL_CAMERA = CAMERA.scaled(width=168, height=126)
FRAMES, JUMP = 9, 5
"""Images, and the first that is corrected."""

STEP_NS = 200_000_000
TURNS = np.arange(FRAMES) / 20
T_BASE_NECK = [poses.from_quat_xyzw((0, 0, np.sin(a), np.cos(a)), (0.1, 0, 1)) for a in TURNS]
CORRECTIONS = {
    "none": np.eye(4),
    "8 cm along the way": poses.compose(np.eye(3), np.array([-0.06, 0.05, 0.0])),
    "40 cm and a turn": poses.from_quat_xyzw((0, 0, 0.035, 0.9994), (0.3, -0.25, 0.05)),
}
PARAMETERS = {
    "model.process_res": 168,
    "window.size": 4,
    "window.publish": "newest",
    "window.drop_when_busy": False,
    "pose.world_frame": "map",
}


@cache
def views():
    return [render_room(T, SMALL_CAMERA) for T in demo_path(160)[:FRAMES]]


def transforms(k, stamp_ns, correction, odom="robot1/odom"):
    """map -> odom -> base -> neck at image k."""
    T_map_odom = CORRECTIONS[correction] if k >= JUMP else np.eye(4)
    T_odom_base = views()[k].T_world_cam @ poses.inverse(T_BASE_NECK[k] @ poses.T_BODY_OPTICAL)
    way = ("map", odom, T_map_odom), (odom, "base", T_odom_base), ("base", "neck", T_BASE_NECK[k])
    return TFMessage(
        transforms=[
            messages.transform_message(T, messages.header(parent, stamp_ns), child)
            for parent, child, T in way
        ]
    )


def mount():
    T = messages.transform_message(poses.T_BODY_OPTICAL, messages.header("neck", 1), "camera")
    return TFMessage(transforms=[T])


def pictures(k, stamp_ns):
    """The image and its camera info."""
    head = messages.header("camera", stamp_ns)
    image = messages.image_message(views()[k].image, "rgb8", head)
    return image, messages.camera_info_message(SMALL_CAMERA, head)


def ratio(msg, k):
    """Median of depth over that of the room."""
    depth = np.frombuffer(msg.data, np.float32).reshape(msg.height, msg.width)
    assert np.isfinite(depth).mean() > 0.9
    return float(np.nanmedian(depth / views()[k].depth))


def write_bag(path, correction):
    start_ns = 1_700_000_000_000_000_000
    with BagWriter(path) as bag:
        bag.write("/tf_static", start_ns, mount())
        for k in range(FRAMES):
            stamp_ns = start_ns + k * STEP_NS
            image, info = pictures(k, stamp_ns)
            bag.write("/tf", stamp_ns, transforms(k, stamp_ns, correction))
            bag.write("/camera/camera_info", stamp_ns, info)
            bag.write("/camera/image_raw", stamp_ns, image)
    return path


def processed(folder, correction):
    """Depth images of the bag of such a drive."""
    bag = write_bag(folder / correction.replace(" ", "_"), correction)
    values = {**PARAMETERS, "model.name": "da3-demo", "model.device": "cpu"}
    (report,) = process_all([BagJob(bag, folder / "out", values)])
    assert report.failure == ""
    with BagReader(report.job.result) as result:
        return [msg for _, _, msg in result.messages("/da3/depth/image")]


def test_of_a_bag_depth_is_as_without_a_correction(tmp_path):
    plain, *corrected = (processed(tmp_path, correction) for correction in CORRECTIONS)
    assert len(plain) == FRAMES - 3
    for depths in corrected:
        for k, (a, b) in enumerate(zip(plain, depths, strict=True), start=3):
            assert ratio(b, k) == pytest.approx(ratio(a, k), rel=0.02)
            assert ratio(b, k) == pytest.approx(1, abs=0.15)


robot = pytest.fixture(a_robot)
start = pytest.fixture(node_starter)


def test_of_a_running_node_depth_is_that_of_the_room(robot, start):
    parameters = {name.replace(".", "__"): value for name, value in PARAMETERS.items()}
    start(**parameters)
    depths = robot.listen(Image, "/da3/depth/image")
    places = robot.listen(PoseStamped, "/da3/camera_pose")
    windows = robot.listen(CameraPoses, "/da3/camera_poses")
    robot.tf_static.publish(mount())
    robot.wait_for_node()
    start_ns = time.time_ns()
    for k in range(FRAMES):
        stamp_ns = start_ns + k * STEP_NS
        image, info = pictures(k, stamp_ns)
        robot.tf.publish(transforms(k, stamp_ns, "8 cm along the way"))
        robot.info.publish(info)
        robot.image.publish(image)
        time.sleep(0.1)
    robot.wait_until(lambda: len(depths) == len(windows) == FRAMES - 3, what="depth")
    assert [(s - start_ns) // STEP_NS for s in stamps(depths)] == list(range(3, FRAMES))
    for k, depth, place, window in zip(range(3, FRAMES), depths, places, windows, strict=True):
        assert ratio(depth, k) == pytest.approx(1, abs=0.15)
        assert window.scale_source == "parallax" and window.poses[-1] == place.pose
        T_map_odom = CORRECTIONS["8 cm along the way"] if k >= JUMP else np.eye(4)
        for pose, view in zip(window.poses, views()[k - 3 :]):
            np.testing.assert_allclose(pose_matrix(pose), T_map_odom @ view.T_world_cam, atol=1e-6)
