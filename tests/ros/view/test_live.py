"""The page's source on a real graph, and the page itself over a long time."""

import time

import numpy as np
import pytest
import rclpy
import trimesh
from geometry_msgs.msg import Point, PoseStamped
from rclpy.context import Context
from sensor_msgs.msg import CameraInfo, CompressedImage
from visualization_msgs.msg import Marker

from da3_ros.core.camera_model import CameraModel
from da3_ros.core.scene.mesh import Mesh
from da3_ros.ros import messages
from da3_ros.ros.compressed import compressed_depth_message, compressed_message
from da3_ros.ros.services.scene import mesh_marker
from da3_ros.ros.view import page as page_module
from da3_ros.ros.view.live import LiveView, marker_mesh
from da3_ros.ros.view.page import Page
from da3_ros.ros.view.view_frame import ViewFrame

CAMERA = CameraModel(64, 48, np.array([[60.0, 0, 31.5], [0, 60.0, 23.5], [0, 0, 1]]))
DEPTH = np.linspace(1, 4, 64 * 48, dtype=np.float32).reshape(48, 64)
FAR_AWAY = np.array([500_000.0, 5_400_000.0, 30.0])


@pytest.fixture
def publisher():
    context = Context()
    rclpy.init(context=context)
    yield rclpy.create_node("stand_in", context=context)
    rclpy.shutdown(context=context)


def test_over_a_slow_link_the_compressed_topics_are_enough(publisher):
    """No raw picture and no raw depth is on this graph; the name of depth is that of a publisher
    nobody takes from."""
    topics = {
        "depth/image/compressedDepth": CompressedImage,
        "image_rect/compressed": CompressedImage,
        "depth/camera_info": CameraInfo,
        "camera_pose": PoseStamped,
    }
    publishers = {t: publisher.create_publisher(k, f"/da3/{t}", 1) for t, k in topics.items()}
    publisher.create_publisher(messages.Image, "/da3/depth/image", 1)
    view, frames, stamp_ns = LiveView("/da3", compressed=True), [], 10**9
    try:
        deadline = time.monotonic() + 20
        while not frames:
            assert time.monotonic() < deadline, "the view never had a frame"
            stamp_ns += 1
            head = messages.header("camera", stamp_ns)
            rgb = np.full((48, 64, 3), 90, np.uint8)
            for publish, msg in zip(
                publishers.values(),
                (
                    compressed_depth_message(DEPTH, "32FC1", 100, head),
                    compressed_message(rgb, 90, head),
                    messages.camera_info_message(CAMERA, head),
                    messages.pose_stamped(np.eye(4), head),
                ),
            ):
                publish.publish(msg)
            time.sleep(0.1)
            frames = view.take()
        np.testing.assert_allclose(frames[0].depth, DEPTH, rtol=1e-3)
        assert frames[0].rgb.shape == (48, 64, 3) and frames[0].T_world_cam is not None
    finally:
        view.close()


@pytest.mark.parametrize("origin", [np.zeros(3), FAR_AWAY])
def test_the_mesh_of_the_marker_is_the_mesh(origin):
    box = trimesh.creation.box((1, 2, 3))
    colors = np.random.default_rng(0).integers(0, 256, (8, 3), np.uint8)
    mesh = Mesh(np.asarray(box.vertices) + origin, np.asarray(box.faces, np.int32), colors)
    got = marker_mesh(mesh_marker(mesh, messages.header("odom", 1)))
    assert len(got.faces) == 12
    np.testing.assert_allclose(got.triangles, (mesh.vertices)[mesh.faces], atol=1e-3)
    np.testing.assert_allclose(
        got.visual.vertex_colors[:, :3], colors[mesh.faces.ravel()], atol=1.01
    )


@pytest.mark.parametrize("kind, points", [(Marker.CUBE, 3), (Marker.TRIANGLE_LIST, 4)])
def test_markers_of_others_are_no_mesh(kind, points):
    marker = Marker(type=kind, points=[Point()] * points)
    marker.pose.orientation.w = 1.0
    with pytest.raises(ValueError, match="is not a mesh"):
        marker_mesh(marker)


def test_the_page_holds_no_more_after_many_frames_than_after_a_few(monkeypatch):
    """What viser keeps for tabs to come: one message for each thing that is there."""
    monkeypatch.setattr(page_module, "MAP_PERIOD", 0.0)
    page = Page(port=8791)
    kept = page.server._websock_server.get_message_buffer().message_from_id
    try:
        counts = []
        for k in range(60):
            T = np.eye(4)
            T[:3, 3] = FAR_AWAY + (0.1 * k, 0, 0)
            rgb = np.zeros((48, 64, 3), np.uint8)
            page.show_frame(ViewFrame("left", k, rgb, DEPTH, CAMERA, T))
            page.show_window([T] * (2 + k % 3), reference=0)
            page.show_mesh(trimesh.creation.box())
            page.say(f"frame {k}")
            counts.append(len(kept))
        assert len(set(counts[10::3])) == 1 and max(counts[10:]) == max(counts[:10])
        np.testing.assert_allclose(page.origin, FAR_AWAY, atol=1)
        page.clear()
        assert len(kept) <= max(counts)
    finally:
        page.close()
