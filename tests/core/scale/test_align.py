import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from da3_ros.core import poses
from da3_ros.core.scale.align import Similarity, align_cameras, to_camera_poses


def random_rotation(rng):
    q = rng.normal(size=4)
    return poses.from_quat_xyzw(q / np.linalg.norm(q), np.zeros(3))[:3, :3]


def cameras(centres, rng):
    return np.stack([poses.compose(random_rotation(rng), c) for c in np.atleast_2d(centres)])


def carry(T, similarity):
    out = T.copy()
    out[:, :3, :3] = similarity.R @ T[:, :3, :3]
    out[:, :3, 3] = similarity.apply(T[:, :3, 3])
    return out


def truth(rng, scale=0.37):
    return Similarity(random_rotation(rng), rng.normal(size=3), scale)


CENTRES = {
    "two views": lambda rng: rng.normal(size=(2, 3)),
    "straight line": lambda rng: np.outer(np.arange(6.0), [1.0, 0.2, 0.0]),
    "plane": lambda rng: rng.normal(size=(6, 3)) * [1, 1, 0],
    "space": lambda rng: rng.normal(size=(8, 3)),
    "many": lambda rng: rng.normal(size=(14, 3)),
    "far from the origin": lambda rng: rng.normal(size=(5, 3)) + [5e5, 5e6, 100],
}


@pytest.mark.parametrize("case", CENTRES)
def test_recovers_the_similarity_that_made_the_target(case):
    rng = np.random.default_rng(3)
    source, wanted = cameras(CENTRES[case](rng), rng), truth(rng)
    found = align_cameras(source, carry(source, wanted))
    assert found.scale == pytest.approx(wanted.scale, rel=1e-6)
    np.testing.assert_allclose(found.R, wanted.R, atol=1e-6)
    np.testing.assert_allclose(
        found.apply(source[:, :3, 3]), wanted.apply(source[:, :3, 3]), rtol=1e-6, atol=1e-6
    )


@pytest.mark.parametrize("count", [1, 2, 5, 12])
def test_cameras_in_one_place_tell_the_rotation_but_no_scale(count):
    rng = np.random.default_rng(4)
    source, wanted = cameras(np.tile([1.0, 2, 3], (count, 1)), rng), truth(rng)
    found = align_cameras(source, carry(source, wanted))
    assert found.scale is None
    np.testing.assert_allclose(found.R, wanted.R, atol=1e-9)


def test_outliers_do_not_move_ten_views_and_more():
    rng = np.random.default_rng(5)
    source, wanted = cameras(rng.normal(size=(20, 3)), rng), truth(rng)
    target = carry(source, wanted)
    target[:, :3, 3] += rng.normal(scale=1e-4, size=(20, 3))
    target[[2, 11], :3, 3] += 30.0
    assert align_cameras(source, target).scale == pytest.approx(wanted.scale, rel=1e-3)


@settings(max_examples=40, deadline=None)
@given(seed=st.integers(0, 10**6), count=st.integers(3, 9), noise=st.sampled_from([0.0, 0.01, 0.3]))
def test_equals_evo_where_evo_answers(seed, count, noise):
    geometry = pytest.importorskip("evo.core.geometry", reason="evo is a test-only comparison")
    rng = np.random.default_rng(seed)
    source = cameras(rng.normal(size=(count, 3)), rng)
    target = carry(source, truth(rng, scale=2.0))
    target[:, :3, 3] += rng.normal(scale=noise, size=(count, 3))
    R, t, scale = geometry.umeyama_alignment(source[:, :3, 3].T, target[:, :3, 3].T, True)
    found = align_cameras(source, target)
    assert found.scale == pytest.approx(scale, rel=1e-9)
    np.testing.assert_allclose(found.R, R, atol=1e-7)
    np.testing.assert_allclose(found.t, t, atol=1e-7)


def test_extrinsics_of_both_shapes_become_camera_poses():
    rng = np.random.default_rng(6)
    T = cameras(rng.normal(size=(3, 3)), rng)
    extrinsics = poses.inverse(T)
    np.testing.assert_allclose(to_camera_poses(extrinsics), T, atol=1e-12)
    np.testing.assert_allclose(to_camera_poses(extrinsics[:, :3]), T, atol=1e-12)
