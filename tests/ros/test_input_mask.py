"""The robot's own body in the picture, over a real graph: `input.mask`."""

import cv2
import numpy as np
import pytest
from graph import CAMERA, a_robot, start_node
from lifecycle_msgs.msg import Transition
from sensor_msgs.msg import Image, PointCloud2
from sensor_msgs_py import point_cloud2

from da3_ros.core.camera_model import CameraModel
from da3_ros.ros.messages import stamp_to_ns

robot = pytest.fixture(a_robot)
HOOD = 12
"""Rows at the bottom that show the robot."""


@pytest.fixture
def node(robot, tmp_path):
    mask = np.full((CAMERA.height, CAMERA.width), 255, np.uint8)
    mask[-HOOD:] = 0
    cv2.imwrite(str(tmp_path / "mask.png"), mask)
    robot.listen(Image, "/da3/depth/image")
    robot.listen(PointCloud2, "/da3/points")
    process = start_node(tmp_path, input__mask=str(tmp_path / "mask.png"))
    process.wait_for("active: waiting for images")
    robot.wait_for_node()
    yield process
    process.kill()


def depth_of(robot, stamp_ns: int) -> np.ndarray:
    messages = robot.received["/da3/depth/image"]

    def found():
        return [m for m in messages if stamp_to_ns(m.header.stamp) == stamp_ns]

    robot.wait_until(found, what="depth")
    return np.frombuffer(found()[0].data, np.float32).reshape(CAMERA.height, CAMERA.width)


def test_the_body_has_no_depth_and_no_points(robot, node):
    stamps = [robot.send() for _ in range(3)]
    depth = depth_of(robot, stamps[-1])
    assert np.isnan(depth[-HOOD:]).all()
    assert np.isfinite(depth[:-HOOD]).mean() > 0.9
    robot.wait_until(lambda: robot.received["/da3/points"], what="points")
    cloud = point_cloud2.read_points(robot.received["/da3/points"][-1], ["x", "y", "z"])
    points = np.stack([cloud[axis] for axis in "xyz"], axis=-1).reshape(-1, 3)
    points = points[np.isfinite(points).all(axis=1)]
    rows = CAMERA.K[1, 1] * points[:, 1] / points[:, 2] + CAMERA.K[1, 2]
    assert len(points) and rows.max() < CAMERA.height - HOOD


def test_a_mask_of_another_size_is_named(robot, node):
    larger = CameraModel(112, 84, np.array([[80.0, 0, 55.5], [0, 80.0, 41.5], [0, 0, 1]]))
    for _ in range(3):
        robot.send(larger)
    node.wait_for("input.mask is 56x42, but the images are 112x84")


def test_a_mask_that_is_gone_leaves_the_node_inactive(robot, node, tmp_path):
    mask = tmp_path / "mask.png"
    picture = mask.read_bytes()
    assert robot.change_state(Transition.TRANSITION_DEACTIVATE)
    mask.unlink()
    assert not robot.change_state(Transition.TRANSITION_ACTIVATE) and robot.state() == "inactive"
    node.wait_for("input.mask: cannot read .*there is no such file; give a PNG")
    assert not node.matching("Traceback")
    mask.write_bytes(picture)
    assert robot.change_state(Transition.TRANSITION_ACTIVATE) and robot.state() == "active"
