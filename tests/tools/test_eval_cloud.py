"""What the table of docs/outputs.md is made by, on a step whose flying points are known."""

import numpy as np

from da3_ros.core.camera_model import CameraModel
from da3_ros.core.mask_depth import between_surfaces, flying_points
from da3_ros.synthetic.room import CAMERA
from tools.eval_cloud import Seen, flies, soft, tally


def test_points_between_two_walls_fly_and_no_others():
    truth = np.ones((40, 60), np.float32)
    truth[:, 30:] = 3
    depth = truth.copy()
    depth[10:20, 29:31] = 1.7
    np.testing.assert_array_equal(flies(depth, truth, 7), depth == np.float32(1.7))
    assert not flies(truth, truth, 7).any()


def test_a_slope_is_no_gap():
    truth = np.tile(np.linspace(1, 5, 60, dtype=np.float32), (40, 1))
    assert not flies(truth, truth, 7).any()


def test_the_filter_takes_most_of_what_flies_and_little_else():
    """A board before a wall, as an accurate network draws it, and a floor seen from low."""
    rows = np.arange(1, 241, dtype=np.float32)[:, None]
    truth = np.vstack([np.full((240, 640), 6.0), np.tile(np.minimum(6, 0.25 * 465 / rows), 640)])
    truth[100:300, 200:400] = 1.2
    seen = soft(truth.astype(np.float32), CAMERA)
    fly, left, lost, good = tally(seen, flying_points)
    assert fly > 500 and left < fly / 10 and lost < 0.01 * good
    assert tally(seen, between_surfaces)[2] > 1.5 * lost


def test_unknown_depth_counts_for_nothing():
    camera = CameraModel(20, 14, np.array([[20.0, 0, 9.5], [0, 20, 6.5], [0, 0, 1]]))
    unknown = np.full((14, 20), np.nan, np.float32)
    assert not any(tally(Seen(unknown, camera, unknown, camera), flying_points))
