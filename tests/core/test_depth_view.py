"""What is published of a window: at the camera's size, masked, and fused into the map."""

from dataclasses import replace

import numpy as np
import pytest
from runner_bench import Log
from true_network import (
    CAMERA,
    MOTIONS,
    ROOM,
    TrueNetwork,
    frames_of,
    path,
    pipeline,
    results,
    room_depth,
)

from da3_ros.core import poses
from da3_ros.core.camera_model import CameraModel
from da3_ros.core.config import SceneConfig, from_dict
from da3_ros.core.depth_view import DepthView, fuse
from da3_ros.core.frame import Frame
from da3_ros.core.scene.scene import Scene


def test_camera_size_and_network_size():
    T_world_cam = path(MOTIONS["curve"])
    spine = pipeline(TrueNetwork(T_world_cam, 0.5), **{"window.size": 4})
    (result,) = results(spine, frames_of(T_world_cam))
    shown = DepthView(result, 0, spine.config.output)
    assert shown.frame is result.window.frames[2] and shown.image is shown.frame.image
    assert shown.depth.shape == shown.conf.shape == (72, 96) and shown.camera is CAMERA
    true = room_depth(T_world_cam[2], CAMERA)
    np.testing.assert_allclose(shown.depth, true, rtol=0.03)
    assert np.median(np.abs(shown.depth / true - 1)) < 1e-4
    spine.configure(from_dict({"output.size": "network"}))
    small = DepthView(result, 0, spine.config.output)
    assert small.depth.shape == small.image.shape[:2] == (70, 84)
    np.testing.assert_array_equal(small.depth, result.depth[0])
    assert (small.image == 2).all()


@pytest.mark.parametrize("size", ["camera", "network"])
def test_flying_points_are_left_out_of_the_cloud_and_stay_in_the_depth(size):
    """A board stands before the walls; its edge hangs between, three pixels wide."""
    T_world_cam = path(MOTIONS["curve"])
    spine = pipeline(TrueNetwork(T_world_cam, 0.5), **{"window.size": 4})
    (result,) = results(spine, frames_of(T_world_cam))
    inverse = 1 / result.depth
    inverse[0, :, :40] = 1.0
    inverse[0, :, 38:41] = inverse[0, :, 42:43] + np.array([0.8, 0.5, 0.2]) * (
        1 - inverse[0, :, 42:43]
    )
    result = replace(result, depth=1 / inverse)
    shown = DepthView(result, 0, from_dict({"output.size": size}).output)
    assert np.isfinite(shown.depth).all()
    left_out = np.isnan(shown.cloud_depth)
    np.testing.assert_array_equal(shown.cloud_depth[~left_out], shown.depth[~left_out])
    columns = np.flatnonzero(left_out.mean(axis=0) > 0.9)
    assert len(columns) >= 3 and set(np.diff(columns)) == {1}
    assert left_out.mean() < 1.5 * len(columns) / left_out.shape[1]
    everything = from_dict({"output.size": size, "output.cloud_filter": 0.0}).output
    assert np.isfinite(DepthView(result, 0, everything).cloud_depth).all()


def test_output_limits_apply():
    T_world_cam = path(MOTIONS["curve"])
    spine = pipeline(TrueNetwork(T_world_cam, 0.5), **{"window.size": 4, "output.max_depth": 4.0})
    (result,) = results(spine, frames_of(T_world_cam))
    depth = DepthView(result, 0, spine.config.output).depth
    assert np.isposinf(depth).any() and 3 < depth[np.isfinite(depth)].max() <= 4


def test_exports_get_the_world_frame():
    T_world_cam = path(MOTIONS["curve"])
    spine = pipeline(TrueNetwork(T_world_cam, 0.5), **{"window.size": 4, "window.publish": "all"})
    (result,) = results(spine, frames_of(T_world_cam))
    prediction = result.to_prediction()
    assert prediction.is_metric and prediction.extrinsics.shape == (4, 3, 4)
    # Every pixel, taken to the world by what the export sees, is on a wall of the room.
    for depth, E, K in zip(prediction.depth, prediction.extrinsics, prediction.intrinsics):
        points = CameraModel(84, 70, K).rays() * depth[..., None]
        world = (points - E[:, 3]) @ E[:, :3]
        to_wall = np.abs(world[None] - ROOM[:, None, None]).min(axis=(0, 3))
        assert to_wall.max() < 1e-3
    assert prediction.processed_images.shape == (4, 70, 84, 3)
    assert [int(i.mean()) for i in prediction.processed_images] == [0, 1, 2, 3]


def test_a_rig_of_unlike_cameras_shares_the_middle():
    """A wide and a tall picture: the network sees what both have; the rest is unknown."""
    T_world_cam = path(MOTIONS["two views"])
    network = TrueNetwork(T_world_cam, 0.5)
    wide = frames_of(T_world_cam)[0]
    tall = Frame(
        "tall",
        wide.stamp_ns,
        np.full((96, 72, 3), 1, np.uint8),
        CameraModel(72, 96, np.array([[80.0, 0, 35.5], [0, 80, 47.5], [0, 0, 1]])),
        T_world_cam[1],
    )
    spine = pipeline(network, **{"window.size": 1, "window.publish": "all"})
    result = spine.process(spine.push(wide, tall).window)
    assert result.depth.shape == (2, 70, 70)
    shown = DepthView(result, 1, spine.config.output)
    assert shown.depth.shape == (96, 72)
    assert np.isnan(shown.depth[:5]).all() and np.isfinite(shown.depth[48]).all()


@pytest.mark.parametrize("size", ["camera", "network"])
def test_pixels_that_the_lens_never_saw_have_no_depth_and_stay_out_of_the_map(size):
    T_world_cam = path([(0, 0, 0), (0.5, 0, 0), (1, 0, 0.2)])
    seen = np.ones((72, 96), bool)
    seen[:10] = seen[:, 80:] = False
    frames = [replace(f, seen=seen) for f in frames_of(T_world_cam)]
    spine = pipeline(TrueNetwork(T_world_cam), **{"window.size": 3, "window.publish": "all"})
    (result,) = results(spine, frames)
    shown = DepthView(result, 0, from_dict({"output.size": size}).output)
    known = np.isfinite(shown.depth)
    if size == "camera":  # all unseen pixels, and at most the row beside them
        assert not known[~seen].any() and known[11:, :79].all()
    else:
        np.testing.assert_array_equal(known, np.isfinite(result.depth[0]))
        assert 0.65 < known.mean() < seen.mean()
    scene = Scene(SceneConfig(voxel_size=0.1, max_range=20.0))
    log = Log()
    fuse(result, scene, from_dict({}).output, log)
    assert log == []
    points, _ = scene.cloud()
    # Every point of the map is one that some frame's lens saw.
    visible = np.zeros(len(points), bool)
    for frame in frames:
        T_cam_world = poses.inverse(frame.T_world_cam)
        u, v = np.round(CAMERA.project(points @ T_cam_world[:3, :3].T + T_cam_world[:3, 3])).T
        inside = (u >= 0) & (v >= 0) & (u < 96) & (v < 72)
        visible[inside] |= seen[v[inside].astype(int), u[inside].astype(int)]
    assert len(points) > 1000 and visible.mean() > 0.99
    assert np.isfinite(result.to_prediction().depth).mean() == np.isfinite(result.depth).mean()


def test_a_map_that_is_too_far_away_is_lost_and_the_log_says_so():
    T_world_cam = path([(0, 0, 0), (0.5, 0, 0), (1, 0, 0.2)])
    spine = pipeline(TrueNetwork(T_world_cam), **{"window.size": 3})
    (result,) = results(spine, frames_of(T_world_cam))
    scene, log = Scene(SceneConfig(voxel_size=0.1, max_range=20.0)), Log()
    away = poses.compose(np.eye(3), np.array([1e6, 0, 0]))
    scene.integrate(np.full((72, 96), 2.0, np.float32), away, CAMERA)
    fuse(result, scene, from_dict({}).output, log)
    ((cause, sentence),) = log
    assert cause == "map" and sentence.startswith(f"the map lost {scene.dropped_blocks} blocks")
    assert sentence.endswith("see who publishes that pose") and "\n" not in sentence
    fuse(result, scene, from_dict({}).output, log)
    assert len(log) == 1
