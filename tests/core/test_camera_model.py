import re

import cv2
import numpy as np
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from da3_ros.core.camera_model import CameraError, CameraModel, check_plausible, is_far_off_centre

K = np.array([[210.0, 0, 158], [0, 208, 121], [0, 0, 1]])
LENSES = [
    ("none", []),
    ("plumb_bob", [-0.28, 0.07, 2e-4, -3e-4]),
    ("plumb_bob", [-0.28, 0.07, 2e-4, -3e-4, 0.01]),
    ("rational_polynomial", [0.4, 0.05, 1e-4, 2e-4, 0.002, 0.6, 0.08, 0.005]),
    ("equidistant", [-0.02, 0.01, -0.003, 0.001]),
]
small_sizes = st.integers(16, 200)


@pytest.mark.parametrize("model, D", LENSES)
def test_rays_project_onto_their_pixels(model, D):
    camera = CameraModel(320, 240, K, model, np.array(D))
    rays = camera.rays()
    assert rays.shape == (240, 320, 3) and (rays[..., 2] == 1).all()
    v, u = np.mgrid[:240, :320]
    pixels = np.stack([u.ravel(), v.ravel()], axis=1)
    for distance in (0.3, 7.0):
        np.testing.assert_allclose(camera.project(distance * rays), pixels, atol=1e-3)


def test_skew():
    K_skew = K + np.array([[0, 3.0, 0], [0, 0, 0], [0, 0, 0]])
    camera = CameraModel(64, 48, K_skew)
    v, u = np.mgrid[:48, :64]
    pixels = np.stack([u.ravel(), v.ravel()], axis=1)
    np.testing.assert_allclose(camera.project(camera.rays()), pixels, atol=1e-9)


@pytest.mark.parametrize("model, D", LENSES)
def test_nothing_is_seen_behind(model, D):
    camera = CameraModel(320, 240, K, model, np.array(D))
    pixels = camera.project(np.array([[0, 0, -1.0], [0.1, 0, 0], [0, 0, 2.0]]))
    assert np.isnan(pixels[0]).all()
    np.testing.assert_allclose(pixels[2], (158, 121), atol=1e-9)
    if model == "equidistant":  # beside the camera: theta is a right angle
        angle = np.pi / 2
        k1, k2, k3, k4 = D
        far = angle + k1 * angle**3 + k2 * angle**5 + k3 * angle**7 + k4 * angle**9
        np.testing.assert_allclose(pixels[1], (158 + 210 * far, 121))
    else:
        assert np.isnan(pixels[1]).all()


@given(small_sizes, small_sizes, small_sizes, small_sizes, st.floats(0, 1), st.floats(0, 1))
def test_scaling_follows_the_pixels_of_an_image_resizer(w, h, new_w, new_h, a, b):
    """A ramp resized by OpenCV says for each new pixel which old one it shows."""
    assume(new_w >= w and new_h >= h)  # enlarging interpolates exactly
    camera = CameraModel(w, h, np.array([[50.0, 0, a * w], [0, 60, b * h], [0, 0, 1]]))
    v, u = np.mgrid[:h, :w].astype(np.float32)
    old_u, old_v = (cv2.resize(m, (new_w, new_h), interpolation=cv2.INTER_LINEAR) for m in (u, v))
    rays = camera.scaled(width=new_w, height=new_h).rays().reshape(-1, 3)
    pixels = camera.project(rays).reshape(new_h, new_w, 2)
    inside = np.s_[new_h // h + 1 : -(new_h // h) - 1, new_w // w + 1 : -(new_w // w) - 1]
    np.testing.assert_allclose(pixels[inside][..., 0], old_u[inside], atol=2e-2)
    np.testing.assert_allclose(pixels[inside][..., 1], old_v[inside], atol=2e-2)


@given(small_sizes, small_sizes)
def test_scaling_and_back(w, h):
    camera = CameraModel(100, 80, K)
    back = camera.scaled(width=w, height=h).scaled(width=100, height=80)
    np.testing.assert_allclose(back.K, camera.K, atol=1e-9)
    assert (back.width, back.height) == (100, 80)


def test_a_fisheye_sees_no_ray_at_ninety_degrees():
    wide = CameraModel(
        400,
        400,
        np.array([[100.0, 0, 199.5], [0, 100, 199.5], [0, 0, 1]]),
        "equidistant",
        np.zeros(4),
    )
    rays = wide.rays()
    assert np.isnan(rays[0, 0, :2]).all() and np.isfinite(rays[200, 200]).all()


def test_zero_coefficients_are_no_lens_but_a_fisheye_is_one():
    assert not CameraModel(4, 4, K, "plumb_bob", np.zeros(5)).is_distorted
    assert CameraModel(4, 4, K, "equidistant", np.zeros(4)).is_distorted
    assert not CameraModel(4, 4, K, "equidistant", np.zeros(4)).pinhole().is_distorted


@pytest.mark.parametrize(
    "arguments, words",
    [
        ((0, 4, K), "size must be positive, got 0x4"),
        ((4, 4, np.zeros((3, 3))), "uncalibrated camera"),
        ((4, 4, -K), "both must be positive"),
        ((4, 4, np.full((3, 3), np.nan)), "finite 3x3"),
        ((4, 4, np.eye(4)), "finite 3x3"),
        ((4.5, 4, K), "whole pixels, got 4.5 x 4"),
        (("4", 4, K), "whole pixels, got '4' x 4"),
        ((np.inf, 4, K), "whole pixels, got inf"),
        ((None, 4, K), "whole pixels, got None"),
        ((4, 4, K, None), "'None' is not supported"),
        ((4, 4, K.T), "upper triangular"),
        (
            (4, 4, K, "thin_prism", np.zeros(4)),
            "'thin_prism' is .*, equidistant$",
        ),
        ((4, 4, K, "plumb_bob", np.zeros(3)), "takes 4 or 5 coefficients, got 3"),
        ((4, 4, K, "equidistant", np.full(4, np.nan)), "D of equidistant must be finite"),
    ],
)
def test_what_no_camera_can_have_is_refused(arguments, words):
    with pytest.raises(CameraError, match=words):
        CameraModel(*arguments)


def test_sizes_that_come_as_floats_are_whole():
    camera = CameraModel(8.0, np.float64(4), K)
    assert (camera.width, camera.height) == (8, 4)
    assert type(camera.width) is type(camera.height) is int


FOCAL, OTHERS = [(0, 0), (1, 1)], [(0, 1), (0, 2), (1, 2)]


@pytest.mark.parametrize(
    "place, value",
    [(p, v) for p in FOCAL for v in (1e300, 1e8, 1e-4, 5e-324)]
    + [(p, v) for p in OTHERS for v in (1e300, 1e8, -1e8)],
)
def test_numbers_of_no_calibration_are_refused(place, value):
    K_wild = K.copy()
    K_wild[place] = value
    with pytest.raises(CameraError, match=re.escape(f"{value:g}")):
        check_plausible(CameraModel(320, 240, K_wild))


def test_a_focal_length_in_widths_of_the_picture_is_no_pixels():
    K = np.array([[1.2, 0, 0.5], [0, 1.6, 0.5], [0, 0, 1]])
    with pytest.raises(CameraError, match="K must be in pixels, not in widths of the picture"):
        check_plausible(CameraModel(640, 480, K))
    around = np.diag([640 / (2 * np.pi), 640 / (2 * np.pi), 1.0])  # a fisheye that sees all around
    check_plausible(CameraModel(640, 480, around, "equidistant", np.zeros(4)))


@pytest.mark.parametrize("share, is_far", [(1, False), (0.9, False), (0.5, True), (2, True)])
def test_intrinsics_of_another_size_are_far_off_centre(share, is_far):
    camera = CameraModel(320, 240, np.diag([share, share, 1]) @ K)
    assert is_far_off_centre(camera) == is_far
