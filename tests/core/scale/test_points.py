"""Tracks and triangulated points against the rendered room, whose depth is known."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from room_windows import ROOM_CAMERA, frame, true_at, turned_frames, view, window

from da3_ros.core import poses
from da3_ros.core.camera_model import CameraModel
from da3_ros.core.frame import Frame
from da3_ros.core.scale.metric_scale import weighted_median
from da3_ros.core.scale.points import ScenePoints, Sightings, disagreement, refine, triangulate
from da3_ros.core.scale.samples import MODEL_SIGMA
from da3_ros.core.scale.tracks import MOST_POINTS, Tracker
from da3_ros.core.sliding_window import Window


def points_of(seen: Window, index: int | None = None):
    tracker = Tracker()
    tracker.follow(seen.frames)
    return triangulated(Sightings.of(seen, seen.reference if index is None else index, tracker))


def triangulated(sightings: Sightings):
    return triangulate(sightings, refine(sightings))


@pytest.mark.parametrize("start, count, bound", [(17, 2, 0.015), (17, 4, 0.01), (40, 4, 0.01)])
def test_points_of_the_room_say_its_scale_to_a_hundredth(start, count, bound):
    seen = window(start, count)
    points, residuals = points_of(seen)
    true = true_at(view(start + count // 2).depth, points.pixels)
    error = np.log(points.depth / true)
    assert len(points) >= 60
    assert abs(weighted_median(error, 1 / (points.sigma**2 + MODEL_SIGMA**2))) < bound
    # The stated deviations are those that are found.
    assert 0.3 < np.median(np.abs(error) / points.sigma) / 0.6745 < 2.5
    assert residuals.across < 0.4 and residuals.sightings > 100


def test_two_windows_agree_about_the_points_that_both_have():
    one, two = window(40, 4), window(41, 4)
    a, b = one.frames[one.reference], two.frames[two.reference]
    (points_a, _), (points_b, _) = points_of(one), points_of(two)
    T_b_a = poses.inverse(b.T_world_cam) @ a.T_world_cam
    apart = disagreement(points_a, points_b, ROOM_CAMERA.K, T_b_a)
    assert len(apart) > 30 and np.median(apart) < 0.02
    farther = ScenePoints(points_b.pixels, points_b.depth * 1.2, points_b.sigma)
    apart = disagreement(points_a, farther, ROOM_CAMERA.K, T_b_a)
    assert abs(np.median(apart) - np.log(1.2)) < 0.02
    assert not len(disagreement(points_a, points_b[:0], ROOM_CAMERA.K, T_b_a))


def test_each_frame_is_looked_at_once_and_keeps_its_points():
    tracker, frames = Tracker(), tuple(frame(i) for i in range(5))
    tracker.follow(frames[:4])
    before = [tracker[f] for f in frames[1:4]]
    tracker.follow(frames[1:])
    assert [tracker[f] for f in frames[1:4]] == before
    shared = np.intersect1d(tracker[frames[4]].ids, before[-1].ids)
    assert len(shared) > 0.4 * MOST_POINTS / 4
    assert all((np.diff(tracker[f].ids) > 0).all() for f in frames)


def test_places_where_tracks_died_get_new_points():
    tracker, blind = Tracker(), np.zeros((240, 320, 3), np.uint8)
    dark, *seen = frame(1, image=blind), frame(2), frame(3)
    tracker.follow((frame(0), dark, *seen))
    assert not len(tracker[dark].ids)
    assert len(np.intersect1d(tracker[seen[0]].ids, tracker[seen[1]].ids)) > 50


def test_cameras_of_a_rig_share_no_points():
    left, right = frame(0), frame(1, camera_id="right", stamp_ns=0)
    tracker = Tracker()
    tracker.follow((left, right))
    assert not np.intersect1d(tracker[left].ids, tracker[right].ids).size
    rig = Window((left, right), 0, (0,))
    assert triangulated(Sightings.of(rig, 0, tracker))[1].sightings == 0


def test_pixels_that_are_not_seen_get_no_points():
    seen = np.ones((240, 320), bool)
    seen[:, 160:] = False
    frames = tuple(frame(i, seen=seen) for i in range(3))
    tracker = Tracker()
    tracker.follow(frames)
    for f in frames:
        assert len(tracker[f].ids) > 30 and tracker[f].pixels[:, 0].max() < 155


def test_a_picture_without_texture_gives_nothing():
    grey = np.full((240, 320, 3), 127, np.uint8)
    flat = tuple(frame(i, image=grey) for i in range(4))
    points, residuals = points_of(Window(flat, 2, (2,)))
    assert len(points) == 0 and residuals.sightings == 0 and np.isnan(residuals.across)


def test_standing_and_turning_on_the_spot_give_nothing():
    still = tuple(frame(0, stamp_ns=k) for k in range(4))
    assert len(points_of(Window(still, 2, (2,)))[0]) == 0
    points, residuals = points_of(Window(tuple(turned_frames()), 1, (1,)))
    assert len(points) == 0
    assert residuals.sightings > 50 and residuals.across < 0.6


def test_large_pictures_are_looked_at_small_and_answer_in_their_own_pixels():
    scene, camera = view(0), ROOM_CAMERA.scaled(width=1280, height=960)
    big = np.ascontiguousarray(scene.image.repeat(4, axis=0).repeat(4, axis=1))
    f = Frame("cam", 0, big, camera, scene.T_world_cam)
    tracker = Tracker()
    tracker.follow((f,))
    pixels = tracker[f].pixels
    assert pixels[:, 0].max() > 640 and (pixels < (1280, 960)).all()


def test_a_flipped_pose_leaves_no_points_or_a_large_residual():
    seen = window(0, 4)
    wrong = tuple(
        Frame(f.camera_id, f.stamp_ns, f.image, f.camera, poses.inverse(f.T_world_cam))
        for f in seen.frames
    )
    points, residuals = points_of(Window(wrong, 2, (2,)))
    assert len(points) < 12 or residuals.across > 2


@settings(max_examples=30)
@given(
    st.lists(st.floats(0.5, 20), min_size=1, max_size=20),
    st.integers(1, 4),
    st.floats(0.1, 0.5),
    st.integers(0, 10),
)
def test_exact_sightings_give_exact_depth(depths, others, baseline, seed):
    rng = np.random.default_rng(seed)
    camera = CameraModel(640, 480, np.array([[500.0, 0, 320], [0, 500, 240], [0, 0, 1]]))
    pixels = rng.uniform((200, 150), (440, 330), (len(depths), 2))
    rays = np.c_[pixels, np.ones(len(depths))] @ np.linalg.inv(camera.K).T
    world = rays * np.array(depths)[:, None]
    T_cam_ref = np.stack(
        [
            poses.compose(np.eye(3), np.array([-baseline * (1 + k), 0.05 * k, 0.02]))
            for k in range(others)
        ]
    )
    seen_at = np.stack([camera.project(world @ T[:3, :3].T + T[:3, 3]) for T in T_cam_ref])
    K = np.repeat(camera.K[None], others, axis=0)
    points, residuals = triangulated(Sightings(pixels, seen_at, camera.K, K, T_cam_ref))
    assert residuals.across < 1e-6
    expected = dict(zip(map(tuple, pixels), depths, strict=True))
    for pixel, depth in zip(points.pixels, points.depth, strict=True):
        assert depth == pytest.approx(expected[tuple(pixel)], rel=1e-6)
    assert len(points) == len(depths) or max(depths) > 3


@given(st.tuples(*[st.integers(1, 60)] * 2), st.integers(0, 9))
def test_pictures_of_any_size_are_followed(size, seed):
    pixels = np.random.default_rng(seed).integers(0, 255, (*size, 3), np.uint8)
    camera = CameraModel(size[1], size[0], np.diag([40.0, 40.0, 1.0]))
    frames = [Frame("camera", stamp, pixels, camera, np.eye(4)) for stamp in (1, 2)]
    tracker = Tracker()
    tracker.follow(tuple(frames))
    assert len(tracker[frames[1]].ids) >= 0.9 * len(tracker[frames[0]].ids)
