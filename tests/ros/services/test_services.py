"""Exports and the scene through the services of a real node."""

import json
from pathlib import Path

import numpy as np
import pytest
import trimesh
from da3_ros.msg import Status
from da3_ros.srv import Export, LoadMesh, RenderDepth
from geometry_msgs.msg import PoseStamped
from graph import CAMERA, a_robot, start_node
from plyfile import PlyData
from rclpy.qos import DurabilityPolicy, QoSProfile
from sensor_msgs.msg import Image, PointCloud2
from std_srvs.srv import Trigger

from da3_ros.core.camera_model import CameraModel
from da3_ros.ros import messages

LATCHED = QoSProfile(depth=1, durability=DurabilityPolicy.TRANSIENT_LOCAL)


robot = pytest.fixture(a_robot, scope="module")


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return tmp_path_factory.mktemp("exports")


@pytest.fixture(scope="module")
def node(robot, folder, tmp_path_factory):
    robot.listen(Image, "/da3/depth/image")
    process = start_node(
        tmp_path_factory.mktemp("node"),
        **{
            "export.directory": str(folder),
            "scene.enabled": True,
            "scene.voxel_size": 0.5,
            "scene.max_range": 1000.0,
            "scene.cloud_period": 0.2,
            "scale.max_spread": 10.0,
            "output.max_depth": 100000.0,
            "output.min_depth": 0.0,
        },
    )
    process.wait_for("active: waiting for images")
    robot.wait_for_node()
    yield process
    process.kill()


def export(robot, formats="", name="", options=""):
    request = Export.Request(formats=formats, name=name, options=options)
    return robot.call(Export, "/da3/export", request)


def test_nothing_yet_is_said(robot, node):
    answer = export(robot, "glb")
    assert not answer.success and "nothing to export yet" in answer.message
    answer = robot.call(Trigger, "/da3/build_mesh", Trigger.Request())
    assert not answer.success and answer.message


def test_formats_are_written_below_the_directory_and_read_back(robot, node, folder):
    robot.send_until_published()
    answer = export(robot, "glb-ply-mini_npz", "first", json.dumps({"num_max_points": 500}))
    assert answer.success, answer.message
    written = [Path(p).relative_to(folder / "first") for p in answer.paths]
    assert sorted(p.name for p in written) == ["points.ply", "results.npz", "scene.glb"]
    glb = next(p for p in answer.paths if p.endswith(".glb"))
    scene = trimesh.load(glb)
    assert scene.geometry and scene.metadata
    ply = next(p for p in answer.paths if p.endswith(".ply"))
    assert 0 < len(PlyData.read(ply)["vertex"]) <= 500


def test_a_name_that_is_there_gets_a_number_and_links_are_not_followed(
    robot, node, folder, tmp_path
):
    robot.send_until_published()
    (folder / "linked").symlink_to(tmp_path)
    answers = [export(robot, "ply", name) for name in ("twice", "twice", "linked")]
    assert all(a.success for a in answers), [a.message for a in answers]
    written = [str(Path(a.paths[0]).relative_to(folder)) for a in answers]
    assert written == ["twice/points.ply", "twice-2/points.ply", "linked-2/points.ply"]
    assert all((folder / name).is_file() for name in written) and not list(tmp_path.iterdir())


def test_trigger_exports_the_newest_window(robot, node, folder):
    robot.send_until_published()
    answer = robot.call(Trigger, "/da3/export_glb", Trigger.Request())
    assert answer.success, answer.message
    assert list(folder.glob("*/scene.glb"))
    answer = robot.call(Trigger, "/da3/export_gs_ply", Trigger.Request())
    assert not answer.success and "no Gaussian head" in answer.message
    assert "set model.name to depth-anything/DA3-GIANT" in answer.message


@pytest.mark.parametrize(
    "formats, name, options, sentence",
    [
        ("glb", "../outside", "", "plain folder name"),
        ("glb", "..", "", "plain folder name"),
        ("usdz", "", "", "'usdz' is unknown"),
        ("glb", "", "[1]", "JSON object"),
        ("glb", "", "{", "JSON object"),
        ("glb", "", '{"colour": 1}', "option 'colour' is unknown"),
        ("glb", "", '{"num_max_points": -1}', "num_max_points is -1, must be at least 0"),
        ("feat_vis", "", '{"fps": 0, "export_feat_layers": [2]}', "fps is 0, must be at least 0.1"),
        ("glb", "x" * 300, "", "plain folder name"),
        ("glb", "", "[" * 20_000, "20,003 characters, an export takes at most 16,384"),
        ("glb", "x" * 20_000, "", "20,003 characters, an export takes at most 16,384"),
        ("glb-" * 5_000, "", "", "20,000 characters, an export takes at most 16,384"),
    ],
)
def test_refusals_say_why(robot, node, folder, formats, name, options, sentence):
    robot.send_until_published()
    before = set(folder.iterdir())
    answer = export(robot, formats, name, options)
    assert not answer.success and sentence in answer.message
    assert not (folder.parent / "outside").exists() and set(folder.iterdir()) == before


def load_mesh(robot, path):
    return robot.call(LoadMesh, "/da3/load_mesh", LoadMesh.Request(path=str(path)))


def test_mesh_and_rendered_depth(robot, node, folder):
    box = trimesh.creation.box((2.0, 2.0, 2.0))
    path = folder / "box.ply"
    box.export(path)
    answer = load_mesh(robot, path)
    assert answer.success and "12 triangles" in answer.message
    request = RenderDepth.Request(cull_faces=True, add_alpha=True)
    request.camera_pose = PoseStamped(header=messages.header("odom", 0))
    request.camera_pose.pose.position.z = -5.0
    request.camera_pose.pose.orientation.w = 1.0
    request.camera_info = messages.camera_info_message(CAMERA, messages.header("odom", 0))
    answer = robot.call(RenderDepth, "/da3/render_depth", request)
    assert answer.success, answer.message
    assert answer.depth.encoding == "32FC2"
    image = np.frombuffer(answer.depth.data, np.float32).reshape(CAMERA.height, CAMERA.width, 2)
    assert image[21, 28, 0] == pytest.approx(4.0) and image[21, 28, 1] == 1.0
    assert np.isnan(image[0, 0, 0]) and image[0, 0, 1] == 0.0
    request.camera_info.k[0] = 0.0
    answer = robot.call(RenderDepth, "/da3/render_depth", request)
    assert not answer.success and "focal length" in answer.message
    request.camera_pose.header.frame_id = "nowhere"
    request.camera_info.k[0] = 40.0
    answer = robot.call(RenderDepth, "/da3/render_depth", request)
    assert not answer.success and "nowhere" in answer.message


def test_time_zero_renders_from_where_the_frame_is_now(robot, node, folder):
    """The camera is inside a ball, and sees it in every pixel."""
    robot.send_until_published()
    trimesh.creation.icosphere(radius=50.0).export(folder / "ball.ply")
    assert load_mesh(robot, "ball.ply").success  # from the folder on
    request = RenderDepth.Request(cull_faces=False)
    request.camera_pose = PoseStamped(header=messages.header("camera_optical_frame", 0))
    request.camera_pose.pose.orientation.w = 1.0
    request.camera_info = messages.camera_info_message(CAMERA, messages.header("", 0))
    answer = robot.call(RenderDepth, "/da3/render_depth", request)
    assert answer.success, answer.message
    depth = np.frombuffer(answer.depth.data, np.float32)
    assert np.isfinite(depth).all() and depth.min() > 1


def test_a_missing_mesh_file_is_named(robot, node):
    answer = load_mesh(robot, "no_such_mesh.ply")
    assert not answer.success and "no_such_mesh.ply: no such file" in answer.message


def test_meshes_outside_the_allowed_folder_are_not_looked_at(robot, node, folder, tmp_path):
    path = tmp_path / "box.ply"
    trimesh.creation.box((2.0, 2.0, 2.0)).export(path)
    (folder / "way_out.ply").symlink_to(path)
    up = Path("..", *[".."] * len(folder.parts), *path.parts[1:])
    for asked in (path, "/no/such/mesh.ply", up, "way_out.ply", "x" * 5000 + ".ply", "a\x1bb.ply"):
        answer = load_mesh(robot, asked)
        assert not answer.success and len(answer.message) < 600 and answer.message.isprintable()
        assert any(
            words in answer.message for words in ("is not below", "be a path", "no such file")
        )
    result = robot.set_parameters({"scene.mesh_directory": "/"})
    assert not result.successful and "only be set when the node is started" in result.reason


def test_a_request_of_gigabytes_is_refused_and_the_largest_keeps_the_status_going(
    robot, node, folder
):
    trimesh.creation.icosphere(subdivisions=5, radius=50.0).export(folder / "ball.ply")
    assert load_mesh(robot, "ball.ply").success
    request = RenderDepth.Request(cull_faces=False)
    request.camera_pose = PoseStamped(header=messages.header("odom", 0))
    request.camera_pose.pose.orientation.w = 1.0
    for side, said in ((8000, "scene.max_pixels allows 16,777,216"), (60000, "must be at most")):
        camera = CameraModel(side, side, np.diag([side, side, 1.0]))
        request.camera_info = messages.camera_info_message(camera, messages.header("", 0))
        answer = robot.call(RenderDepth, "/da3/render_depth", request)
        assert not answer.success and said in answer.message
    camera = CameraModel(4096, 4096, np.array([[1e3, 0, 2048], [0, 1e3, 2048], [0, 0, 1]]))
    request.camera_info = messages.camera_info_message(camera, messages.header("", 0))
    came = robot.listen(Status, "/da3/status")
    robot.wait_until(lambda: came, what="status")
    seen = len(came)
    answer = robot.call(RenderDepth, "/da3/render_depth", request)
    assert answer.success and len(answer.depth.data) == 4096 * 4096 * 4
    robot.wait_until(lambda: len(came) > seen + 1, what="status")
    stamps = [m.stamp.sec + m.stamp.nanosec / 1e9 for m in came]
    assert max(np.diff(stamps)) < 5


def test_resets_one_after_the_other_are_refused(robot, node):
    robot.wait_until(
        lambda: robot.call(Trigger, "/da3/reset", Trigger.Request()).success, what="a reset"
    )
    answer = robot.call(Trigger, "/da3/reset", Trigger.Request())
    assert not answer.success and "it is done at most once in 1 s" in answer.message


def test_the_map_grows_and_is_forgotten(robot, node):
    robot.listen(PointCloud2, "/da3/cloud_map", LATCHED)
    robot.send_until_published()
    robot.wait_until(lambda: robot.received["/da3/cloud_map"], what="cloud_map")
    cloud = robot.received["/da3/cloud_map"][-1]
    assert cloud.header.frame_id == "odom" and cloud.point_step == 32
    answers = []

    def is_reset():  # another test may have done it less than a second ago
        answers.append(robot.call(Trigger, "/da3/reset", Trigger.Request()))
        return answers[-1].success

    robot.wait_until(is_reset, what="a reset")
    assert "scene" in answers[-1].message
