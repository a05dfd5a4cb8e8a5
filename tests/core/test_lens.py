"""Lenses against OpenCV where it is right, and against their own inverse everywhere."""

import cv2
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from da3_ros.core.camera_model import CameraError, CameraModel

K = np.array([[210.0, 0, 158], [0, 208, 121], [0, 0, 1]])
SKEWED = K + [[0, 3.0, 0], [0, 0, 0], [0, 0, 0]]
LENSES = [
    ("none", []),
    ("plumb_bob", [-0.28, 0.07, 2e-4, -3e-4]),
    ("plumb_bob", [-0.28, 0.07, 2e-4, -3e-4, 0.01]),
    ("plumb_bob", [0.2, -0.02, 1e-3, -1e-3, 0.0, 0, 0, 0]),
    ("rational_polynomial", [0.4, 0.05, 1e-4, 2e-4, 0.002, 0.6, 0.08, 0.005]),
    ("rational_polynomial", [5.1, 2.3, 1e-4, 2e-5, 0.1, 5.5, 4.1, 0.7]),
    ("rational_polynomial", [0.4, 0.05, 1e-4, 2e-4, 0, 0.6, 0.08, 0, 1e-3, 2e-4, -1e-3, 3e-4]),
    ("rational_polynomial",
     [0.4, 0.05, 1e-4, 2e-4, 0, 0.6, 0.08, 0, 1e-3, 2e-4, -1e-3, 3e-4, 0.02, -0.03]),
    ("equidistant", [-0.02, 0.01, -0.003, 0.001]),
    ("equidistant", [0.3, 0.2, 0.1, 0.0, 0.0]),
    ("metashape", [-0.1, 0.02, -0.003, 0.0004, 1e-4, 2e-4]),
]  # fmt: skip


def by_opencv(camera, points):
    zero = np.zeros(3)
    project = cv2.fisheye.projectPoints if camera.distortion_model == "equidistant" else (
        cv2.projectPoints
    )  # fmt: skip
    return project(points[:, None], zero, zero, camera.K, camera.D)[0].reshape(-1, 2)


@pytest.mark.parametrize("model, D", [lens for lens in LENSES if lens[0] not in ("metashape",)])
def test_pixels_are_those_of_opencv(model, D):
    """OpenCV ignores skew in both of its models, so K has none here."""
    rng = np.random.default_rng(0)
    points = np.c_[rng.uniform(-0.7, 0.7, (500, 2)), np.ones(500)] * rng.uniform(0.3, 9, (500, 1))
    camera = CameraModel(320, 240, K, model, np.array(D))
    np.testing.assert_allclose(camera.project(points), by_opencv(camera, points), atol=1e-9)


@pytest.mark.parametrize("model, D", LENSES)
@pytest.mark.parametrize("size", [(320, 240), (50, 40)])
def test_what_a_pixel_sees_projects_onto_it_with_skew(model, D, size):
    camera = CameraModel(*size, SKEWED, model, np.array(D))
    v, u = np.mgrid[: size[1], : size[0]]
    pixels = np.stack([u, v], axis=-1).reshape(-1, 2)
    np.testing.assert_allclose(camera.project(camera.unproject(pixels)), pixels, atol=1e-8)
    np.testing.assert_allclose(camera.project(camera.directions()), pixels, atol=1e-5)


def test_skew_moves_a_pixel_by_skew_times_the_distorted_y():
    for model, D in LENSES:
        straight, skewed = (CameraModel(320, 240, k, model, np.array(D)) for k in (K, SKEWED))
        point = np.array([[0.3, 0.4, 1.0]])
        u, v = straight.project(point)[0]
        np.testing.assert_allclose(
            skewed.project(point)[0], (u + 3.0 * (v - 121) / 208, v), atol=1e-9
        )


small = st.floats(-1, 1)


@settings(max_examples=40, deadline=None)
@given(
    radial=st.tuples(*[small] * 6),
    others=st.tuples(*[small] * 8),
    f=st.floats(60, 900),
    skew=st.floats(-20, 20),
)
def test_any_rational_lens_sees_what_projects_there_or_nothing(radial, others, f, skew):
    """A direction that comes back is in front, unfolded, and projects onto its pixel."""
    k1, k2, k3, k4, k5, k6 = np.array(radial) * [0.5, 0.3, 0.1, 0.5, 0.3, 0.1]
    p, s, tilt = np.split(np.array(others), [2, 6])
    D = [k1, k2, *(0.01 * p), k3, k4, k5, k6, *(0.005 * s), *(0.1 * tilt)]
    camera = CameraModel(64, 48, np.array([[f, skew, 31], [0, f, 24], [0, 0, 1]]),
                         "rational_polynomial", np.array(D))  # fmt: skip
    v, u = np.mgrid[:48, :64]
    pixels = np.stack([u, v], axis=-1).reshape(-1, 2)
    directions = camera.unproject(pixels)
    seen = np.isfinite(directions[:, 0])
    assert seen[24 * 64 + 31]  # the axis
    np.testing.assert_allclose(camera.project(directions[seen]), pixels[seen], atol=1e-6)
    radius = np.hypot(*directions[seen, :2].T)
    assert (radius < getattr(camera.lens, "fold", np.inf)).all()


@pytest.mark.parametrize("model, D", LENSES)
def test_a_direction_lands_where_it_lands_alone(model, D):
    """Whatever is asked for beside it: behind the camera, or beyond the fold."""
    lens = CameraModel(320, 240, K, model, np.array(D)).lens
    directions = np.random.default_rng(0).normal(size=(300, 3))
    alone = [lens.distort(d[None])[0] for d in directions]
    np.testing.assert_allclose(lens.distort(directions), alone, rtol=1e-12)


@settings(max_examples=40, deadline=None)
@given(k=st.tuples(*[small] * 4), f=st.floats(15, 400))
def test_any_fisheye_sees_what_projects_there_or_nothing(k, f):
    D = np.array(k) * [0.3, 0.1, 0.03, 0.01]
    camera = CameraModel(64, 48, np.array([[f, 1.0, 31], [0, f, 24], [0, 0, 1]]), "equidistant", D)
    v, u = np.mgrid[:48, :64]
    pixels = np.stack([u, v], axis=-1).reshape(-1, 2)
    directions = camera.unproject(pixels)
    seen = np.isfinite(directions[:, 0])
    assert seen[24 * 64 + 31]
    np.testing.assert_allclose(np.linalg.norm(directions[seen], axis=1), 1, rtol=1e-12)
    np.testing.assert_allclose(camera.project(directions[seen]), pixels[seen], atol=1e-6)


def test_a_fisheye_sees_behind_its_image_plane():
    f = 90.0
    camera = CameraModel(420, 420, np.array([[f, 0, 210], [0, f, 210], [0, 0, 1]]),
                         "equidistant", np.zeros(4))  # fmt: skip
    for angle in (0.5, 1.5, 1.6, 2.2):
        point = 3 * np.array([[0, np.sin(angle), np.cos(angle)]])
        np.testing.assert_allclose(camera.project(point)[0], (210, 210 + f * angle), atol=1e-9)
    v, u = np.mgrid[:420, :420] - 210.0
    angle = np.hypot(u, v) / f
    directions = camera.directions()
    np.testing.assert_allclose(directions[..., 2], np.where(angle < np.pi, np.cos(angle), np.nan),
                               atol=1e-6)  # fmt: skip
    assert np.isnan(camera.rays()[angle > 1.58][:, :2]).all()


@pytest.mark.parametrize("D", [[0.25, 0, 0, 0], [0.25, 0, 1e-3, -2e-3], [0, 0, 0, 0, 0.1]])
@pytest.mark.parametrize("r", [0.5, 1.0, 2.0, 3.7])
def test_without_a_fold_the_farthest_point_comes_back(D, r):
    camera = CameraModel(316, 240, np.eye(3), "plumb_bob", np.array(D, float))
    point = np.array([[r, 0.0, 1.0]])
    np.testing.assert_allclose(camera.unproject(camera.project(point)), point, atol=1e-12)


def test_beyond_the_fold_of_a_polynomial_nothing_is_seen():
    """r (1 - .3 r^2) turns back at r = 1.054; OpenCV projects r = 1.7 into the picture again."""
    camera = CameraModel(320, 240, K, "plumb_bob", np.array([-0.3, 0, 0, 0.0]))
    turn = np.sqrt(1 / 0.9)
    np.testing.assert_allclose(camera.lens.fold, turn)
    points = np.array([[turn - 0.01, 0, 1], [turn + 0.01, 0, 1], [1.7, 0, 1]])
    seen = np.isfinite(camera.project(points)[:, 0])
    assert seen.tolist() == [True, False, False]
    farthest = 158 + 210 * (turn - 0.3 * turn**3)
    wide = camera.unproject([[farthest - 0.5, 121], [farthest + 0.5, 121]])
    assert np.isfinite(wide[0]).all() and np.isnan(wide[1]).all()


def test_a_pole_of_the_rational_function_is_an_edge():
    lens = CameraModel(64, 48, K, "rational_polynomial", np.array([0, 0, 0, 0, 0, -0.5, 0, 0])).lens
    np.testing.assert_allclose(lens.fold, np.sqrt(2))
    assert np.isnan(lens.distort(np.array([[1.5, 0, 1.0]]))).all()


def test_metashapes_camera_by_the_formulas_of_its_manual():
    width, height, f, cx, cy, b1, b2 = 4000, 3000, 2600.0, 12.3, -7.9, 1.7, -0.6
    k1, k2, k3, k4, p1, p2 = -0.11, 0.05, -0.02, 0.004, 3e-4, -5e-4
    camera = CameraModel.from_metashape(
        width, height, f, cx=cx, cy=cy, b1=b1, b2=b2, k1=k1, k2=k2, k3=k3, k4=k4, p1=p1, p2=p2
    )
    for X, Y, Z in ([0.3, 0.2, 1.0], [-2.1, 1.4, 4.0]):
        x, y = X / Z, Y / Z
        r2 = x * x + y * y
        radial = 1 + k1 * r2 + k2 * r2**2 + k3 * r2**3 + k4 * r2**4
        x, y = (
            x * radial + p1 * (r2 + 2 * x * x) + 2 * p2 * x * y,
            y * radial + p2 * (r2 + 2 * y * y) + 2 * p1 * x * y,
        )
        # Metashape counts pixels from the corner of the image, so a centre is at a half.
        u, v = width / 2 + cx + x * f + x * b1 + y * b2, height / 2 + cy + y * f
        np.testing.assert_allclose(camera.project([[X, Y, Z]])[0], (u - 0.5, v - 0.5), atol=1e-9)


def test_metashapes_fisheye_is_the_equidistant_lens():
    camera = CameraModel.from_metashape(
        640, 480, 200.0, type="Sensor.Type.Fisheye", k1=0.02, k4=0.01
    )
    assert camera.distortion_model == "equidistant" and camera.D.tolist() == [0.02, 0, 0, 0.01]


@pytest.mark.parametrize(
    "more, word",
    [
        ({"p3": 1e-5}, "p3 is not modelled"),
        ({"p4": 1e-5}, "p4 is not modelled"),
        ({"type": "spherical"}, "'spherical' is not modelled"),
        ({"type": "rpc"}, "'rpc' is not modelled"),
        ({"type": "fisheye", "p1": 1e-4}, "p1 and p2"),
    ],
)
def test_what_metashape_has_and_we_have_not_is_named(more, word):
    with pytest.raises(CameraError, match=word):
        CameraModel.from_metashape(640, 480, 500.0, **more)
    CameraModel.from_metashape(640, 480, 500.0, p3=0.0, p4=0.0)
