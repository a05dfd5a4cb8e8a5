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


def test_color_images_keep_their_channels():
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


@pytest.mark.parametrize("model", LENSES)
def test_seen_are_the_pixels_whose_rays_the_raw_image_holds(model):
    rectify = Rectifier(
        camera(model), SMALL_TURN, np.diag([120.0, 118, 1]) + [[0, 0, 160], [0, 0, 118], [0, 0, 0]]
    )
    raw = camera(model).project(rectify.camera.rays().reshape(-1, 3) @ SMALL_TURN)
    inside = (np.abs(raw - [159.5, 119.5]) <= [160, 120]).all(axis=1).reshape(240, 320)
    assert 0.2 < inside.mean() < 0.95
    assert (rectify.seen != inside).mean() < 1e-3  # maps are float32
    white = rectify(np.full((240, 320), 255, np.uint8))
    assert (white[~rectify.seen] == 0).all() and (white[rectify.seen] > 0).all()


def test_what_shows_everything_has_no_mask():
    assert Rectifier(CameraModel(320, 240, K)).seen is None
    assert (
        Rectifier(
            camera("plumb_bob"),
            new_K=np.diag([400.0, 400, 1]) + [[0, 0, 160], [0, 0, 120], [0, 0, 0]],
        ).seen
        is None
    )


def test_skew_of_the_raw_camera_is_taken_out():
    skewed = CameraModel(
        320,
        240,
        K + [[0, 8.0, 0], [0, 0, 0], [0, 0, 0]],
        "plumb_bob",
        np.array(LENSES["plumb_bob"]),
    )
    rectified = Rectifier(skewed, new_K=K)(see(skewed.rays()))
    inside = np.s_[30:-30, 40:-40]
    expected = see(CameraModel(320, 240, K).rays())
    assert np.abs(rectified[inside].astype(int) - expected[inside]).max() <= 2


def test_beyond_the_fold_of_the_lens_nothing_is_repeated():
    """OpenCV's maps show the folded picture a second time in the corners."""
    folding = CameraModel(
        320,
        240,
        np.array([[100.0, 0, 160], [0, 100, 120], [0, 0, 1]]),
        "plumb_bob",
        np.array([-0.3, 0, 0, 0.0]),
    )
    rectify = Rectifier(folding)
    radius = np.hypot(*(rectify.camera.rays()[..., :2] - 0).transpose(2, 0, 1))
    assert not rectify.seen[radius > np.sqrt(1 / 0.9) + 0.01].any()
    assert (rectify(np.full((240, 320), 255, np.uint8))[radius > 1.07] == 0).all()


def test_an_image_of_another_size_is_refused():
    with pytest.raises(ValueError, match="its camera says"):
        Rectifier(camera("plumb_bob"))(np.zeros((120, 160), np.uint8))
