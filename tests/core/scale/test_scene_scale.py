"""Metres rest on points of the scene: a network whose depth is wrong in a known way, and faults
of poses, calibration and pictures, in windows of the rendered room.
"""

import cv2
import numpy as np
import pytest
from room_windows import ROOM_CAMERA, frame, turned_frames, view

from da3_ros.core import poses
from da3_ros.core.camera_model import CameraModel
from da3_ros.core.config import ScaleConfig
from da3_ros.core.frame import Frame
from da3_ros.core.scale.anchors import Anchors
from da3_ros.core.scale.metric_scale import MetricScale
from da3_ros.core.scale.network_scale import NetworkScale
from da3_ros.core.scale.placement import (
    CONTRADICTION,
    MISFIT,
    TOO_FEW,
    DepthMaps,
    NetworkPoses,
    Placement,
)
from da3_ros.core.scale.scene_scale import SceneScale
from da3_ros.core.sliding_window import Window

MAP_CAMERA = ROOM_CAMERA.scaled(width=112, height=84)
TRUE_UNITS = 0.4
"""Network units per metre, of the fake network's cameras."""


def true_map(i: int) -> np.ndarray:
    return cv2.resize(view(i).depth, (112, 84), interpolation=cv2.INTER_NEAREST_EXACT)


def window_of(frames, reference: int | None = None) -> Window:
    middle = len(frames) // 2 if reference is None else reference
    return Window(tuple(frames), middle, (middle,))


def room_window(start: int = 17, count: int = 4) -> Window:
    return window_of([frame(start + k) for k in range(count)])


def scene_scale(**values) -> SceneScale:
    config = ScaleConfig(**values)
    return SceneScale(config, MetricScale(config), keeps_unit=True)


def place(source: SceneScale, window: Window, said: np.ndarray, units: float = TRUE_UNITS):
    """What becomes of depth (h, w) that a network says, whose cameras have another unit."""
    T_cam_ref = poses.inverse(window.T_world_cam) @ window.T_world_cam[0]
    T_cam_ref[:, :3, 3] *= units
    maps = DepthMaps(window.views, (MAP_CAMERA,), said[None].astype(np.float32))
    placement = source.place(window, NetworkPoses(T_cam_ref[:, :3]), maps)
    return placement, said * np.squeeze(placement.factor)


def bent(depth: np.ndarray) -> np.ndarray:
    y, x = np.mgrid[:84, :112] / 112
    return depth * np.exp(0.25 * np.sin(2.5 * x) - 0.15 * np.cos(4 * y))


WRONG = {
    "scale": lambda depth: 0.31 * depth,
    "shift": lambda depth: 1 / (1.9 / depth + 0.4),
    "field": lambda depth: 0.31 * bent(depth),
}


@pytest.mark.parametrize("fault", WRONG)
def test_a_networks_depth_becomes_metres_whatever_its_cameras_say(fault):
    window, true = room_window(), true_map(19)
    placement, depth = place(scene_scale(), window, WRONG[fault](true))
    evidence = placement.evidence
    assert evidence.source == "parallax" and placement.scale.measured
    assert evidence.points > 60 and evidence.across < 0.4
    error = depth / true - 1
    assert abs(np.median(error)) < 0.01
    assert np.median(np.abs(error)) < (0.01 if fault == "scale" else 0.025)
    assert evidence.depth_error < 0.08


def test_true_depth_is_left_as_it_is():
    placement, depth = place(scene_scale(), room_window(), TRUE_UNITS * true_map(19))
    assert placement.evidence.correction in ("none", "scale")
    np.testing.assert_allclose(depth, true_map(19), rtol=0.01)


def test_cameras_alone_ask_no_picture():
    source = scene_scale(source="cameras")
    placement, depth = place(source, room_window(), 0.5 * true_map(19))
    assert placement.evidence.source == "cameras" and placement.evidence.sightings == 0
    np.testing.assert_allclose(depth, 0.5 / TRUE_UNITS * true_map(19), rtol=1e-5)


def test_points_may_only_measure():
    placement, depth = place(scene_scale(correction="none"), room_window(), 0.5 * true_map(19))
    evidence = placement.evidence
    assert (evidence.source, evidence.correction) == ("cameras", "none")
    np.testing.assert_allclose(depth, 0.5 / TRUE_UNITS * true_map(19), rtol=1e-5)
    assert evidence.depth_error == pytest.approx(0.25, abs=0.03)  # of |ln(0.8)|


@pytest.mark.parametrize("units", [TRUE_UNITS, 3 * TRUE_UNITS])
def test_without_texture_metres_are_those_of_the_cameras(units):
    grey = np.full((240, 320, 3), 90, np.uint8)
    window = window_of([frame(k, image=grey) for k in range(4)])
    placement, depth = place(scene_scale(), window, units * true_map(2), units)
    assert placement.evidence.source == "cameras" and placement.evidence.fault == TOO_FEW
    np.testing.assert_allclose(depth, true_map(2), rtol=1e-5)


def test_standing_still_without_anything_is_unknown_and_after_a_drive_held():
    source, still = scene_scale(), [frame(20, stamp_ns=int(9e9) + k) for k in range(4)]
    placement, depth = place(source, window_of(still), true_map(20))
    assert np.isnan(depth).all() and placement.evidence.source == "none"
    place(source, room_window(17), 0.31 * true_map(19))
    placement, depth = place(source, window_of(still), 0.31 * true_map(20))
    assert placement.evidence.source == "held" and placement.scale.age > 4
    np.testing.assert_allclose(depth, true_map(20), rtol=0.012)


def test_turning_on_the_spot_gives_no_metres_of_its_own():
    placement, depth = place(scene_scale(), window_of(turned_frames()), true_map(0))
    assert placement.evidence.source == "none" and np.isnan(depth).all()


def with_person(i: int, offset: int) -> Frame:
    """A textured board over half of the picture, that moves by itself."""
    rng = np.random.default_rng(3)
    board = cv2.resize(rng.integers(0, 255, (60, 60, 3), np.uint8), (240, 300))
    image = view(i).image.copy()
    image[:, 80:240] = board[20 : 20 + 240, 40 + offset : 200 + offset]
    return frame(i, image=image)


def test_a_person_in_front_of_the_lens_makes_no_metres():
    """Points that move by themselves: said, and the held scale is used."""
    source = scene_scale()
    place(source, room_window(15), 0.31 * true_map(17))
    window = window_of([with_person(17 + k, 9 * k * (-1) ** k) for k in range(4)])
    placement, depth = place(source, window, 0.31 * true_map(19))
    assert placement.evidence.fault in (MISFIT, CONTRADICTION)
    assert placement.evidence.source == "held"
    assert np.abs(np.median(depth / true_map(19)) - 1) < 0.03


def wrong_poses(window: Window, change) -> Window:
    return window_of(
        [
            Frame(f.camera_id, f.stamp_ns, f.image, f.camera, change(k, f.T_world_cam))
            for k, f in enumerate(window.frames)
        ]
    )


FAULTS = {
    "inverted": lambda k, T: poses.inverse(T),
    "in body axes": lambda k, T: (
        T @ poses.compose(np.array([[0.0, -1, 0], [0, 0, -1], [1, 0, 0]]), np.zeros(3))
    ),
    "a camera that nods": lambda k, T: (
        T @ poses.from_quat_xyzw((np.sin(0.01 * (-1) ** k), 0, 0, np.cos(0.01)), (0, 0, 0))
    ),
}


@pytest.mark.parametrize("fault", FAULTS)
def test_poses_that_do_not_fit_the_pictures_are_said_and_not_used(fault):
    source = scene_scale()
    place(source, room_window(15), 0.31 * true_map(17))
    window = wrong_poses(room_window(17), FAULTS[fault])
    placement, depth = place(source, window, 0.31 * true_map(19))
    assert placement.evidence.fault == MISFIT and placement.evidence.across > 2
    assert placement.evidence.source == "held"
    np.testing.assert_allclose(depth, true_map(19), rtol=0.012)


def late_frame(i: int) -> Frame:
    """Its pose is that of 50 ms before, on a way of five frames a second."""
    before, now = view(i - 1).T_world_cam, view(i).T_world_cam
    return frame(i, T_world_cam=poses.interpolate(before, now, 0.75))


def long_frame(i: int) -> Frame:
    """Its focal length is given 3 % too long."""
    longer = ROOM_CAMERA.K * np.array([[1.03, 1, 1], [1, 1.03, 1], [1, 1, 1]])
    return frame(i, camera=CameraModel(320, 240, longer))


@pytest.mark.parametrize("wrong, delay, focal", [(late_frame, -0.05, 0), (long_frame, 0, 0.03)])
def test_late_poses_and_a_long_focal_length_are_found_and_said(wrong, delay, focal):
    source = scene_scale()
    for start in (15, 16, 17):
        window = window_of([wrong(start + k) for k in range(4)])
        placement, depth = place(source, window, TRUE_UNITS * true_map(start + 2))
    evidence = placement.evidence
    assert evidence.fault == MISFIT and evidence.source == "cameras"
    if delay:
        assert evidence.delay == pytest.approx(delay, abs=0.03)
    else:
        assert evidence.focal == pytest.approx(focal, abs=0.01) and abs(evidence.delay) < 0.01
    np.testing.assert_allclose(depth, true_map(19), rtol=1e-4)


def test_points_that_contradict_each_other_are_not_used():
    source = scene_scale(source="anchors")
    rng = np.random.default_rng(0)
    rays = ROOM_CAMERA.rays()[::8, ::8].reshape(-1, 3)
    wild = rays * np.exp(rng.normal(0, 1, (len(rays), 1)))
    source.anchors.add(Anchors.of(frame(19).stamp_ns, wild, view(19).T_world_cam))
    placement, depth = place(source, room_window(), TRUE_UNITS * true_map(19))
    assert placement.evidence.fault == CONTRADICTION and placement.evidence.source == "cameras"
    np.testing.assert_allclose(depth, true_map(19), rtol=1e-5)


def anchors_of(i: int, count: int) -> Anchors:
    pixels = np.random.default_rng(1).permutation(320 * 240)[:count]
    points = (ROOM_CAMERA.rays() * view(i).depth[..., None]).reshape(-1, 3)[pixels]
    return Anchors.of(frame(i).stamp_ns, points, view(i).T_world_cam)


def test_anchors_give_metres_at_once_also_standing_still():
    source = scene_scale()
    source.anchors.add(anchors_of(19, 200))
    still = [frame(19, stamp_ns=frame(19).stamp_ns + k) for k in range(4)]
    placement, depth = place(source, window_of(still), 0.31 * true_map(19))
    assert placement.evidence.source == "anchors" and placement.scale.measured
    assert np.median(np.abs(depth / true_map(19) - 1)) < 0.01


@pytest.mark.parametrize("metric", [True, False])
def test_anchors_give_metres_to_networks_of_one_view(metric):
    config = ScaleConfig()
    source = SceneScale(config, NetworkScale(metric=metric), keeps_unit=metric)
    source.anchors.add(anchors_of(19, 200))
    maps = DepthMaps((0,), (MAP_CAMERA,), 1.3 * true_map(19)[None])
    placement = source.place(window_of([frame(19)]), NetworkPoses(None), maps)
    assert isinstance(placement, Placement) and placement.is_metric
    assert np.median(np.abs(maps.depth * placement.factor / true_map(19) - 1)) < 0.01


def test_a_jump_of_the_source_is_said_and_the_networks_own_is_none():
    source = scene_scale()
    first, _ = place(source, room_window(15), 0.31 * true_map(17))
    assert not first.evidence.jump
    other, _ = place(source, room_window(16), 0.2 * true_map(18))
    assert other.evidence.has_jumped and not other.evidence.jump
    grey = np.full((240, 320, 3), 90, np.uint8)
    blind = window_of([frame(18 + k, image=grey) for k in range(4)])
    last, _ = place(source, blind, 0.2 * true_map(20))
    assert "metres changed by -50% when they came to rest on cameras" in last.evidence.jump


@pytest.mark.parametrize("known", [True, False])
def test_a_step_along_the_way_in_the_middle_of_a_window(known):
    """A correction by SLAM is taken out of the window's poses; one that is not told is believed."""
    T_a, T_b = view(18).T_world_cam, view(19).T_world_cam
    step = poses.compose(np.eye(3), T_b[:3, 3] - T_a[:3, 3])
    corrections = [np.eye(4), np.eye(4), step, step]
    frames = [
        frame(17 + k, T_world_cam=C @ view(17 + k).T_world_cam, T_world_odom=C if known else None)
        for k, C in enumerate(corrections)
    ]
    placement, depth = place(scene_scale(), window_of(frames), 0.31 * true_map(19))
    assert placement.evidence.source == "parallax" and placement.evidence.across < 0.5
    error = np.median(depth / true_map(19)) - 1
    assert abs(error) < 0.01 if known else error > 0.2
