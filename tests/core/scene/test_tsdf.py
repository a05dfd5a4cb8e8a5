"""Fusion against surfaces known in closed form, the synthetic room and a real kitchen."""

import cv2
import numpy as np
import pytest
import torch
import trimesh

from da3_ros.core import poses
from da3_ros.core.camera_model import CameraModel
from da3_ros.core.colormap import UNCOLORED
from da3_ros.core.scene.mesh import MeshError
from da3_ros.core.scene.one_thread import one_thread
from da3_ros.core.scene.surface import extract_mesh, surface_points
from da3_ros.core.scene.tsdf import TsdfVolume
from da3_ros.synthetic.room import CAMERA, demo_path, render_room

SMALL = CameraModel(160, 120, np.array([[120.0, 0, 79.5], [0, 120, 59.5], [0, 0, 1]]))


def at(x=0.0, y=0.0, z=0.0):
    return poses.compose(np.eye(3), np.array([x, y, z], float))


def wall(distance, camera=SMALL):
    return np.full((camera.height, camera.width), distance, np.float32)


def ball_depth(T_world_cam, radius, camera=SMALL):
    """Exact depth of a ball at the world's origin, +Inf beside it."""
    rays = camera.rays()
    centre = poses.inverse(T_world_cam)[:3, 3]
    a, b, c = (rays**2).sum(-1), rays @ centre, centre @ centre - radius**2
    under_root = b * b - a * c
    z = (b - np.sqrt(np.maximum(under_root, 0))) / a
    return np.where(under_root > 0, z, np.inf).astype(np.float32)


def around(n, distance):
    """n poses on a sphere that look at the origin."""
    for i in range(n):
        height = 1 - 2 * (i + 0.5) / n
        angle = i * 2.399963
        eye = np.array([np.cos(angle), np.sin(angle), 0]) * np.sqrt(1 - height**2)
        forward = -(eye + [0, 0, height])
        right = np.cross(forward, [0.3, 0.2, 0.9])
        right /= np.linalg.norm(right)
        yield poses.compose(
            np.stack([right, np.cross(forward, right), forward], axis=1), -forward * distance
        )


def test_a_ball_becomes_one_closed_surface_across_blocks_and_chunks():
    """Radius 0.9 m at 2.5 cm: 4.5 blocks to each side of the origin, where chunks meet."""
    volume = TsdfVolume(0.025, max_range=5.0)
    for T in around(30, 2.4):
        volume.integrate(ball_depth(T, 0.9), T, SMALL)
    mesh = extract_mesh(volume)
    solid = trimesh.Trimesh(mesh.vertices, mesh.faces, process=False)
    assert solid.is_watertight and solid.is_winding_consistent
    assert solid.euler_number == 2 and solid.body_count == 1
    np.testing.assert_allclose(solid.volume, 4 / 3 * np.pi * 0.9**3, rtol=0.02)  # positive: outward
    error = np.linalg.norm(mesh.vertices, axis=1) - 0.9
    assert np.median(np.abs(error)) < 0.25 * 0.025 and np.abs(error).max() < 0.025
    points, _ = surface_points(volume)
    assert np.abs(np.linalg.norm(points, axis=1) - 0.9).max() < 0.025


def test_two_windows_that_disagree_make_one_wall_weighted_by_confidence():
    volume = TsdfVolume(0.02)
    volume.integrate(wall(1.00), at(), SMALL, conf=np.full((120, 160), 3.0))
    volume.integrate(wall(1.04), at(), SMALL, conf=np.full((120, 160), 1.0))
    points, _ = surface_points(volume)
    np.testing.assert_allclose(points[:, 2], 1.01, atol=1e-4)


def test_a_pixel_without_confidence_changes_nothing():
    volume = TsdfVolume(0.02)
    volume.integrate(wall(1.0), at(), SMALL)
    for value in (np.nan, 0.0, -3.0):
        volume.integrate(wall(1.05), at(), SMALL, conf=np.full((120, 160), value))
    volume.integrate(wall(1.0), at(), SMALL, conf=np.full((120, 160), np.inf))
    np.testing.assert_allclose(surface_points(volume)[0][:, 2], 1.0, atol=1e-4)


def test_free_space_is_carved():
    volume = TsdfVolume(0.02)
    ghost = wall(2.0)
    ghost[40:80, 60:100] = 1.0
    volume.integrate(ghost, at(), SMALL)
    assert (surface_points(volume)[0][:, 2] < 1.5).any()
    for _ in range(12):
        volume.integrate(wall(2.0), at(), SMALL)
    assert (surface_points(volume)[0][:, 2] > 1.9).all()


def test_infinity_carves_and_nan_does_not():
    for value, remains in ((np.nan, True), (np.inf, False)):
        volume = TsdfVolume(0.02)
        volume.integrate(wall(1.0), at(), SMALL)
        for _ in range(12):
            volume.integrate(wall(value), at(), SMALL)
        assert (len(surface_points(volume)[0]) > 0) == remains


def test_unknown_depth_alone_makes_nothing():
    volume = TsdfVolume(0.02)
    for value in (np.nan, np.inf, -1.0, 0.0, 7.0):  # 7 m is beyond max_range
        volume.integrate(wall(value), at(), SMALL)
    assert volume.blocks.count == 0 and len(surface_points(volume)[0]) == 0
    with pytest.raises(MeshError, match="empty"):
        extract_mesh(volume)


def test_colors_follow_the_image():
    volume = TsdfVolume(0.02)
    image = np.zeros((120, 160, 3), np.uint8)
    image[:, :80], image[:, 80:] = (200, 30, 10), (0, 90, 250)
    volume.integrate(wall(1.0), at(), SMALL, image)
    mesh = extract_mesh(volume)
    points, colors = surface_points(volume)
    for position, color in ((points, colors), (mesh.vertices, mesh.vertex_colors)):
        assert (color[position[:, 0] < -0.02] == (200, 30, 10)).all()
        assert (color[position[:, 0] > 0.02] == (0, 90, 250)).all()


def test_without_pictures_the_surface_is_grey_not_black():
    volume = TsdfVolume(0.02)
    volume.integrate(wall(1.0), at(), SMALL)
    assert (extract_mesh(volume).vertex_colors == UNCOLORED).all()
    assert (surface_points(volume)[1] == UNCOLORED).all()


def test_a_black_picture_is_black():
    volume = TsdfVolume(0.02)
    volume.integrate(wall(1.0), at(), SMALL, np.zeros((120, 160, 3), np.uint8))
    assert (extract_mesh(volume).vertex_colors == 0).all()


@pytest.mark.parametrize("dtype", [np.float32, np.uint16])
def test_pictures_of_other_numbers_are_refused(dtype):
    with pytest.raises(ValueError, match="must be uint8"):
        TsdfVolume(0.02).integrate(wall(1.0), at(), SMALL, np.ones((120, 160, 3), dtype))


def test_pictures_that_may_not_be_written_to_are_taken_without_a_word(recwarn):
    """Those of a bag's messages are such."""
    image = np.full((*wall(2.0).shape, 3), 77, np.uint8)
    image.flags.writeable = False
    always = torch.is_warn_always_enabled()
    torch.set_warn_always(True)
    try:
        volume = TsdfVolume(0.05)
        volume.integrate(wall(2.0), at(), SMALL, image=image)
    finally:
        torch.set_warn_always(always)
    assert not recwarn and (extract_mesh(volume).vertex_colors == 77).all()


def test_exact_far_from_the_world_origin():
    """UTM-like coordinates: a wall 500 km out is as flat as one at home."""
    volume = TsdfVolume(0.02)
    volume.integrate(wall(1.0), at(-3.2e4, 1.1e4, 2.5e3), SMALL)
    distance = volume.blocks.tsdf[volume.blocks.weight > 0]
    home = TsdfVolume(0.02)
    home.integrate(wall(1.0), at(), SMALL)
    expected = home.blocks.tsdf[home.blocks.weight > 0]
    assert abs(len(distance) - len(expected)) < 0.02 * len(expected)
    assert distance.abs().min() < 0.05
    # 2500 m + 1 m is a multiple of the voxel: distances are multiples of a quarter of truncation.
    inside = distance[distance < 0.99]
    assert (4 * inside - (4 * inside).round()).abs().max() < 5e-3


@pytest.mark.parametrize(
    "odd",
    [
        {"depth": wall(np.nan)},
        {"depth": wall(np.inf)},
        {"depth": wall(9.0)},  # beyond max_range
        {"depth": wall(1.0), "conf": np.zeros((120, 160))},
    ],
)
def test_a_stray_pose_without_depth_costs_no_map(odd):
    volume = TsdfVolume(0.02)
    assert volume.integrate(wall(1.0), at(), SMALL) == 0
    points = surface_points(volume)[0]
    for x in (1e6, 1e12):
        assert volume.integrate(**(odd | {"T_world_cam": at(x), "camera": SMALL})) == 0
    assert volume.blocks.dropped == 0
    np.testing.assert_array_equal(surface_points(volume)[0], points)


def test_what_a_far_camera_costs_is_said():
    volume = TsdfVolume(0.02)
    volume.integrate(wall(1.0), at(), SMALL)
    there = volume.blocks.count
    assert volume.integrate(wall(1.0), at(1e6), SMALL) == there == volume.blocks.dropped
    assert volume.integrate(wall(1.0), at(1e6 + 0.1), SMALL) == 0


def test_the_bound_drops_the_farthest_and_counts_them():
    volume = TsdfVolume(0.05, max_range=3.0, max_blocks=60)
    for x in np.arange(0.0, 12.0, 0.5):
        volume.integrate(wall(2.0), at(x), SMALL)
        assert volume.blocks.count <= 60
    assert volume.blocks.dropped > 60
    centres = (volume.blocks.coords.numpy() + 0.5) * 0.4
    assert np.abs(centres[:, 0] - 11.5).max() < 2.5  # only the end of the way is left
    rows = volume.blocks.find(volume.blocks.coords)
    assert torch.equal(rows, torch.arange(volume.blocks.count))


def test_memory_is_flat_over_a_thousand_frames_of_a_moving_camera():
    volume = TsdfVolume(0.08, max_range=3.0, max_blocks=120)
    small = SMALL.scaled(width=40, height=30)
    held = []
    image = np.full((30, 40, 3), 9, np.uint8)
    for i in range(1000):
        volume.integrate(wall(2.0, small), at(x=0.1 * i), small, image)
        held.append(volume.blocks.nbytes)
    assert held[-1] == held[150] and volume.blocks.dropped > 500
    np.testing.assert_allclose(surface_points(volume)[0][:, 2], 2.0, atol=1e-3)


@pytest.mark.parametrize(
    "arguments, word",
    [
        ({"depth": wall(1.0)[:5]}, "depth has shape"),
        ({"image": np.zeros((2, 2, 3), np.uint8)}, "image has shape"),
        ({"conf": np.ones((3, 3))}, "conf has shape"),
        ({"T_world_cam": np.full((4, 4), np.nan)}, "T_world_cam: contains NaN"),
        ({"camera": CameraModel(160, 120, SMALL.K, "plumb_bob", np.full(5, 0.1))}, "lens"),
    ],
)
def test_bad_input_is_named(arguments, word):
    good = {"depth": wall(1.0), "T_world_cam": at(), "camera": SMALL}
    with pytest.raises(ValueError, match=word):
        TsdfVolume(0.02).integrate(**(good | arguments))


@one_thread()
def test_room_round_trip():
    """Exact depth -> fusion -> mesh -> rendered depth at poses in between: half a voxel."""
    voxel, camera = 0.04, CAMERA.scaled(width=160, height=120)
    path = demo_path(40)
    volume = TsdfVolume(voxel, max_range=6.0)
    for T in path[::2]:
        view = render_room(T, camera)
        volume.integrate(view.depth, T, camera, view.image)
    mesh = extract_mesh(volume)
    errors, holes = [], []
    for T in path[1::20]:
        rendered = mesh.render_depth(T, camera, add_alpha=False)
        truth = render_room(T, camera).depth
        errors.append(np.abs(rendered - truth)[np.isfinite(rendered) & np.isfinite(truth)])
        holes.append(np.isnan(rendered[np.isfinite(truth)]).mean())
    assert np.median(np.concatenate(errors)) < 0.5 * voxel
    assert np.mean(holes) < 0.05


def test_kitchen_at_held_out_poses(shared_data):
    """Sensor depth of a real kitchen, every third frame; in between median under 1 cm."""
    kitchen = shared_data / "7scenes_redkitchen"
    camera = CameraModel(640, 480, np.loadtxt(kitchen / "intrinsics.txt"))
    volume = TsdfVolume(0.02, max_range=4.0)
    names = sorted(p.stem for p in (kitchen / "depth").glob("*.png"))[:60]
    for name in names[::3]:
        volume.integrate(*kitchen_view(kitchen, name), camera)
    mesh = extract_mesh(volume)
    errors = []
    for name in names[1::12]:
        depth, T = kitchen_view(kitchen, name)
        errors.append((mesh.render_depth(T, camera, add_alpha=False) - depth)[depth < 4.0])
    errors = np.abs(np.concatenate(errors))
    assert np.isnan(errors).mean() < 0.2
    assert np.nanmedian(errors) < 0.01


def kitchen_view(kitchen, name):
    depth = cv2.imread(str(kitchen / f"depth/{name}.png"), cv2.IMREAD_UNCHANGED) / np.float32(1000)
    depth[depth == 0] = np.nan
    return depth, np.loadtxt(next((kitchen / "pose").glob(f"{name}*")))
