"""Ways of a camera through given views."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.spatial.transform import Rotation
from small_scene import prediction

from da3_ros.core import poses
from da3_ros.core.export import camera_paths
from da3_ros.core.export.camera_paths import MODES, CameraPath
from da3_ros.core.scale.align import to_camera_poses


def views(count=5):
    found = prediction(count)
    return CameraPath(to_camera_poses(found.extrinsics), np.float64(found.intrinsics))


@pytest.mark.parametrize("mode", MODES)
def test_paths_are_rigid_and_steady(mode):
    path = camera_paths.follow(views(), mode, 2.5)
    for T in path.T_world_cam:
        np.testing.assert_allclose(poses.rigid(T), T, atol=1e-6)
    steps = np.linalg.norm(np.diff(path.T_world_cam[:, :3, 3], axis=0), axis=1)
    assert len(path) == len(path.K) and steps.max() < 0.5


def test_interpolation_passes_through_every_view():
    given, path = views(), camera_paths.interpolate(views())
    for T in given.T_world_cam:
        assert np.abs(path.T_world_cam - T).max(axis=(1, 2)).min() < 1e-6
    assert len(path) == 4 * 12 + 1  # at least two seconds
    many = CameraPath(np.tile(given.T_world_cam, (20, 1, 1)), np.tile(given.K, (20, 1, 1)))
    assert len(camera_paths.interpolate(many)) <= camera_paths.FPS * camera_paths.MAX_SECONDS


@given(st.integers(3, 12), st.integers(0, 2**32 - 1))
def test_smoothed_paths_are_rotations_however_the_views_turn(count, seed):
    """The mean of few, widely turned rotations is nearer to a reflection than to any of them."""
    T = np.tile(np.eye(4), (count, 1, 1))
    T[:, :3, :3] = Rotation.random(count, random_state=seed).as_matrix()
    R = camera_paths.smooth(CameraPath(T, np.tile(np.eye(3), (count, 1, 1)))).T_world_cam[:, :3, :3]
    np.testing.assert_allclose(np.linalg.det(R), 1, atol=1e-9)
    np.testing.assert_allclose(R @ np.swapaxes(R, 1, 2), np.eye(3) + np.zeros_like(R), atol=1e-9)


def test_smoothing_calms_a_trembling_hand():
    given = camera_paths.interpolate(views())
    shake = np.random.default_rng(0).normal(scale=0.02, size=(len(given), 3))
    T = given.T_world_cam.copy()
    T[:, :3, 3] += shake

    def jerk(path):
        return np.abs(np.diff(path.T_world_cam[:, :3, 3], 3, axis=0)).mean()

    assert jerk(camera_paths.smooth(CameraPath(T, given.K))) < 0.05 * jerk(CameraPath(T, given.K))


def test_dolly_zoom_keeps_the_size_of_what_is_in_focus():
    view, focus = views(1), 2.5
    path = camera_paths.dolly_zoom(view, focus)
    target = view.T_world_cam[0] @ np.array([[0.4, 0.1, focus, 1], [-0.4, 0.1, focus, 1]]).T
    pixels = path.K @ (poses.inverse(path.T_world_cam) @ target)[:, :3]
    pixels = pixels[:, :2] / pixels[:, 2:]
    np.testing.assert_allclose(pixels, np.broadcast_to(pixels[0], pixels.shape), atol=1e-9)
    assert np.linalg.norm(np.diff(path.T_world_cam[:, :3, 3], axis=0), axis=1).sum() > 1


def test_wandering_ends_where_it_began():
    path = camera_paths.wander(views(1), 2.5)
    np.testing.assert_array_equal(path.T_world_cam[0], path.T_world_cam[-1])
    aside = path.T_world_cam[:, :3, 3] - path.T_world_cam[0, :3, 3]
    moved_pixels = np.linalg.norm(aside @ path.T_world_cam[0, :3, 0][:, None], axis=1) * 80 / 2.5
    assert moved_pixels.max() == pytest.approx(24, rel=0.01)


def test_one_view_extends_but_cannot_be_interpolated():
    assert len(camera_paths.follow(views(1), "extend", 2.5)) > 48
    with pytest.raises(ValueError, match="needs at least 2 of them; use wander or dolly_zoom"):
        camera_paths.follow(views(1), "interpolate", 2.5)
    with pytest.raises(ValueError, match="trj_mode is 'fly', must be one of original"):
        camera_paths.follow(views(1), "fly", 2.5)
