"""What is hit first, by Embree and by numpy."""

import importlib.util
import subprocess
import sys

import numpy as np
import pytest

from da3_ros.core.camera_model import CameraModel
from da3_ros.core.scene import nearest_triangle
from da3_ros.core.scene.ray_casting import cast_depth, face_normals, first_hits

needs_embree = pytest.mark.skipif(
    importlib.util.find_spec("embreex") is None, reason="embreex has wheels for x86_64 only"
)

FISHEYE = CameraModel(
    160, 120, np.array([[60.0, 0, 79], [0, 60, 58], [0, 0, 1]]), "equidistant",
    np.array([-0.02, 0.003, 0.0, 0.0]),
)  # fmt: skip


def random_soup(seed: int, count: int) -> np.ndarray:
    """(n, 3, 3) small and large triangles around the origin."""
    random = np.random.default_rng(seed)
    centres = random.uniform(-3, 3, (count, 1, 3))
    size = random.choice([0.05, 0.5, 2.0], (count, 1, 1))
    return np.float32(centres + size * random.normal(size=(count, 3, 3)))


@pytest.fixture
def without_embree(monkeypatch):
    for name in ("embreex", "embreex.mesh_construction", "embreex.rtcore_scene"):
        monkeypatch.setitem(sys.modules, name, None)


def distances(triangles, hit, origins, directions):
    normals = face_normals(triangles.astype(np.float64))[hit]
    t = ((triangles[hit, 0] - origins) * normals).sum(axis=1) / (normals * directions).sum(axis=1)
    return np.where(hit < 0, np.inf, t)


@needs_embree
@pytest.mark.parametrize("count", [1, 3, 4, 5, 64, 3000])
def test_numpy_meets_what_embree_meets(count):
    triangles = random_soup(count, count)
    random = np.random.default_rng(1)
    origins, directions = random.uniform(-4, 4, (2, 2000, 3))
    directions[:100] = [0, 0, -1]  # along an axis: straight down, as the recipes ask
    directions[100:200, 1] = 0
    ours = nearest_triangle.by_numpy(triangles, origins, directions)
    theirs = nearest_triangle.nearest_triangle(triangles, origins, directions)
    t_ours = distances(triangles, ours, origins, directions)
    t_theirs = distances(triangles, theirs, origins, directions)
    # Both round at a triangle's edge; a ray in a thousand may pass on another side of it.
    same = np.isclose(t_ours, t_theirs, rtol=1e-4, atol=1e-5) | (ours == theirs)
    assert (~same).sum() <= 3
    assert count < 64 or (np.isfinite(t_ours).mean() > 0.2)


@needs_embree
def test_a_view_through_a_lens_is_the_same(monkeypatch):
    triangles = random_soup(7, 2000)
    mesh = triangles.reshape(-1, 3), np.arange(6000).reshape(-1, 3)
    embree = cast_depth(*mesh, np.eye(4), FISHEYE, cull_faces=False)
    monkeypatch.setattr(
        "da3_ros.core.scene.ray_casting.nearest_triangle", nearest_triangle.by_numpy
    )
    ours = cast_depth(*mesh, np.eye(4), FISHEYE, cull_faces=False)
    same = np.isclose(ours, embree, rtol=1e-4) | (np.isnan(ours) & np.isnan(embree))
    assert np.isfinite(ours).mean() > 0.5
    assert (~same).sum() <= 3


def test_a_closed_box_has_no_gaps():
    corners = np.array([[x, y, z] for x in (-1, 1) for y in (-1, 1) for z in (-1, 1)], float)
    sides = [(0, 1, 3, 2), (4, 6, 7, 5), (0, 4, 5, 1), (2, 3, 7, 6), (0, 2, 6, 4), (1, 5, 7, 3)]
    faces = np.array([f for a, b, c, d in sides for f in ((a, b, c), (a, c, d))])
    steps = np.linspace(-1, 1, 21)
    directions = np.array([[x, y, z] for x in steps for y in steps for z in (-1, 1)])  # edges too
    hit = nearest_triangle.by_numpy(corners[faces], np.zeros_like(directions), directions)
    assert (hit >= 0).all()
    t = distances(corners[faces], hit, np.zeros_like(directions), directions)
    np.testing.assert_allclose(t, 1, atol=1e-9)


def test_only_what_lies_ahead_is_met():
    triangle = np.array([[[-1, -1, 2], [1, -1, 2], [0, 1, 2]]], float)
    directions = np.array([[0, 0, 1], [0, 0, -1], [1, 0, 0]], float)
    hit = nearest_triangle.by_numpy(triangle, np.zeros((3, 3)), directions)
    np.testing.assert_array_equal(hit, [0, -1, -1])


def test_degenerate_triangles_are_not_met():
    triangles = np.array([[[0, 0, 1]] * 3, [[-1, 0, 1], [1, 0, 1], [0, 0, 1]]], float)
    assert nearest_triangle.by_numpy(triangles, np.zeros((1, 3)), np.array([[0, 0, 1.0]])) == [-1]


def test_hits_are_found_where_embree_cannot_be_imported(without_embree):
    wall = np.array([[[-9, -9, 2], [9, -9, 2], [0, 9, 2]]], np.float32)
    t = first_hits(wall, np.zeros((2, 3)), np.array([[0, 0, 1.0], [0, 0, -1]]))
    np.testing.assert_array_equal(t, [2, np.nan])


def test_everything_starts_where_embree_cannot_be_imported():
    program = (
        "import sys; sys.modules['embreex'] = None\n"
        "import da3_ros.api, da3_ros.core.scene.scene, da3_ros.core.scene.depth_recipes"
    )
    told = subprocess.run(
        [sys.executable, "-c", program], check=False, capture_output=True, text=True
    )
    assert told.returncode == 0, told.stderr
