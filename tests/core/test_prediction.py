from dataclasses import replace

import numpy as np
import pytest

from da3_ros.core.camera_model import CameraModel
from da3_ros.core.frame import Frame
from da3_ros.core.poses import compose
from da3_ros.core.prediction import Prediction, WindowDepth
from da3_ros.core.preprocess import plan_resize
from da3_ros.core.scale.placement import Placement, ScaleEstimate
from da3_ros.core.sliding_window import Window

CAMERA = CameraModel(28, 14, np.array([[20.0, 0, 13.5], [0, 20, 6.5], [0, 0, 1]]))


def prediction(**values):
    complete = {
        "depth": np.ones((2, 14, 28), np.float32),
        "conf": np.ones((2, 14, 28), np.float32),
        "extrinsics": np.tile(np.eye(4)[:3], (2, 1, 1)),
        "intrinsics": np.tile(np.eye(3), (2, 1, 1)),
        "processed_images": np.zeros((2, 14, 28, 3), np.uint8),
    }
    return Prediction(**{**complete, **values})


def test_a_prediction_is_the_callers_own():
    found = prediction()
    found.depth *= 2
    found.depth[0, 3, 4] = np.nan
    found.conf = None
    assert found.depth[1].max() == 2 and np.isnan(found.depth[0, 3, 4]) and found.conf is None
    found.check()
    found.sky = np.zeros((2, 14, 1), np.float32)
    with pytest.raises(ValueError, match="sky must be"):
        found.check()


def test_gaussians_are_in_aux_too_and_go_with_them():
    found = prediction(aux={"feat_layer_3": 1}, gaussians="splats")
    assert found.aux == {"feat_layer_3": 1, "gaussians": "splats"}
    assert replace(found, gaussians="others").aux["gaussians"] == "others"
    assert replace(found, gaussians=None).aux == {"feat_layer_3": 1}


@pytest.mark.parametrize(
    "name, shape",
    [
        ("depth", (14, 28)),
        ("conf", (1, 14, 28)),
        ("sky", (2, 28, 14)),
        ("extrinsics", (2, 4, 4)),
        ("intrinsics", (3, 3)),
        ("processed_images", (2, 3, 14, 28)),
    ],
)
def test_wrong_shapes_are_named(name, shape):
    with pytest.raises(ValueError, match=f"{name} must be"):
        prediction(**{name: np.ones(shape, np.float32)})


def test_depth_is_float32():
    with pytest.raises(ValueError, match="float32, got float64"):
        prediction(depth=np.ones((2, 14, 28)))


def placement(T_world_cam):
    measured = ScaleEstimate(2.0, 0.1, 0.0, True)
    return Placement(measured, True, 2.0, T_world_cam, np.zeros(3), np.zeros(3))


def window_depth(views=(1,), **values):
    image = np.arange(28, dtype=np.uint8).repeat(3).reshape(1, 28, 3).repeat(14, axis=0)
    frames = tuple(Frame("cam", k, image + k, CAMERA, np.eye(4)) for k in range(3))
    count = len(views)
    complete = {
        "window": Window(frames, 1, views),
        "depth": np.ones((count, 14, 28), np.float32),
        "conf": None,
        "sky": None,
        "cameras": (CAMERA,) * count,
        "plans": (plan_resize(14, 28, 28),) * count,
        "placement": placement(np.tile(np.eye(4), (3, 1, 1))),
        "seconds": {},
    }
    return WindowDepth(**{**complete, **values})


def test_published_frames_and_their_images():
    result = window_depth(views=(0, 2))
    assert [f.stamp_ns for f in result.frames] == [0, 2]
    np.testing.assert_array_equal(result.image(1), result.frames[1].image)
    assert result.to_prediction().scale_factor == 2.0


def test_given_poses_go_into_the_export_not_predicted_ones():
    moved = np.tile(np.eye(4), (3, 1, 1))
    moved[:, 0, 3] = 7.0
    prediction = window_depth(placement=placement(moved)).to_prediction()
    np.testing.assert_array_equal(prediction.extrinsics, np.eye(4)[None, :3])


def test_placed_poses_stand_in_for_given_ones():
    given = window_depth(views=(0, 2))
    np.testing.assert_array_equal(given.world_poses, np.tile(np.eye(4), (3, 1, 1)))
    unposed = Window(tuple(replace(f, T_world_cam=None) for f in given.window.frames), 1, (0, 2))
    moved = np.tile(np.eye(4), (3, 1, 1))
    moved[:, 0, 3] = 7.0
    moved[2] = np.nan
    placed = window_depth(views=(0, 2), window=unposed, placement=placement(moved))
    np.testing.assert_array_equal(placed.world_poses, moved)
    np.testing.assert_array_equal(placed.pose(0), moved[0])
    assert placed.pose(1) is None
    nowhere = replace(placed, placement=replace(placed.placement, T_world_cam=None))
    assert nowhere.world_poses is None and nowhere.pose(0) is None
    assert nowhere.to_prediction().extrinsics is None


def test_a_published_pose_is_that_of_its_own_stamp():
    """As TF has it there; an export has one correction for all views, the newest one's."""
    before, after = np.eye(4), compose(np.eye(3), np.array([0.3, 0, 0]))
    given = window_depth(views=(1, 2))
    frames = [
        replace(f, T_world_cam=T, T_world_odom=T)
        for f, T in zip(given.window.frames, (before, before, after))
    ]
    result = replace(given, window=Window(tuple(frames), 1, (1, 2)))
    np.testing.assert_array_equal([result.pose(0), result.pose(1)], [before, after])
    np.testing.assert_allclose(result.world_poses, [after] * 3)
    np.testing.assert_allclose(result.to_prediction().extrinsics[:, 0, 3], -0.3)


@pytest.mark.parametrize(
    "values, words",
    [
        ({"depth": np.ones((2, 14, 28), np.float32)}, "2 maps and 1 cameras for 1 views"),
        ({"cameras": (CAMERA.scaled(width=14, height=14),)}, "must have the depth's size"),
        ({"placement": placement(np.eye(4)[None])}, "T_world_cam must be"),
    ],
)
def test_parts_must_fit(values, words):
    with pytest.raises(ValueError, match=words):
        replace(window_depth(), **values)
