"""Who comes late sees the mesh that there is, and none that is forgotten; rendered depth is in a
frame with a camera's axes.
"""

import pytest
import trimesh
from da3_ros.srv import LoadMesh, RenderDepth
from geometry_msgs.msg import PoseStamped
from graph import CAMERA, a_robot, node_starter
from rclpy.qos import DurabilityPolicy, QoSProfile
from std_srvs.srv import Trigger
from visualization_msgs.msg import Marker

from da3_ros.ros import messages

LATCHED = QoSProfile(depth=1, durability=DurabilityPolicy.TRANSIENT_LOCAL)

robot = pytest.fixture(a_robot)
start = pytest.fixture(node_starter)


def listen(robot, qos=LATCHED):
    """As one more subscriber; what it gets."""
    markers = []
    robot.node.create_subscription(Marker, "/da3/mesh_marker", markers.append, qos)
    return markers


def is_shown(markers, corners=36):
    return bool(markers) and markers[-1].action == Marker.ADD and len(markers[-1].points) == corners


def test_a_mesh_that_was_loaded_before_anybody_listened(robot, start, tmp_path):
    trimesh.creation.box((2.0, 2.0, 2.0)).export(tmp_path / "box.ply")
    start(scene__mesh_directory=str(tmp_path))
    answer = robot.call(LoadMesh, "/da3/load_mesh", LoadMesh.Request(path="box.ply"))
    assert answer.success
    first = listen(robot)
    robot.wait_until(lambda: is_shown(first), what="the marker")
    second = listen(robot)
    robot.wait_until(lambda: is_shown(second), what="the marker, latched")
    assert robot.call(Trigger, "/da3/reset", Trigger.Request()).success
    robot.wait_until(lambda: first[-1].action == Marker.DELETE, what="the end of the marker")
    assert (first[-1].ns, first[-1].id) == (first[0].ns, first[0].id)
    third = listen(robot)
    robot.wait_until(lambda: third, what="what is latched")
    assert third[0].action == Marker.DELETE


def test_the_mesh_of_the_parameter_and_the_frame_of_depth(robot, start, tmp_path):
    trimesh.creation.box((2.0, 2.0, 2.0)).export(tmp_path / "box.ply")
    start(scene__mesh=str(tmp_path / "box.ply"))
    markers = listen(robot)
    robot.wait_until(lambda: is_shown(markers), 120, what="the marker")

    request = RenderDepth.Request(cull_faces=True)
    request.camera_pose = PoseStamped(header=messages.header("odom", 5))
    request.camera_pose.pose.position.z = -5.0
    request.camera_pose.pose.orientation.w = 1.0

    def answer(frame_id):
        head = messages.header(frame_id, 0)
        request.camera_info = messages.camera_info_message(CAMERA, head)
        return robot.call(RenderDepth, "/da3/render_depth", request)

    named = answer("virtual_optical_frame")
    assert named.success, named.message
    assert (
        named.depth.header
        == named.camera_info.header
        == messages.header("virtual_optical_frame", 5)
    )
    assert answer("").depth.header.frame_id == ""  # odom has no camera's axes
    request.camera_pose.pose.position.z = 0.0
    assert answer("").depth.header.frame_id == "odom"  # which is meant to be one

    request.camera_info = messages.camera_info_message(CAMERA, messages.header("", 0))
    roi = request.camera_info.roi
    roi.x_offset, roi.y_offset, roi.width, roi.height = 10, 20, 46, 22
    assert robot.call(RenderDepth, "/da3/render_depth", request).success
    roi.width = 47
    refused = robot.call(RenderDepth, "/da3/render_depth", request)
    assert not refused.success
    assert "camera_info.roi is 47x22 at (10, 20), which is not within the 56x42" in refused.message
