"""The ray-cast world: its depth, its pictures and its poses against geometry computed otherwise."""

import numpy as np
import pytest
import torch
import trimesh

from da3_ros.synthetic import ray_caster
from da3_ros.synthetic.ray_caster import develop, render
from da3_ros.synthetic.room import (
    CAMERA,
    SIZE,
    demo_path,
    look,
    render_room,
    render_room_frame,
)
from da3_ros.synthetic.scene_builder import SceneBuilder, join, yaw_rotation
from da3_ros.synthetic.textures import KINDS, LEVEL_TEXELS, Atlas
from da3_ros.synthetic.textures import SIZE as TEXELS
from tools.training import paths, scenes

K = torch.tensor([[50.0, 0, 31.5], [0, 50, 23.5], [0, 0, 1]])[None, None]


@pytest.fixture(scope="module")
def atlas():
    return Atlas.procedural(0, len(KINDS))


def see(builder, T_world_cam, atlas, **options):
    scene = builder.build()
    return render(scene, atlas, torch.tensor(T_world_cam)[None, None], K, 48, 64, **options)


def lit_builder():
    builder = SceneBuilder()
    builder.light((0, 0, 2), (1, 1, 1), 3.0)
    return builder


def mesh_depth(mesh, T_world_cam):
    """Depth along z by trimesh's own ray caster."""
    v, u = np.mgrid[:48, :64]
    rays = np.stack([(u - 31.5) / 50, (v - 23.5) / 50, np.ones_like(u)], axis=-1).reshape(-1, 3)
    world = rays @ T_world_cam[:3, :3].T
    origins = np.broadcast_to(T_world_cam[:3, 3], world.shape)
    points, index, _ = mesh.ray.intersects_location(origins, world, multiple_hits=False)
    depth = np.full(len(world), np.inf)
    depth[index] = ((points - T_world_cam[:3, 3]) @ T_world_cam[:3, :3])[:, 2]
    return depth.reshape(48, 64)


SHAPES = {
    "box": (
        lambda b: b.box((2, 0.2, 0.1), (0.8, 0.6, 1.0), 0, R=yaw_rotation(0.5)),
        lambda: trimesh.creation.box((0.8, 0.6, 1.0)),
        yaw_rotation(0.5),
    ),
    "cylinder": (
        lambda b: b.cylinder((2, 0.2, 0.1), 0.4, 0.9, 0),
        lambda: trimesh.creation.cylinder(0.4, 0.9, sections=256),
        np.eye(3),
    ),
    "ball": (
        lambda b: b.ball((2, 0.2, 0.1), 0.5, 0),
        lambda: trimesh.creation.icosphere(5, 0.5),
        np.eye(3),
    ),
}


@pytest.mark.parametrize("shape", SHAPES)
def test_depth_equals_that_of_a_mesh(shape, atlas):
    add, make_mesh, R = SHAPES[shape]
    builder = lit_builder()
    add(builder)
    T = look(np.array([0.0, 0.0, 0.3]), 0.1, -0.1, 0.2)
    _, depth = see(builder, T, atlas)
    mesh = make_mesh()
    placed = np.eye(4)
    placed[:3, :3], placed[:3, 3] = R, (2, 0.2, 0.1)
    mesh.apply_transform(placed)
    expected = mesh_depth(mesh, T)
    seen = depth[0, 0].numpy()
    agree = np.isfinite(seen) == np.isfinite(expected)
    # Outlines of the mesh are polygons; a few pixels along them may differ.
    assert agree.mean() > 0.99
    both = np.isfinite(seen) & np.isfinite(expected)
    assert both.sum() > 300
    assert np.median(np.abs(seen[both] - expected[both])) < 1e-3


def test_room_seen_from_inside_is_as_far_as_its_walls(atlas):
    builder = lit_builder()
    builder.box((0, 0, 0), (6, 4, 2), 0, inside=True)
    _, depth = see(builder, look(np.zeros(3), 0.0), atlas)
    assert depth[0, 0, 24, 32] == pytest.approx(3.0, abs=1e-4)
    assert depth.isfinite().all()


def test_depth_is_along_z_and_poses_move_it(atlas):
    builder = lit_builder()
    builder.box((3, 0, 0), (2, 20, 20), 0)
    _, near = see(builder, look(np.array([0.5, 0, 0]), 0.0), atlas)
    # A wall square to the view has one depth everywhere, not one distance.
    torch.testing.assert_close(near, torch.full_like(near, 1.5))


def test_sky_is_infinite_and_blue(atlas):
    builder = lit_builder()
    builder.box((0, 0, -5), (1, 1, 1), 0)
    light, depth = see(builder, look(np.zeros(3), 0.0, 0.8), atlas)
    assert depth.isinf().all()
    assert (light[..., 2] > light[..., 0]).all()


def test_shadows_darken_and_nothing_else_changes(atlas):
    builder = SceneBuilder()
    builder.light((0, 0, 4), (1, 1, 1), 5.0)
    builder.box((0, 0, -0.1), (10, 10, 0.2), 0)
    builder.ball((0, 0, 1.5), 0.5, 1)
    T = look(np.array([-2.5, 0, 1.5]), 0.0, -0.6)
    dark, _ = see(builder, T, atlas, shadows=True)
    plain, _ = see(builder, T, atlas, shadows=False)
    assert (dark <= plain + 1e-6).all()
    assert (dark < 0.8 * plain).any()


def test_tiles_with_culling_equal_the_whole_at_once(atlas):
    rng = np.random.default_rng(5)
    builder, area = scenes.random_scene(rng, atlas.count)
    path = paths.random_path(rng, builder, area, 2)
    scene = scenes.build(builder)
    T = torch.tensor(np.stack(path))[None].float()
    intrinsics = K.expand(1, 2, 3, 3)
    light, depth = render(scene, atlas, T, intrinsics, 48, 64)
    rays = ray_caster._pixel_rays(intrinsics, 48, 64)
    rays = torch.einsum("svij,jsvhw->isvhw", T[..., :3, :3], rays)
    whole, whole_depth = ray_caster._trace_chunks(
        scene, atlas, T[..., :3, 3].movedim(-1, 0), rays, 1 / intrinsics[..., 0, 0], True
    )
    torch.testing.assert_close(depth, whole_depth)
    torch.testing.assert_close(light, whole.movedim(0, -1), atol=1e-4, rtol=1e-4)


def test_batched_scenes_equal_single_ones(atlas):
    rng = np.random.default_rng(2)
    built = [scenes.random_scene(rng, atlas.count) for _ in range(2)]
    singles = [scenes.build(b) for b, _ in built]
    T = torch.tensor(np.stack([look((low + high) / 2, 0.3) for _, (low, high) in built]))[:, None]
    both, _ = render(join(singles), atlas, T, K.expand(2, 1, 3, 3), 28, 42)
    for i, single in enumerate(singles):
        alone, _ = render(single, atlas, T[i : i + 1], K, 28, 42)
        torch.testing.assert_close(alone[0], both[i])


def test_the_same_seed_gives_the_same_scene(atlas):
    first, second = (scenes.random_scene(np.random.default_rng(9), 8)[0] for _ in range(2))
    for a, b in zip(vars(scenes.build(first)).values(), vars(scenes.build(second)).values()):
        assert torch.equal(torch.as_tensor(a), torch.as_tensor(b))


def test_finest_level_of_a_texture_is_the_texture():
    image = np.random.default_rng(0).uniform(0, 1, (TEXELS, TEXELS, 3))
    atlas = Atlas.from_images([image, image[::-1]])
    assert len(atlas.texels) == 2 * LEVEL_TEXELS
    at = (torch.arange(TEXELS) + 0.5) / TEXELS
    v, u = torch.meshgrid(at, at, indexing="ij")
    uv = torch.stack([u, v], dim=-1)
    one = torch.ones(TEXELS, TEXELS, dtype=torch.long)
    read = atlas.sample(one, uv + 3.0, torch.zeros(TEXELS, TEXELS))
    np.testing.assert_allclose(read.numpy(), image[::-1], atol=0.01)
    coarse = atlas.sample(one, uv, torch.full((TEXELS, TEXELS), 99.0))
    np.testing.assert_allclose(coarse[0, 0].numpy(), image.mean((0, 1)), atol=0.02)


def test_room_views_agree_where_they_overlap():
    """A pixel of one view, lifted by its depth into another view, lands at that view's depth."""
    a, b = render_room_frame(10), render_room_frame(11)
    points = (CAMERA.rays() * a.depth[..., None]).reshape(-1, 3)
    T = np.linalg.inv(b.T_world_cam) @ a.T_world_cam
    moved = points @ T[:3, :3].T + T[:3, 3]
    pixels = np.round(CAMERA.project(moved))
    inside = (pixels >= 0).all(1) & (pixels[:, 0] < 640) & (pixels[:, 1] < 480)
    column, row = pixels[inside].astype(int).T
    error = np.abs(b.depth[row, column] - moved[inside, 2]) / moved[inside, 2]
    assert inside.mean() > 0.6
    assert np.mean(error < 0.01) > 0.9
    color = np.abs(
        b.image[row, column].astype(int) - a.image.reshape(-1, 3)[inside].astype(int)
    ).max(1)
    assert np.median(color) < 6


def test_demo_path_is_a_loop_inside_the_room_of_even_small_steps():
    path = demo_path(120)
    centres = path[:, :3, 3]
    steps = np.linalg.norm(np.diff(np.concatenate([centres, centres[:1]]), axis=0), axis=1)
    assert 0.03 < steps.min() and steps.max() < 0.12
    assert (centres > 0.2).all() and (centres < np.array(SIZE) - 0.2).all()
    assert np.allclose(path[:, :3, :3] @ path[:, :3, :3].transpose(0, 2, 1), np.eye(3))


def test_the_room_is_never_closer_than_a_robot_would_go():
    depth = [render_room(T).depth for T in demo_path(8)]
    assert min(d.min() for d in depth) > 0.3
    assert max(d.max() for d in depth) < np.linalg.norm(SIZE)


@pytest.mark.parametrize("seed", range(4))
def test_random_paths_keep_clear_of_everything(seed, atlas):
    rng = np.random.default_rng(seed)
    builder, area = scenes.random_scene(rng, atlas.count)
    path = paths.random_path(rng, builder, area, 6)
    assert path is not None
    assert all(builder.is_free(T[:3, 3], paths.CLEARANCE) for T in path)


def test_developed_light_fills_the_range():
    image = develop(torch.tensor([0.0, 0.5, 1.0, 7.0]))
    assert image.tolist() == [0, 186, 255, 255]
