"""Each recipe against geometry known in closed form; files read back by another library."""

import cv2
import numpy as np
import pytest
import tifffile
import trimesh

from da3_ros.core import poses
from da3_ros.core.camera_model import CameraError, CameraModel
from da3_ros.core.scene.depth_recipes import (
    Visibility,
    nadir_camera,
    nadir_height_field,
    save_float_tiff,
    save_grey_png,
    stereo_pair,
    visibility,
)
from da3_ros.core.scene.mesh import Mesh

CAMERA = CameraModel(80, 60, np.array([[60.0, 0, 39.5], [0, 60, 29.5], [0, 0, 1]]))


def quad(z, half, x=0.0):
    corners = half * np.array([[-1, -1], [-1, 1], [1, 1], [1, -1]]) + [x, 0]
    return np.c_[corners, np.full(4, z)]


def two_walls():
    """A small square at 2 m before a large one at 5 m, fronts towards the origin."""
    faces = np.array([[0, 1, 2], [0, 2, 3]])
    return Mesh(np.r_[quad(2.0, 0.4), quad(5.0, 2.5)], np.r_[faces, faces + 4])


def rendered():
    return two_walls().render_depth(np.eye(4), CAMERA, add_alpha=False)


def test_grey_png(tmp_path):
    depth = rendered()
    near, far = save_grey_png(tmp_path / "depth.png", depth)
    grey = cv2.imread(str(tmp_path / "depth.png"), cv2.IMREAD_UNCHANGED)
    assert grey.dtype == np.uint8 and grey.shape == (60, 80)
    np.testing.assert_allclose((near, far), (2.0, 5.0), rtol=1e-6)
    assert set(np.unique(grey)) == {0, 1, 255}
    np.testing.assert_array_equal(grey == 0, np.isnan(depth))
    back = near + (grey - 1.0) / 254 * (far - near)
    np.testing.assert_allclose(back[grey > 0], depth[grey > 0], rtol=1e-6)


def test_grey_png_of_one_depth_and_of_none(tmp_path):
    save_grey_png(tmp_path / "flat.png", np.full((3, 3), 4.0, np.float32))
    assert (cv2.imread(str(tmp_path / "flat.png"), cv2.IMREAD_UNCHANGED) == 1).all()
    with pytest.raises(ValueError, match="no pixel"):
        save_grey_png(tmp_path / "none.png", np.full((3, 3), np.nan))
    assert not (tmp_path / "none.png").exists()


def test_float_tiff_is_lossless(tmp_path):
    depth = rendered() * np.float32(np.pi)
    save_float_tiff(tmp_path / "depth.tiff", depth)
    read = tifffile.imread(tmp_path / "depth.tiff")
    assert read.dtype == np.float32
    np.testing.assert_array_equal(read, depth)


def test_visibility():
    points = [
        [0, 0, 1.0],  # before everything
        [0, 0, 2.0],  # on the small square
        [0, 0, 3.0],  # behind it
        [1.5, 0, 4.0],  # beside it, before the large one
        [1.5, 0, 6.0],  # behind the large one
        [9, 0, 2.0],  # outside the picture
        [0, 0, -1.0],  # behind the camera
    ]
    state = visibility(points, rendered(), np.eye(4), CAMERA)
    V = Visibility
    expected = [V.VISIBLE, V.VISIBLE, V.OCCLUDED, V.VISIBLE, V.OCCLUDED, V.OUTSIDE, V.OUTSIDE]
    assert state.tolist() == expected


def test_recipes_take_depth_with_alpha(tmp_path):
    both = two_walls().render_depth(np.eye(4), CAMERA)
    assert both.shape == (60, 80, 2)
    assert save_grey_png(tmp_path / "a.png", both) == save_grey_png(tmp_path / "b.png", rendered())
    save_float_tiff(tmp_path / "depth.tiff", both)
    np.testing.assert_array_equal(tifffile.imread(tmp_path / "depth.tiff"), rendered())
    points = [[0, 0, 1.0], [0, 0, 3.0], [9, 0, 2.0]]
    np.testing.assert_array_equal(
        visibility(points, both, np.eye(4), CAMERA),
        visibility(points, rendered(), np.eye(4), CAMERA),
    )
    with pytest.raises(ValueError, match=r"must be \(H, W\)"):
        save_grey_png(tmp_path / "c.png", np.zeros((60, 80, 3), np.float32))


LENSES = [
    CAMERA,
    CameraModel(80, 60, CAMERA.K, "plumb_bob", np.array([-0.2, 0.05, 0, 0])),
    CameraModel(80, 60, np.diag([22.0, 22, 1]) + CAMERA.K - np.diag([60, 60, 1]), "equidistant",
                np.zeros(4)),
]  # fmt: skip


@pytest.mark.parametrize("camera", LENSES, ids=lambda c: c.distortion_model)
def test_points_of_a_slanted_surface_are_visible_and_those_behind_it_not(camera):
    """A plane at 80 degrees to the axis: a pixel's footprint spans decimetres of depth."""
    slope = np.tan(np.radians(80))
    corners = np.array([[-5.0, -8], [-5, 8], [1.2, 8], [1.2, -8]])
    z = 8 + slope * corners[:, 0]
    wall = Mesh(np.c_[corners, z], np.array([[0, 1, 2], [0, 2, 3]]))
    rng = np.random.default_rng(0)
    x, y = rng.uniform(-1, 0.9, 4000), rng.uniform(-4, 4, 4000)
    points = np.c_[x, y, 8 + slope * x]
    points = points[points[:, 2] > 1.0]
    depth = wall.render_depth(np.eye(4), camera, cull_faces=False)
    state = visibility(points, depth, np.eye(4), camera, tolerance=0.02)
    inside = state != Visibility.OUTSIDE
    assert inside.sum() > 500 and (state[inside] == Visibility.VISIBLE).mean() > 0.999
    behind = visibility(points * 1.25, depth, np.eye(4), camera, tolerance=0.02)
    assert (behind[inside] == Visibility.OCCLUDED).mean() > 0.8


def test_visibility_beyond_90_degrees():
    box = trimesh.creation.box((4, 4, 4))
    camera = CameraModel(300, 300, np.array([[60.0, 0, 149.5], [0, 60, 149.5], [0, 0, 1]]),
                         "equidistant", np.zeros(4))  # fmt: skip
    mesh = Mesh(box.vertices, box.faces)
    depth = mesh.render_depth(np.eye(4), camera, cull_faces=False)
    directions = np.array([[1, 0, -0.5], [1, 0.2, 0.0], [0.3, 1, -0.9], [0, 0.1, 1]])
    on_wall = 2 * directions / np.abs(directions).max(axis=1, keepdims=True)
    V = Visibility
    assert (visibility(0.9 * on_wall, depth, np.eye(4), camera) == V.VISIBLE).all()
    assert (visibility(1.2 * on_wall[[0, 2, 3]], depth, np.eye(4), camera) == V.OCCLUDED).all()


def test_visibility_before_the_background():
    nothing = np.full((60, 80), np.nan, np.float32)
    assert visibility([[0, 0, 50.0]], nothing, np.eye(4), CAMERA) == [Visibility.VISIBLE]


def test_stereo_pair():
    turned = poses.from_quat_xyzw([0, 0, np.sin(0.2), np.cos(0.2)], [0.0, 0, 0])
    pair = stereo_pair(two_walls(), turned, CAMERA, baseline=0.1)
    np.testing.assert_allclose(
        poses.inverse(turned) @ pair.T_world_right,
        poses.compose(np.eye(3), [0.1, 0, 0]),
        atol=1e-12,
    )
    np.testing.assert_allclose(pair.left_disparity, 6.0 / pair.left_depth, rtol=1e-6)
    # 60 px * 0.1 m: 3 px at 2 m, 1.2 px at 5 m.
    seen = pair.left_disparity[np.isfinite(pair.left_disparity)]
    np.testing.assert_allclose(np.unique(np.round(seen, 4)), [1.2, 3.0])
    # The near square in the right image is the left one moved by its disparity.
    near_left, near_right = pair.left_depth < 2.1, pair.right_depth < 2.1
    np.testing.assert_array_equal(near_right[:, :-3], near_left[:, 3:])


def test_stereo_needs_a_rectified_camera():
    lens = CameraModel(80, 60, CAMERA.K, "plumb_bob", np.full(4, 0.1))
    with pytest.raises(CameraError, match="rectified"):
        stereo_pair(two_walls(), np.eye(4), lens, 0.1)


def room():
    """A floor at 0 with a 1 x 1 x 0.5 m table, under a ceiling at 2.5 m that faces down."""
    parts = [
        (quad(0.0, 3.0)[::-1], [[0, 1, 2], [0, 2, 3]]),
        (quad(2.5, 3.0), [[0, 1, 2], [0, 2, 3]]),
    ]
    box = trimesh.creation.box((1, 1, 0.5))
    parts.append((box.vertices + [1.5, 0.5, 0.25], box.faces))
    first = np.cumsum([0] + [len(v) for v, _ in parts])
    return Mesh(
        np.concatenate([v for v, _ in parts]),
        np.concatenate([np.asarray(f) + i for (_, f), i in zip(parts, first)]),
    )


def test_nadir_height_field():
    field = nadir_height_field(room(), (-4.0, -2.0, 4.0, 2.0), 0.1)
    assert field.height.shape == (40, 80) and field.height.dtype == np.float32
    x = -4.0 + (np.arange(80) + 0.5) * 0.1
    y = 2.0 - (np.arange(40) + 0.5) * 0.1
    x, y = np.meshgrid(x, y)
    expected = np.where((abs(x - 1.5) < 0.5) & (abs(y - 0.5) < 0.5), 0.5, 0.0)
    expected[abs(x) > 3.0] = np.nan
    np.testing.assert_allclose(field.height, expected, atol=1e-5)
    roof = nadir_height_field(room(), (-1.0, -1.0, 1.0, 1.0), 0.1, cull_faces=False)
    np.testing.assert_allclose(roof.height, 2.5, atol=1e-5)


def test_height_field_in_utm_coordinates():
    place = np.array([512345.37, 5404321.62, 431.18])
    here, there = room(), Mesh(room().vertices + place, room().faces)
    near = nadir_height_field(here, (-4.0, -2.0, 4.0, 2.0), 0.1)
    x, y = place[:2]
    far = nadir_height_field(there, (x - 4.0, y - 2.0, x + 4.0, y + 2.0), 0.1)
    off = np.abs(far.height - (near.height + place[2]))
    # The edge of the table may fall on the other side of a pixel's centre.
    assert (np.isnan(far.height) != np.isnan(near.height)).sum() <= 40
    assert np.nanquantile(off, 0.95) < 1e-4


def test_nadir_camera_sees_the_whole_mesh():
    mesh = Mesh(room().vertices + [512345.0, 5404321.0, 400.0], room().faces)
    transform, camera = nadir_camera(mesh, cell=0.05, height=30.0)
    T_cam_world = poses.inverse(transform)
    pixels = camera.project(mesh.vertices @ T_cam_world[:3, :3].T + T_cam_world[:3, 3])
    assert (pixels >= -0.5).all() and (pixels <= [camera.width - 0.5, camera.height - 0.5]).all()
    depth = mesh.render_depth(transform, camera, add_alpha=False)  # ceilings show their back
    heights = transform[2, 3] - depth
    np.testing.assert_allclose(np.nanmin(heights), 400.0, atol=1e-4)
    np.testing.assert_allclose(np.nanmax(heights), 400.5, atol=1e-4)
    assert np.isfinite(depth).mean() > 0.75
    with pytest.raises(ValueError, match="positive"):
        nadir_camera(mesh, 0.0, 30.0)


def test_height_field_and_its_world_file(tmp_path):
    field = nadir_height_field(room(), (-4.0, -2.0, 4.0, 2.0), 0.1)
    field.save(tmp_path / "floor.tif")
    a, d, b, e, c, f = map(float, (tmp_path / "floor.tfw").read_text().split())
    heights = tifffile.imread(tmp_path / "floor.tif")
    # A world file gives the centre of pixel (column, row): x = a column + b row + c.
    row, column = np.argwhere(heights > 0.4)[0]
    np.testing.assert_allclose((a * column + b * row + c, d * column + e * row + f), (1.05, 0.95))


@pytest.mark.parametrize(
    "area, cell",
    [
        ((0, 0, 0, 1), 0.1),
        ((0, 1, 1, 0), 0.1),
        ((0, 0, 1, 1), 0.0),
        ((0, 0, np.inf, 1), 0.1),
        ((0, 0, 1, 1), np.nan),
    ],
)
def test_an_area_must_have_a_size(area, cell):
    with pytest.raises(ValueError, match="positive"):
        nadir_height_field(room(), area, cell)


def test_no_memory_is_asked_for_pictures_beyond_all_bounds():
    with pytest.raises(ValueError, match="1e\\+06 x 1e\\+06 pixels are more than .* larger cells"):
        nadir_height_field(room(), (0, 0, 1, 1), 1e-6)
    with pytest.raises(ValueError, match="larger cells"):
        nadir_camera(room(), 1e-9, 10)
    for height in (np.inf, np.nan):
        with pytest.raises(ValueError, match="must be positive"):
            nadir_camera(room(), 0.1, height)


def test_depth_of_another_size_is_not_compared():
    with pytest.raises(ValueError, match=r"depth is \(30, 40\), its calibration \(60, 80\)"):
        visibility(np.zeros((1, 3)), np.ones((30, 40)), np.eye(4), CAMERA)


def test_a_baseline_is_a_number():
    with pytest.raises(ValueError, match="baseline is nan"):
        stereo_pair(room(), np.eye(4), CAMERA, np.nan)


def test_pictures_have_their_format_whatever_their_name(tmp_path):
    save_float_tiff(tmp_path / "depth", np.ones((3, 4)))
    assert tifffile.imread(tmp_path / "depth").shape == (3, 4)
    save_grey_png(tmp_path / "grey", np.ones((3, 4)))
    assert (tmp_path / "grey").read_bytes().startswith(b"\x89PNG")
