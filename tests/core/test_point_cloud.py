import tracemalloc

import numpy as np
import pytest

from da3_ros.core.camera_model import CameraModel
from da3_ros.core.point_cloud import POINT, PointCloudWriter, one_per_cell

CAMERA = CameraModel(40, 30, np.array([[33.0, 0, 18.7], [0, 34, 15.2], [0, 0, 1]]))


@pytest.fixture
def picture():
    rng = np.random.default_rng(0)
    depth = rng.uniform(0.5, 9, (30, 40)).astype(np.float32)
    return depth, rng.integers(0, 256, (30, 40, 3), dtype=np.uint8)


def test_points_project_back_onto_their_pixels(picture):
    points = PointCloudWriter()(*picture, CAMERA)
    assert points.shape == (30, 40)
    xyz = np.stack([points[k] for k in "xyz"], axis=-1).reshape(-1, 3)
    v, u = np.mgrid[:30, :40]
    pixels = np.stack([u.ravel(), v.ravel()], axis=1)
    np.testing.assert_allclose(CAMERA.project(xyz), pixels, atol=1e-4)
    np.testing.assert_array_equal(points["z"], picture[0])


def test_bytes_are_those_of_depth_image_proc(picture):
    """x y z float32 at 0 4 8, then blue green red at 16 17 18, 32 bytes a point."""
    depth, image = picture
    raw = np.frombuffer(PointCloudWriter()(depth, image, CAMERA).tobytes(), np.uint8)
    raw = raw.reshape(30, 40, 32)
    np.testing.assert_array_equal(raw[..., 16:19], image[..., ::-1])
    assert not raw[..., 12:16].any() and not raw[..., 19:].any()
    np.testing.assert_array_equal(raw[..., 8:12].copy().view("<f4")[..., 0], depth)
    assert POINT.itemsize == 32


def test_unknown_and_out_of_range_points_are_nan(picture):
    depth, image = picture
    depth[3, 4], depth[5, 6], depth[7, 8] = np.nan, np.inf, -np.inf
    depth[15, 18] = np.inf  # next to the optical axis: no 0 * inf left over
    points = PointCloudWriter()(depth, image, CAMERA)
    bad = ~np.isfinite(depth)
    for name in "xyz":
        np.testing.assert_array_equal(np.isnan(points[name]), bad)


@pytest.mark.parametrize("step", [2, 3, 7])
def test_step_takes_every_nth_pixel(picture, step):
    full = PointCloudWriter()(*picture, CAMERA).copy()
    np.testing.assert_array_equal(PointCloudWriter(step)(*picture, CAMERA), full[::step, ::step])


def test_the_buffer_is_used_again_and_holds_only_the_new_cloud(picture):
    depth, image = picture
    writer = PointCloudWriter()
    first = writer(depth, image, CAMERA)
    second = writer(depth + 1, image, CAMERA)
    assert np.shares_memory(first, second)
    np.testing.assert_array_equal(second, PointCloudWriter()(depth + 1, image, CAMERA))


def test_a_camera_with_autofocus_does_not_fill_the_memory():
    """It has another K in every image."""
    depth, image = np.ones((300, 400), np.float32), np.zeros((300, 400, 3), np.uint8)
    writer, held = PointCloudWriter(), []
    tracemalloc.start()
    for focus in range(6):
        K = np.array([[300.0 + focus, 0, 199.5], [0, 300 + focus, 149.5], [0, 0, 1]])
        points = writer(depth, image, CameraModel(400, 300, K))
        assert points["x"][0, 0] == pytest.approx(-199.5 / (300 + focus))
        held.append(tracemalloc.get_traced_memory()[0])
    tracemalloc.stop()
    assert held[-1] - held[0] < depth.nbytes


def test_sizes_must_agree(picture):
    depth, image = picture
    with pytest.raises(ValueError, match="must have the camera's size"):
        PointCloudWriter()(depth[1:], image[1:], CAMERA)


def test_confidence_is_bounded_and_in_order(picture):
    conf = np.random.default_rng(1).uniform(1, 40, (30, 40)).astype(np.float32)
    conf[0, :5:2] = 1, 1e30, np.nan
    writer = PointCloudWriter(2)
    said = writer(*picture, CAMERA, None, conf)["confidence"].copy()
    assert said[0, 0] == 0 and np.nanmax(said) <= 1
    np.testing.assert_allclose(said, 1 - 1 / conf[::2, ::2], rtol=1e-6)
    assert not writer(*picture, CAMERA)["confidence"].any()


def test_one_point_of_each_cube():
    points = np.array([[0.1, 0, 0], [0.9, 0.9, 0.9], [1.1, 0, 0], [-0.1, 0, 0], [0.2, 0, 0]])
    assert sorted(one_per_cell(points, 1.0)) == [0, 2, 3]
    assert len(one_per_cell(np.zeros((0, 3)), 1.0)) == 0
