"""What the public API says of given cameras that do not fit the pictures."""

import warnings

import numpy as np
import pytest
from room_windows import view

from da3_ros.api import DepthAnything3
from da3_ros.core import poses

VIEWS = [view(i) for i in (0, 3, 6, 9)]
T_WORLD_CAM = np.stack([v.T_world_cam for v in VIEWS])


@pytest.fixture(scope="module")
def model():
    return DepthAnything3.from_pretrained("da3-demo")


@pytest.mark.parametrize("ray_pose", [False, True])
def test_right_poses_are_taken_without_a_word(model, ray_pose):
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        posed(model, poses.inverse(T_WORLD_CAM), use_ray_pose=ray_pose)


@pytest.mark.parametrize("aligned", [True, False])
@pytest.mark.parametrize(
    "extrinsics",
    [
        pytest.param(T_WORLD_CAM, id="camera to world"),
        pytest.param(poses.inverse(T_WORLD_CAM @ poses.inverse(poses.T_BODY_OPTICAL)), id="body"),
    ],
)
def test_poses_of_another_convention_are_named(model, extrinsics, aligned):
    with pytest.warns(UserWarning, match="extrinsics: the network sees the cameras turned by 0.*"):
        posed(model, extrinsics, align_to_input_ext_scale=aligned)


def posed(model, extrinsics, **options):
    K = np.stack([v.camera.K for v in VIEWS])
    return model.inference([v.image for v in VIEWS], extrinsics, K, **options)
