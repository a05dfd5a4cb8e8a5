"""Points from outside over a real graph: the kitchen, its own depth thinned, standing still."""

import time

import cv2
import numpy as np
import pytest
from da3_ros.msg import CameraPoses, Status
from graph import a_robot, start_node
from sensor_msgs.msg import CameraInfo, Image, PointCloud2
from xyz_cloud import xyz_cloud

from da3_ros.core.camera_model import CameraModel
from da3_ros.ros import messages

robot = pytest.fixture(a_robot, scope="module")
FRAME = "camera_optical_frame"


@pytest.fixture(scope="module")
def kitchen(shared_data):
    """Camera, picture and true depth (H, W) m, NaN unknown, of the first frame."""
    folder = shared_data / "7scenes_redkitchen"
    name = sorted(p.stem for p in (folder / "rgb").iterdir())[0]
    image = cv2.imread(str(folder / "rgb" / f"{name}.jpg"))[..., ::-1]
    depth = cv2.imread(str(folder / "depth" / f"{name}.png"), cv2.IMREAD_UNCHANGED) / 1000.0
    depth[depth == 0] = np.nan
    # Half the size: larger messages are lost without a transport profile.
    K = np.loadtxt(folder / "intrinsics.txt")[:3, :3]
    camera = CameraModel(640, 480, K).scaled(width=320, height=240)
    return camera, np.ascontiguousarray(image[::2, ::2]), depth[::2, ::2]


@pytest.fixture
def node(robot, tmp_path):
    """A node of its own for each kind: what one has sent would help the next."""
    robot.received.clear()
    robot.listen(Image, "/da3/depth/image")
    robot.listen(Status, "/da3/status")
    robot.listen(CameraPoses, "/da3/camera_poses")
    gates = {"window__min_baseline": 0.0, "window__min_rotation": 0.0}
    process = start_node(tmp_path, model__process_res=168, **gates)
    process.wait_for("active: waiting for images")
    yield process
    process.kill()


def cloud(camera, depth, stamp_ns):
    """200 points, in the camera's frame."""
    rays = camera.rays() * depth[..., None]
    rows, columns = np.nonzero(np.isfinite(depth))
    chosen = np.random.default_rng(0).permutation(len(rows))[:200]
    points = rays[rows[chosen], columns[chosen]]
    return xyz_cloud(messages.header(FRAME, stamp_ns), points)


def thin_depth(camera, depth, stamp_ns):
    """5 % of the pixels, in millimetres, and their camera."""
    kept = np.random.default_rng(0).random(depth.shape) < 0.05
    pixels = np.where(kept & np.isfinite(depth), depth * 1000, 0).astype(np.uint16)
    head = messages.header(FRAME, stamp_ns)
    return messages.image_message(pixels, "16UC1", head), messages.camera_info_message(camera, head)


def send_standing(robot, kitchen, publish):
    """Frames of a camera that does not move, each with anchors of the same stamp."""
    camera, image, depth = kitchen
    for _ in range(3):
        stamp_ns = robot.next_stamp()
        head = messages.header(FRAME, stamp_ns)
        robot.send_tf(stamp_ns, x=1.0)
        publish(stamp_ns)
        time.sleep(0.3)
        robot.info.publish(messages.camera_info_message(camera, head))
        robot.send_image(messages.image_message(image, "rgb8", head))
        time.sleep(0.2)


def check_metres(robot, kitchen, process):
    received = robot.received["/da3/depth/image"]
    robot.wait_until(lambda: received, what="depth")
    first = np.frombuffer(received[0].data, np.float32).reshape(240, 320)
    true = kitchen[2]
    known = np.isfinite(true)
    assert np.isfinite(first[known]).mean() > 0.95, process.lines
    assert np.median(np.abs(first - true)[known] / true[known]) < 0.08
    poses = robot.received["/da3/camera_poses"]
    robot.wait_until(lambda: poses, what="camera poses")
    assert poses[0].scale_source == "anchors" and poses[0].scale_points > 100
    assert 0 < poses[0].depth_error < 0.2
    states = robot.received["/da3/status"]
    robot.wait_until(lambda: states[-1].scale_source == "anchors", what="the source in the status")


def test_two_hundred_points_are_metres_at_once(robot, node, kitchen):
    camera, _, depth = kitchen
    publisher = robot.node.create_publisher(PointCloud2, "anchor/points", 10)
    robot.wait_for_node(publisher, robot.image, robot.info, robot.tf, robot.tf_static)
    send_standing(robot, kitchen, lambda ns: publisher.publish(cloud(camera, depth, ns)))
    check_metres(robot, kitchen, node)


def test_a_thin_depth_image_is_metres_at_once(robot, node, kitchen):
    camera, _, depth = kitchen
    images = robot.node.create_publisher(Image, "anchor/depth", 10)
    infos = robot.node.create_publisher(CameraInfo, "anchor/camera_info", 10)
    robot.wait_for_node(images, infos, robot.image, robot.info, robot.tf, robot.tf_static)

    def publish(stamp_ns):
        image, info = thin_depth(camera, depth, stamp_ns)
        infos.publish(info)
        images.publish(image)

    send_standing(robot, kitchen, publish)
    check_metres(robot, kitchen, node)
