"""What the page shows, before any browser: clouds, map, picture, words, files."""

import re
from types import SimpleNamespace

import numpy as np
import pytest
import trimesh
from da3_ros.msg import CameraPoses, Status
from graph import Process
from hypothesis import given
from hypothesis import strategies as st
from plyfile import PlyData, PlyElement

from da3_ros.commands.view import parse_arguments
from da3_ros.core.camera_model import CameraModel
from da3_ros.ros import messages
from da3_ros.ros.bags.bag import BagWriter
from da3_ros.ros.outputs.topics import DEPTH, DEPTH_INFO, IMAGE
from da3_ros.ros.view import growing_map, view_frame
from da3_ros.ros.view.buttons import viewpoint
from da3_ros.ros.view.files import ViewFileError, add_file, bag_frames, check, is_bag
from da3_ros.ros.view.frame_parts import UNFINISHED, FrameParts
from da3_ros.ros.view.growing_map import GrowingMap
from da3_ros.ros.view.page import Page
from da3_ros.ros.view.picture import FAR, GRID, UNKNOWN, depth_grid, picture_html
from da3_ros.ros.view.view_frame import ViewFrame
from da3_ros.ros.view.words import NOTHING_HEARD, status_words

CAMERA = CameraModel(320, 240, np.array([[300.0, 0, 159.5], [0, 300.0, 119.5], [0, 0, 1]]))


def frame(depth, T_world_cam=None):
    rgb = np.zeros((240, 320, 3), np.uint8)
    return ViewFrame("", 1, rgb, depth.astype(np.float32), CAMERA, T_world_cam)


def test_a_wall_is_a_wall_in_the_world(monkeypatch):
    monkeypatch.setattr(view_frame, "MAX_POINTS", 1000)
    T = np.eye(4)
    T[:3, :3] = [[0, 0, 1], [-1, 0, 0], [0, -1, 0]]  # the camera looks along x
    T[:3, 3] = 5.0, 6.0, 7.0
    depth = np.full((240, 320), 2.0)
    depth[:100] = np.nan
    points, colors = frame(depth, T).cloud()
    np.testing.assert_allclose(points[:, 0], 7.0)
    assert 300 < len(points) == len(colors) <= 1000
    # The lower part of the picture: below the camera.
    assert points[:, 2].max() < 7.0 + 2.0 * 20 / 300


@given(st.integers(1, 4), st.floats(0.1, 50.0))
def test_the_map_has_an_end(frames, extent):
    grown = GrowingMap(voxel=0.001)
    rng = np.random.default_rng(frames)
    for _ in range(frames):
        grown.add(rng.random((2000, 3)) * extent, np.zeros((2000, 3), np.uint8))
    assert grown.has_grown
    points, colors = grown.cloud()
    assert not grown.has_grown
    assert 0 < len(points) == len(colors) <= 2000 * frames


def test_a_full_map_gets_coarser(monkeypatch):
    monkeypatch.setattr(growing_map, "MAX_POINTS", 500)
    grown = GrowingMap(voxel=0.001)
    grown.add(np.random.default_rng(0).random((5000, 3)), np.zeros((5000, 3), np.uint8))
    assert len(grown.cloud()[0]) <= 500 and grown.voxel > 0.001


def test_the_newest_point_of_a_voxel_is_shown():
    grown = GrowingMap(voxel=1.0)
    grown.add(np.array([[0.2, 0.2, 0.2]]), np.array([[1, 1, 1]], np.uint8))
    grown.add(np.array([[0.7, 0.7, 0.7]]), np.array([[2, 2, 2]], np.uint8))
    points, colors = grown.cloud()
    assert points.tolist() == [[0.7, 0.7, 0.7]] and colors.tolist() == [[2, 2, 2]]


def test_the_mouse_reads_the_depth():
    depth = np.full((240, 320), 3.21)
    depth[:, :160], depth[:120, 160:] = np.nan, np.inf
    grid = depth_grid(depth.astype(np.float32))
    assert grid.shape == (72, GRID)
    assert (grid[:, :48] == UNKNOWN).all() and (grid[:36, 48:] == FAR).all()
    assert (grid[36:, 48:] == 321).all()


def test_a_picture_without_any_depth_is_a_picture():
    html = picture_html(np.zeros((240, 320, 3), np.uint8), np.full((240, 320), np.nan, "f"), "m")
    assert html.count("<img") == 1 and len(html) < 100_000


def test_words_of_a_node_that_works_and_of_one_that_does_not():
    assert status_words(None) == NOTHING_HEARD
    status = Status(window_rate=4.0, latency_median=0.123, scale=0.5, input_rates=[9.96])
    status.scale_source, status.scale_points, status.depth_error = "parallax", 120, 0.034
    status.dropped_reasons, status.dropped_counts = ["no_pose", "time_jump"], [3, 0]
    words = status_words(status)
    assert "All is well" in words and "10.0 Hz" in words and "123 ms" in words
    assert "from parallax, 120 points, error 3%" in words
    assert "| dropped: no_pose | 3 |" in words and "time_jump" not in words
    status.level, status.reason = Status.WARN, "camera <b>left</b> | is silent"
    words = status_words(status)
    assert "color" in words and "&lt;b>left" in words and "\\| is silent" in words


@pytest.mark.parametrize("name", ["nothing.glb", "text.txt"])
def test_what_cannot_be_shown_is_said(name, tmp_path):
    (tmp_path / "text.txt").write_text("no scene")
    with pytest.raises(ViewFileError, match=re.escape(name)):
        check(tmp_path / name)
    assert is_bag(tmp_path)


def test_every_name_that_a_bag_has_is_taken(tmp_path):
    for name in ("run.mcap", "run.db3", "run.mcap.zstd", "run.db3.zstd"):
        (tmp_path / name).touch()
        check(tmp_path / name)
        assert is_bag(tmp_path / name)


def test_a_frame_comes_out_once_and_what_stays_incomplete_is_not_kept():
    parts, came = FrameParts(), []
    for stamp_ns in range(1, 40):
        head = messages.header("camera", stamp_ns)
        depth = messages.depth_message(np.ones((240, 320), np.float32), "32FC1", head)
        came += parts.add("left", DEPTH, depth)
        if stamp_ns % 2:  # of the others nothing but the depth comes
            rgb = messages.image_message(np.zeros((240, 320, 3), np.uint8), "rgb8", head)
            came += parts.add("left", IMAGE, rgb)
            came += parts.add("left", DEPTH_INFO, messages.camera_info_message(CAMERA, head))
        assert len(parts._parts) <= UNFINISHED
    expected = list(range(1, 40 - UNFINISHED, 2))
    assert [f.stamp_ns for f in came] == expected and came[0].T_world_cam is None
    assert {f.unit for f in came} == {""}


@pytest.mark.parametrize("scale, unit", [(0.4, "m"), (np.nan, "")])
def test_depth_is_called_metres_only_where_it_is(page, tmp_path, scale, unit):
    """Of a bag of results, too."""
    head = messages.header("camera", 1)
    with BagWriter(tmp_path / "bag") as bag:
        rgb = np.zeros((240, 320, 3), np.uint8)
        bag.write("/da3/image_rect", 1, messages.image_message(rgb, "rgb8", head))
        depth = np.full((240, 320), 2.5, np.float32)
        bag.write("/da3/depth/image", 1, messages.depth_message(depth, "32FC1", head))
        bag.write("/da3/depth/camera_info", 1, messages.camera_info_message(CAMERA, head))
        for known in (np.nan, scale):
            bag.write("/da3/camera_poses", 1, CameraPoses(header=head, scale=known))
    (shown,) = bag_frames(tmp_path / "bag")
    assert shown.unit == unit
    page.show_frame(shown)
    assert f'data-unit="{unit}"' in page._pictures[""].content


GAUSSIAN = ["x", "y", "z", "f_dc_0", "f_dc_1", "f_dc_2", "opacity"]
GAUSSIAN += [f"scale_{i}" for i in range(3)] + [f"rot_{i}" for i in range(4)]


def write_points(path, **columns):
    values = np.stack(list(columns.values()), axis=-1)
    kinds = [(n, "u1" if n in ("red", "green", "blue") else "f8") for n in columns]
    rows = np.array([tuple(row) for row in values], dtype=kinds)
    PlyData([PlyElement.describe(rows, "vertex")]).write(path)
    return path


@pytest.fixture(scope="module")
def page():
    page = Page(port=8792)
    yield page
    page.close()


def test_files_of_every_kind_are_shown(page, tmp_path):
    """Of a world at UTM coordinates, too: what is sent is float32, around the page's origin."""
    east = 500_000.0 + np.arange(5)
    axes = {"x": east, "y": np.full(5, 5.4e6), "z": np.zeros(5)}
    colors = {name: np.full(5, 7) for name in ("red", "green", "blue")}
    points = write_points(tmp_path / "points.ply", **axes, **colors)
    splats = write_points(
        tmp_path / "splats.ply", **axes, **{name: np.zeros(5) + 0.5 for name in GAUSSIAN[3:]}
    )
    box = trimesh.creation.box((1, 1, 1))
    box.export(tmp_path / "mesh.ply"), box.export(tmp_path / "mesh.glb")
    assert add_file(page, points) == "5 points"
    np.testing.assert_allclose(page.origin, (500_002, 5.4e6, 0), atol=1)
    shown = page.server.scene.get_handle_by_name("/file").points
    np.testing.assert_allclose(np.ptp(shown[:, 0]), 4, atol=1e-3)
    assert add_file(page, splats) == "5 3D Gaussians"
    assert add_file(page, tmp_path / "mesh.ply") == "mesh of 12 triangles"
    assert add_file(page, tmp_path / "mesh.glb") == "glTF scene"


def test_a_damaged_file_is_said(page, tmp_path):
    (tmp_path / "cut.ply").write_bytes(b"ply\nformat binary_little_endian 1.0\nelement vertex 9")
    with pytest.raises(ViewFileError, match="cut.ply cannot be read as PLY"):
        add_file(page, tmp_path / "cut.ply")


def test_text_of_strangers_is_text():
    evil = "![x](http://somewhere/?x) [y](javascript:z) <img src=x> | # `a`\n\n**b** \x1b[2J"
    status = Status(level=Status.WARN, reason=evil, model=evil, license=evil)
    words = status_words(status)
    model = next(line for line in words.splitlines() if line.startswith("| model"))
    for mark in ("![", "](", "<img", "| #", "\n\n**b", "\x1b"):
        assert mark not in words.partition("</span>")[0] and mark not in model
    assert r"\!\[x\]\(http\://" in words


def test_a_status_of_a_million_rows_is_cut():
    status = Status(dropped_reasons=["x"] * 10**5, dropped_counts=[1] * 10**5)
    status.input_rates = [1.0] * 10**5
    assert len(status_words(status)) < 10_000


@pytest.mark.parametrize(
    "aspect, fov, wxyz",
    [
        (float("nan"), 1.0, (1, 0, 0, 0)),
        (float("inf"), 1.0, (1, 0, 0, 0)),
        (1e9, 1.0, (1, 0, 0, 0)),
        (1.0, 0.0, (1, 0, 0, 0)),
        (1.0, float("nan"), (1, 0, 0, 0)),
        (1.0, 1.0, (0, 0, 0, 0)),
        (1.0, 1.0, (float("nan"), 0, 0, 0)),
    ],
)
@pytest.mark.filterwarnings("ignore::RuntimeWarning")
def test_a_viewpoint_that_no_browser_has_is_one_sentence(aspect, fov, wxyz):
    camera = SimpleNamespace(aspect=aspect, fov=fov, wxyz=np.float64(wxyz), position=np.zeros(3))
    with pytest.raises(ValueError):
        viewpoint(camera)


def test_a_picture_that_is_a_line_is_not_shown():
    """In the width of the page it would have millions of rows."""
    K = np.array([[100.0, 0, 0], [0, 100, 10], [0, 0, 1]])
    for height, is_shown in ((8, True), (20_000, False)):
        head = messages.header("camera", 1)
        parts = {
            DEPTH: messages.depth_message(np.ones((height, 1), np.float32), "32FC1", head),
            IMAGE: messages.image_message(np.zeros((height, 1, 3), np.uint8), "rgb8", head),
            DEPTH_INFO: messages.camera_info_message(CameraModel(1, height, K), head),
        }
        gathered, shown = FrameParts(), []
        for part, msg in parts.items():
            shown += gathered.add("", part, msg, wanted=parts)
        assert bool(shown) == is_shown


@pytest.mark.parametrize(
    "arguments", [("--port", "70000"), ("--port", "-1"), ("--host", "no.such.host.invalid")]
)
def test_an_address_that_cannot_be_served_is_said(arguments, capsys):
    with pytest.raises(SystemExit):
        parse_arguments([*arguments])
    assert f"{arguments[0]} is {arguments[1]}" in capsys.readouterr().err.splitlines()[-1]


@pytest.mark.parametrize(
    ("arguments", "is_public"),
    [((), False), (("--host", "localhost"), False), (("--host", "0.0.0.0"), True)],
)
def test_a_page_for_all_of_the_network_says_that_it_has_no_password(tmp_path, arguments, is_public):
    file = tmp_path / "box.ply"
    trimesh.creation.box().export(file)
    page = Process("da3_ros.commands.view", str(file), *arguments)
    try:
        page.wait_for("open http://")
        assert bool(page.matching("has no password")) == is_public
        assert page.stop() == 0
    finally:
        page.kill()
