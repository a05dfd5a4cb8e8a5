import cv2
import numpy as np
import pytest

from da3_ros.core.camera_model import CameraModel
from da3_ros.core.rectify import Rectifier

K = np.array([[210.0, 0, 158], [0, 208, 121], [0, 0, 1]])
LENSES = {
    "plumb_bob": [-0.28, 0.07, 2e-4, -3e-4, 0.0],
    "rational_polynomial": [0.4, 0.05, 1e-4, 2e-4, 0.002, 0.6, 0.08, 0.005],
    "equidistant": [-0.02, 0.01, -0.003, 0.001],
}
SMALL_TURN = cv2.Rodrigues(np.array([0.02, -0.03, 0.05]))[0]


def camera(model):
    return CameraModel(320, 240, K, model, np.array(LENSES[model]))


def see(rays):
    """What a camera sees that looks along rays (H, W, 3) at a smooth pattern."""
    x, y = rays[..., 0] / rays[..., 2], rays[..., 1] / rays[..., 2]
    pattern = 127 + 60 * np.sin(9 * x + 2) + 60 * np.cos(8 * y - 1)
    return np.round(np.nan_to_num(pattern)).astype(np.uint8)


@pytest.mark.parametrize("model", LENSES)
@pytest.mark.parametrize("R", [None, SMALL_TURN], ids=["straight", "turned"])
@pytest.mark.parametrize(
    "new_K", [None, np.diag([180.0, 190, 1]) + [[0, 0, 160], [0, 0, 118], [0, 0, 0]]]
)
def test_the_rectified_image_is_what_the_pinhole_camera_sees(model, R, new_K):
    rectify = Rectifier(camera(model), R, new_K)
    rectified = rectify(see(camera(model).rays()))
    np.testing.assert_array_equal(rectify.camera.K, K if new_K is None else new_K)
    assert not rectify.camera.is_distorted
    rays = rectify.camera.rays()
    expected = see(rays if R is None else rays @ R)
    seen = np.zeros((240, 320), bool)
    seen[30:-30, 40:-40] = True
    assert np.abs(rectified.astype(int) - expected)[seen].max() <= 2


def test_colour_images_keep_their_channels():
    picture = np.repeat(see(camera("plumb_bob").rays())[..., None], 3, axis=2)
    rectified = Rectifier(camera("plumb_bob"))(picture)
    assert rectified.shape == (240, 320, 3) and rectified.dtype == np.uint8
    np.testing.assert_array_equal(rectified[..., 0], rectified[..., 2])


def test_a_pinhole_image_is_not_touched():
    picture = np.random.default_rng(0).integers(0, 256, (240, 320, 3), dtype=np.uint8)
    assert Rectifier(CameraModel(320, 240, K))(picture) is picture
    zeros = CameraModel(320, 240, K, "plumb_bob", np.zeros(5))
    assert Rectifier(zeros, np.eye(3), K)(picture) is picture


def test_a_pinhole_image_moves_to_a_new_K():
    """P may differ from K without any lens, as in the right image of a stereo pair."""
    pinhole = CameraModel(320, 240, K)
    shifted = K + np.array([[0, 0, 5], [0, 0, 0], [0, 0, 0]])
    picture = see(pinhole.rays())
    rectified = Rectifier(pinhole, new_K=shifted)(picture)
    np.testing.assert_array_equal(rectified[:, 5:], picture[:, :-5])


def test_an_image_of_another_size_is_refused():
    with pytest.raises(ValueError, match="its camera says"):
        Rectifier(camera("plumb_bob"))(np.zeros((120, 160), np.uint8))
