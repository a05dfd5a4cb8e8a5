"""Points from outside, seen by a camera of the room."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from room_windows import ROOM_CAMERA, frame, true_at, view

from da3_ros.core import poses
from da3_ros.core.scale.anchors import (
    MOST_HELD,
    MOST_POINTS,
    MOST_SEEN,
    SIGMA,
    Anchors,
    AnchorStore,
    project,
)


def cloud_of(i: int) -> np.ndarray:
    """Every pixel of a view as a point in the world."""
    seen = view(i)
    rays = seen.camera.rays() * seen.depth[..., None]
    return rays.reshape(-1, 3) @ seen.T_world_cam[:3, :3].T + seen.T_world_cam[:3, 3]


def test_points_of_one_view_are_seen_by_another_where_nothing_hides_them():
    store = AnchorStore()
    store.add(Anchors.of(0, cloud_of(0), np.eye(4)))
    points = store.seen_by(frame(4, stamp_ns=100_000_000), max_age=1.0)
    error = np.log(points.depth / true_at(view(4).depth, points.pixels))
    assert len(points) > 150 and (points.sigma == SIGMA).all()
    assert np.median(np.abs(error)) < 0.01
    assert np.mean(np.abs(error) > 0.25) < 0.04


def test_a_wall_behind_a_wall_is_not_seen():
    rng = np.random.default_rng(0)
    near = np.c_[rng.uniform(-1, 1, (2000, 2)), np.full(2000, 2.0)]
    far = np.c_[rng.uniform(-3, 3, (2000, 2)), np.full(2000, 6.0)]
    points = project(np.concatenate([near, far]), ROOM_CAMERA)
    inner = np.abs((points.pixels - ROOM_CAMERA.K[:2, 2]) / ROOM_CAMERA.K[0, 0]).max(axis=1) < 0.42
    assert np.mean(points.depth[inner] == 2.0) > 0.97 and (points.depth == 6.0).any()


def test_a_slope_does_not_hide_itself():
    rng = np.random.default_rng(1)
    floor = np.c_[rng.uniform(-3, 3, 3000), np.full(3000, 1.0), rng.uniform(1.5, 8, 3000)]
    points = project(floor, ROOM_CAMERA)
    assert points.depth.max() > 6 and len(points) > 150


def test_points_of_another_time_are_not_used():
    store = AnchorStore()
    store.add(Anchors.of(0, cloud_of(0), np.eye(4)))
    assert len(store.seen_by(frame(0, stamp_ns=900_000_000), max_age=1.0))
    assert not len(store.seen_by(frame(0, stamp_ns=1_100_000_000), max_age=1.0))
    store.clear()
    assert not len(store.seen_by(frame(0), max_age=1.0))


def test_sparse_points_at_a_high_rate_are_there_when_a_window_looks_back():
    store = AnchorStore()
    for k in range(180):  # 60 Hz for 3 s
        store.add(Anchors.of(k * 10**9 // 60, cloud_of(0)[::200], np.eye(4)))
    assert len(store.seen_by(frame(0, stamp_ns=0), max_age=1.0))


def test_what_is_held_is_bounded_in_points():
    store = AnchorStore()
    for k in range(40):
        store.add(Anchors(k, np.zeros((MOST_POINTS, 3))))
    assert len(store.since(0)) == MOST_HELD // MOST_POINTS == 32


def test_masked_pixels_take_no_points():
    seen = np.ones((240, 320), bool)
    seen[:, :160] = False
    store = AnchorStore()
    store.add(Anchors.of(0, cloud_of(0), np.eye(4)))
    assert store.seen_by(frame(0, seen=seen), max_age=1.0).pixels[:, 0].min() > 158


def test_the_source_has_a_frame_of_its_own():
    T_world_source = view(7).T_world_cam
    points = Anchors.of(5, np.array([[0.0, 0, 2], [np.nan, 0, 0]]), T_world_source).points
    np.testing.assert_allclose(points, [T_world_source[:3, 3] + 2 * T_world_source[:3, 2]])
    with pytest.raises(ValueError, match=r"points must be \(..., 3\), got \(4,\)"):
        Anchors.of(0, np.zeros(4), np.eye(4))


@settings(max_examples=20)
@given(st.integers(0, 2 * MOST_POINTS), st.floats(-1, 20), st.integers(0, 9))
def test_however_many_points_come_few_are_taken_and_all_lie_in_the_picture(count, depth, seed):
    rng = np.random.default_rng(seed)
    cloud = rng.normal(0, 3, (count, 3)) + (0, 0, depth)
    kept = Anchors.of(0, cloud, np.eye(4)).points
    assert len(kept) <= MOST_POINTS
    points = project(kept, ROOM_CAMERA)
    assert len(points) <= 1.2 * MOST_SEEN
    assert (points.depth > 0).all() and (points.pixels > -0.5).all()
    assert (points.pixels < (319.5, 239.5)).all()


def test_points_from_before_a_correction_lie_where_they_were_seen():
    """A cloud and a picture of one moment on both sides of it."""
    correction = poses.compose(np.eye(3), np.array([0.4, 0.3, 0.0]))
    corrected = frame(0, T_world_cam=correction @ view(0).T_world_cam, T_world_odom=correction)
    store = AnchorStore()
    store.add(Anchors.of(0, cloud_of(0), np.eye(4), np.eye(4)))
    points = store.seen_by(corrected, max_age=1.0)
    assert len(points) > 150
    np.testing.assert_allclose(points.depth, true_at(view(0).depth, points.pixels), rtol=0.01)
