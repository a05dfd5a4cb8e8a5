"""Frames that no camera makes end no page."""

import warnings

import numpy as np
import pytest

from da3_ros.core.camera_model import CameraModel
from da3_ros.core.colormap import SPECTRAL, UNKNOWN, color_depth, depth_range
from da3_ros.ros.view.page import Page
from da3_ros.ros.view.picture import depth_grid, picture_html
from da3_ros.ros.view.show import show_frame
from da3_ros.ros.view.view_frame import FARTHEST, ViewFrame

CAMERA = CameraModel(64, 48, np.array([[60.0, 0, 31.5], [0, 60.0, 23.5], [0, 0, 1]]))


def frame(depth, T_world_cam=None):
    rgb = np.full((*depth.shape, 3), 90, np.uint8)
    return ViewFrame("left", 1, rgb, depth.astype(np.float32), CAMERA, T_world_cam)


def with_odd(value, share):
    depth = np.full(64 * 48, 2.0, np.float32)
    depth[: round(share * depth.size)] = value
    return np.random.default_rng(0).permutation(depth).reshape(48, 64)


@pytest.mark.parametrize("share", [0.02, 0.5, 0.98, 1.0])
@pytest.mark.parametrize("value", [1e-45, 1e-40, 1e-30, -1.0, 1e30, 3.4e38, np.inf, np.nan])
def test_any_depth_has_a_picture(value, share):
    """1e-40 m: its inverse is infinite in float32."""
    depth = with_odd(value, share)
    near, far = depth_range(depth)
    assert 0 < near <= far < np.inf
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert color_depth(depth, near, far).shape == (48, 64, 3)
        assert depth_grid(depth).dtype == np.uint16
    assert picture_html(np.zeros((48, 64, 3), np.uint8), depth, "m").count("<img") == 1


def test_what_is_too_near_for_float32_is_red():
    colors = color_depth(np.float32([1e-40, 1.0, 2.0, np.nan]), 1.0, 2.0)
    assert (colors[:2] == SPECTRAL[0]).all() and (colors[3] == UNKNOWN).all()


def test_points_of_no_room_are_kept_out_of_the_map():
    """They would make the voxels so large that nothing else is seen."""
    page = Page(port=8794)
    try:
        rng = np.random.default_rng(0)
        for _ in range(8):
            depth = rng.uniform(1, 3, (480, 640))
            depth[:, ::2] = 10 ** rng.uniform(4, 12, (480, 320))
            camera = CAMERA.scaled(width=640, height=480)
            rgb = np.zeros((480, 640, 3), np.uint8)
            page.show_frame(ViewFrame("", 1, rgb, depth.astype(np.float32), camera, np.eye(4)))
        points, _ = page._map.cloud()
        assert len(points) > 1000 and page._map.voxel < 0.1
        assert np.linalg.norm(points, axis=1).max() < FARTHEST
    finally:
        page.close()


def test_a_frame_without_a_picture_is_left_out_and_named(capfd):
    page = Page(port=8796)
    try:
        show_frame(page, frame(np.zeros((48, 0))))  # of no width
        show_frame(page, frame(np.full((48, 64), 2.0), np.eye(4)))
        assert page._map.has_grown or len(page._map.cloud()[0])
    finally:
        page.close()
    assert "left out a frame of camera 'left'" in capfd.readouterr().err
