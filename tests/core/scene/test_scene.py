"""The scene as services and the thread that publishes use it together."""

import dataclasses
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
import trimesh

from da3_ros.core import poses
from da3_ros.core.camera_model import CameraModel
from da3_ros.core.config import SceneConfig
from da3_ros.core.scene.mesh import MeshError
from da3_ros.core.scene.scene import Scene
from da3_ros.core.scene.surface import extract_mesh

CAMERA = CameraModel(80, 60, np.array([[60.0, 0, 39.5], [0, 60, 29.5], [0, 0, 1]]))
WALL = np.full((60, 80), 2.0, np.float32)
CONFIG = SceneConfig(enabled=True, voxel_size=0.05)


@pytest.fixture
def box_file(tmp_path):
    trimesh.creation.box((2, 2, 2)).export(tmp_path / "box.ply")
    return tmp_path / "box.ply"


def test_fuse_build_render():
    scene = Scene(CONFIG)
    scene.integrate(WALL, np.eye(4), CAMERA, np.full((60, 80, 3), 77, np.uint8))
    points, colors = scene.cloud()
    assert points.dtype == np.float64 and (colors == 77).all()
    np.testing.assert_allclose(points[:, 2], 2.0, atol=1e-4)
    assert scene.frames == 1 and scene.nbytes > 0
    thin, colors = scene.cloud(4)  # one point per 0.2 m
    assert len(points) / 20 < len(thin) == len(colors) < len(points) / 10
    assert len(np.unique(np.floor(thin / 0.2), axis=0)) == len(thin)
    scene.build_mesh()
    depth = scene.render_depth(np.eye(4), CAMERA, add_alpha=False)
    np.testing.assert_allclose(depth[5:-5, 5:-5], 2.0, atol=1e-4)


def test_without_a_mesh_it_says_what_to_do():
    scene = Scene(CONFIG)
    with pytest.raises(MeshError, match="no mesh yet: build it"):
        scene.render_depth(np.eye(4), CAMERA)
    with pytest.raises(MeshError, match="empty"):
        scene.build_mesh()


def test_a_loaded_mesh_is_shown_until_one_is_built(box_file):
    scene = Scene(CONFIG)
    scene.load_mesh(box_file)
    before = poses.compose(np.eye(3), np.array([0, 0, -5.0]))
    assert scene.render_depth(before, CAMERA)[30, 40, 0] == pytest.approx(4.0)
    scene.integrate(WALL, before, CAMERA)
    assert scene.render_depth(before, CAMERA)[30, 40, 0] == pytest.approx(4.0)
    scene.build_mesh()
    assert scene.render_depth(before, CAMERA)[30, 40, 0] == pytest.approx(2.0, abs=1e-3)


def test_a_file_that_cannot_be_read_leaves_the_mesh_as_it_was(box_file, tmp_path):
    scene = Scene(CONFIG)
    mesh = scene.load_mesh(box_file)
    with pytest.raises(MeshError):
        scene.load_mesh(tmp_path / "absent.ply")
    assert scene.mesh() is mesh


def test_reset_forgets_all_but_the_mesh_of_the_parameter(box_file):
    scene = Scene(dataclasses.replace(CONFIG, mesh=str(box_file)))
    scene.integrate(WALL, np.eye(4), CAMERA)
    scene.build_mesh()
    scene.reset()
    assert scene.frames == scene.nbytes == 0 and len(scene.cloud()[0]) == 0
    assert len(scene.mesh().faces) == 12


def test_reset_needs_no_file(box_file):
    scene = Scene(dataclasses.replace(CONFIG, mesh=str(box_file)))
    scene.integrate(WALL, np.eye(4), CAMERA)
    scene.build_mesh()
    box_file.unlink()
    scene.reset()
    assert len(scene.mesh().faces) == 12


def test_a_mesh_whose_map_is_forgotten_meanwhile_is_not_shown(monkeypatch):
    scene = Scene(CONFIG)
    scene.integrate(WALL, np.eye(4), CAMERA)

    def extract_slowly(volume):
        scene.reset()
        return extract_mesh(volume)

    monkeypatch.setattr("da3_ros.core.scene.scene.extract_mesh", extract_slowly)
    with pytest.raises(MeshError, match="reset while its mesh was built"):
        scene.build_mesh()
    with pytest.raises(MeshError, match="no mesh yet"):
        scene.mesh()


def test_reading_while_another_thread_integrates():
    scene = Scene(dataclasses.replace(CONFIG, max_blocks=200))

    def work():
        for i in range(150):
            T = poses.compose(np.eye(3), np.array([0.1 * i, 0, 0]))
            scene.integrate(WALL, T, CAMERA)

    scene.integrate(WALL, np.eye(4), CAMERA)
    with ThreadPoolExecutor(max_workers=1) as pool:
        worker = pool.submit(work)
        while True:
            done = worker.done()
            np.testing.assert_allclose(scene.cloud()[0][:, 2], 2.0, atol=1e-3)
            assert len(scene.build_mesh().faces) > 100
            if done:
                break
        worker.result()
    assert scene.frames == 151 and scene.dropped_blocks > 0


@pytest.mark.parametrize(
    "place",
    [(512345.37, 5404321.62, 431.18), (4177423.1, 855213.7, 4728911.9)],
    ids=["UTM", "ECEF"],
)
def test_a_map_far_from_the_origin_is_as_good_as_one_near_it(place):
    scenes = [Scene(CONFIG), Scene(CONFIG)]
    for scene, shift in zip(scenes, (np.zeros(3), np.array(place))):
        for step in range(4):
            at = poses.compose(np.eye(3), shift + [0.1 * step, 0, 0])
            scene.integrate(WALL, at, CAMERA)
        mesh = scene.build_mesh()
        assert np.abs(mesh.vertices - shift).max() < 4
        depth = scene.render_depth(poses.compose(np.eye(3), shift), CAMERA, add_alpha=False)
        np.testing.assert_allclose(depth[5:-5, 5:-5], 2.0, atol=1e-4)
        np.testing.assert_allclose(scene.cloud()[0][:, 2], shift[2] + 2.0, atol=1e-4)


def test_a_map_whose_world_jumps_to_utm_goes_on_there():
    """A localisation that starts at zero and then finds its place on earth."""
    scene = Scene(CONFIG)
    scene.integrate(WALL, np.eye(4), CAMERA)
    utm = poses.compose(np.eye(3), np.array([512345.0, 5404321.0, 431.0]))
    for _ in range(2):
        scene.integrate(WALL, utm, CAMERA)
    assert scene.dropped_blocks > 0  # those at zero, 5400 km away
    depth = scene.build_mesh().render_depth(utm, CAMERA, add_alpha=False)
    np.testing.assert_allclose(depth[5:-5, 5:-5], 2.0, atol=1e-4)
