"""Rendered depth against geometry known in closed form, and against Embree and OpenCV."""

from contextlib import suppress

import cv2
import numpy as np
import pytest
import trimesh
from hypothesis import given, settings
from hypothesis import strategies as st
from rays import first_hits

from da3_ros.core import poses
from da3_ros.core.camera_model import CameraError, CameraModel
from da3_ros.core.poses import PoseError
from da3_ros.core.scene import lens_rasteriser, render_depth
from da3_ros.core.scene.mesh import Mesh, MeshError

IDENTITY = np.eye(4)


def pinhole(width=64, height=48, f=50.0, cx=None, cy=None, skew=0.0):
    cx = (width - 1) / 2 if cx is None else cx
    cy = (height - 1) / 2 if cy is None else cy
    return CameraModel(width, height, np.array([[f, skew, cx], [0, f, cy], [0, 0, 1]]))


def quad(z=2.0, half=0.5):
    """A square at depth z, its front towards the origin."""
    corners = half * np.array([[-1, -1], [-1, 1], [1, 1], [1, -1]])
    return Mesh(np.c_[corners, np.full(4, z)], np.array([[0, 1, 2], [0, 2, 3]]))


def cube(size=4.0, inward=False):
    box = trimesh.creation.box((size, size, size))
    return Mesh(box.vertices, box.faces[:, ::-1] if inward else box.faces)


def bumpy_sphere():
    """20,480 triangles, no two alike."""
    sphere = trimesh.creation.icosphere(subdivisions=5)
    bumps = 1 + 0.15 * np.sin(7 * sphere.vertices).prod(axis=1, keepdims=True)
    return Mesh(sphere.vertices * bumps, sphere.faces)


def look_at(eye, target=(0, 0, 0)):
    forward = np.subtract(target, eye) / np.linalg.norm(np.subtract(target, eye))
    right = np.cross(forward, [0.1, -1.0, 0.3])
    right /= np.linalg.norm(right)
    return poses.compose(
        np.stack([right, np.cross(forward, right), forward], axis=1), np.array(eye)
    )


def by_rays(mesh, T_world_cam, camera):
    """The same image by casting every ray, in float64 planes: an independent engine."""
    rays = camera.rays().reshape(-1, 3) @ T_world_cam[:3, :3].T
    origins = np.broadcast_to(T_world_cam[:3, 3], rays.shape)
    t = first_hits(mesh.vertices[mesh.faces], origins, rays)
    return t.reshape(camera.height, camera.width)


# --- what is asked for comes back ---


def test_shapes_types_and_alpha():
    both = quad().render_depth(IDENTITY, pinhole())
    depth = quad().render_depth(IDENTITY, pinhole(), add_alpha=False)
    assert both.shape == (48, 64, 2) and depth.shape == (48, 64)
    assert both.dtype == depth.dtype == np.float32
    np.testing.assert_array_equal(both[..., 0], depth)
    np.testing.assert_array_equal(both[..., 1], np.isfinite(depth))
    assert 0 < both[..., 1].mean() < 1


def test_the_quad_covers_exactly_its_pixel_centres():
    """+-0.5 m at 2 m with f = 50 spans u = cx +- 12.5: 26 columns, 26 rows (cx = 31.5)."""
    depth = quad().render_depth(IDENTITY, pinhole(cx=31.4, cy=23.4), add_alpha=False)
    v, u = np.nonzero(np.isfinite(depth))
    assert (u.min(), u.max(), v.min(), v.max()) == (19, 43, 11, 35)
    assert len(u) == 25 * 25
    np.testing.assert_allclose(depth[v, u], 2.0, rtol=1e-6)


def test_quad_from_both_sides():
    front, back = IDENTITY, look_at((0.0, 0.0, 4.0), (0, 0, 2))
    for cull in (True, False):
        assert np.isfinite(quad().render_depth(front, pinhole(), cull, False)).sum() > 600
    assert np.isnan(quad().render_depth(back, pinhole(), True, False)).all()
    np.testing.assert_allclose(
        np.nanmedian(quad().render_depth(back, pinhole(), False, False)), 2.0, rtol=1e-6
    )


@pytest.mark.parametrize("lens", [False, True])
def test_cube_from_inside(lens):
    camera = pinhole()
    if lens:
        camera = CameraModel(64, 48, camera.K, "plumb_bob", np.array([-0.1, 0.02, 0, 0, 0]))
    assert np.isnan(cube().render_depth(IDENTITY, camera, True, False)).all()
    for mesh, cull in ((cube(), False), (cube(inward=True), True), (cube(inward=True), False)):
        np.testing.assert_allclose(mesh.render_depth(IDENTITY, camera, cull, False), 2.0, rtol=1e-5)


def test_culling_shows_what_is_behind_the_back_face():
    """A cube around the camera seen from its back, and a front-facing quad beyond it."""
    far = quad(z=9.0, half=20.0)
    shell = cube()
    both = Mesh(
        np.r_[shell.vertices, far.vertices], np.r_[shell.faces, far.faces + len(shell.vertices)]
    )
    lens = CameraModel(64, 48, pinhole().K, "plumb_bob", np.array([-0.1, 0.02, 0, 0, 0]))
    for camera in (pinhole(), lens):
        np.testing.assert_allclose(both.render_depth(IDENTITY, camera, True, False), 9.0, rtol=1e-5)
        np.testing.assert_allclose(
            both.render_depth(IDENTITY, camera, False, False), 2.0, rtol=1e-5
        )


def test_triangles_across_the_image_plane():
    """A floor from 50 m behind to 50 m ahead, made of two triangles: depth = f h / (v - cy)."""
    corners = np.array([[-50.0, 1, -50], [50, 1, -50], [50, 1, 50], [-50, 1, 50]])
    camera = pinhole(width=200, height=200, f=100.0)
    depth = Mesh(corners, np.array([[0, 1, 2], [0, 2, 3]])).render_depth(
        IDENTITY, camera, cull_faces=False, add_alpha=False
    )
    v = np.arange(200) - camera.K[1, 2]
    expected = np.where(v > 2.0, 100.0 / np.where(v > 0, v, 1), np.nan)
    np.testing.assert_allclose(depth, np.repeat(expected[:, None], 200, axis=1), rtol=2e-5)


def test_camera_inside_a_dense_mesh_and_near_its_surface():
    for distance in (0.0, 0.9):
        T = look_at((0.0, 0.02, distance), (0.3, 0.1, 2.0))
        depth = bumpy_sphere().render_depth(T, pinhole(160, 120, 90.0), False, False)
        assert np.isfinite(depth).all()  # no crack anywhere
        np.testing.assert_allclose(
            depth, by_rays(bumpy_sphere(), T, pinhole(160, 120, 90.0)), rtol=1e-4
        )


def test_empty_views():
    away = look_at((0.0, 0.0, -1.0), (0, 0, -2))
    nothing = Mesh(np.zeros((0, 3)), np.zeros((0, 3), int))
    lens = CameraModel(64, 48, pinhole().K, "equidistant", np.zeros(4))
    for camera in (pinhole(), lens):
        assert np.isnan(quad().render_depth(away, camera, False, False)).all()
        image = nothing.render_depth(IDENTITY, camera)
        assert np.isnan(image[..., 0]).all() and (image[..., 1] == 0).all()


def test_degenerate_triangles_are_not_seen():
    line = Mesh(np.array([[-1.0, 0, 2], [0, 0, 2], [1, 0, 2]]), np.array([[0, 1, 2], [0, 0, 1]]))
    assert np.isnan(line.render_depth(IDENTITY, pinhole(), False, False)).all()


def test_one_pixel_and_twelve_million():
    one = quad().render_depth(IDENTITY, pinhole(1, 1, 1.0, 0.0, 0.0), add_alpha=False)
    np.testing.assert_allclose(one, [[2.0]], rtol=1e-6)
    big = pinhole(4000, 3000, 3000.0)
    T = look_at((0.4, -0.3, -2.5))
    depth = bumpy_sphere().render_depth(T, big, add_alpha=False)
    some = np.s_[100::170, 100::170]  # every ray of 12 million would take a minute to check
    v, u = np.indices((3000, 4000), sparse=True)
    u, v = np.broadcast_arrays(u[0, 100::170], v[100::170])
    rays = np.stack([(u - 1999.5) / 3000, (v - 1499.5) / 3000, np.ones(u.shape)], axis=-1)
    origins = np.broadcast_to(T[:3, 3], rays.reshape(-1, 3).shape)
    mesh = bumpy_sphere()
    t = first_hits(mesh.vertices[mesh.faces], origins, rays.reshape(-1, 3) @ T[:3, :3].T)
    np.testing.assert_array_equal(np.isnan(depth[some]).ravel(), np.isnan(t))
    np.testing.assert_allclose(depth[some].ravel(), t, rtol=2e-5)


# --- exactness ---


@settings(max_examples=25, deadline=None)
@given(
    eye=st.tuples(*[st.floats(-3, 3)] * 3).filter(lambda e: np.linalg.norm(e) > 1.3),
    f=st.floats(30, 400),
    cx=st.floats(-80, 240),
    cy=st.floats(-60, 180),
    skew=st.floats(-5, 5),
)
def test_equals_casting_every_ray(eye, f, cx, cy, skew):
    """Any view, principal points outside the image and skew included."""
    mesh, camera, T = bumpy_sphere(), pinhole(160, 120, f, cx, cy, skew), look_at(eye)
    rastered, cast = mesh.render_depth(T, camera, False, False), by_rays(mesh, T, camera)
    # Outlines and creases may differ by a pixel that an edge passes within 5e-4 px.
    assert (np.isnan(rastered) != np.isnan(cast)).sum() <= 3
    error = np.abs(rastered - cast)
    assert np.nansum(error > 1e-4) <= 5
    if np.isfinite(cast).sum() > 100:
        assert np.nanmedian(error) < 1e-6


LENSES = {
    "plumb_bob": [-0.28, 0.07, 0.0002, 0.0001, 0.0],
    "rational_polynomial": [0.3, -0.2, 0.0005, -0.0003, 0.01, 0.6, -0.1, 0.02],
    "equidistant": [-0.01, 0.02, -0.01, 0.002],
}


@pytest.mark.parametrize("model", LENSES)
def test_lens_against_an_undistortion_by_opencv(model):
    """The distorted depth, rectified by OpenCV's maps, is the pinhole's depth."""
    K, D = np.array([[220.0, 0, 158.0], [0, 222.0, 121.0], [0, 0, 1]]), np.array(LENSES[model])
    camera, straight = CameraModel(320, 240, K, model, D), CameraModel(320, 240, K)
    mesh, T = bumpy_sphere(), look_at((0.8, -0.5, -2.0))
    seen, expected = (mesh.render_depth(T, c, add_alpha=False) for c in (camera, straight))
    init = cv2.fisheye if model == "equidistant" else cv2
    map_u, map_v = init.initUndistortRectifyMap(K, D, np.eye(3), K, (320, 240), cv2.CV_32FC1)
    filled = cv2.remap(seen, map_u, map_v, cv2.INTER_LINEAR, borderValue=np.nan)
    both = np.isfinite(filled) & np.isfinite(expected)
    assert both.sum() > 10000
    # Linear interpolation between pixels of a bumpy surface: exact up to its curvature.
    assert np.median(np.abs(filled - expected)[both]) < 2e-4
    assert np.abs(np.nanmean(seen) - np.nanmean(expected)) > 1e-3  # the lens does something


def test_a_fisheye_sees_behind_its_image_plane():
    """Depth is z, so it is negative there: the wall of the box in that direction."""
    camera = CameraModel(400, 400, np.array([[90.0, 0, 199.5], [0, 90, 199.5], [0, 0, 1]]),
                         "equidistant", np.zeros(4))  # fmt: skip
    depth = cube(inward=True).render_depth(IDENTITY, camera, add_alpha=False)
    v, u = np.indices((400, 400)) - 199.5
    angle = np.hypot(u, v) / 90
    ray = np.stack([np.sin(angle) * u, np.sin(angle) * v, np.cos(angle) * angle * 90], axis=-1)
    ray /= angle[..., None] * 90
    expected = ray[..., 2] * 2 / np.abs(ray).max(axis=-1)
    seen = angle < 3.1  # an arc as long as the image is one point there
    assert (depth[(angle > 1.6) & seen] < 0).all()
    np.testing.assert_allclose(depth[seen], expected[seen], atol=2e-5)


WIDE = {
    "barrel": ("plumb_bob", [-0.25, 0.06, 1e-3, -1e-3, 0.0], 220.0, 0.0),
    "skewed": ("plumb_bob", [-0.25, 0.06, 1e-3, -1e-3, 0.0], 220.0, 9.0),
    "tilted": (
        "rational_polynomial",
        [0.3, -0.02, 0, 0, 0, 0.5, 0, 0, 0, 0, 0, 0, 0.1, -0.05],
        220.0,
        0.0,
    ),
    "folding": ("plumb_bob", [-0.3, 0, 0, 0], 90.0, 0.0),
    "metashape": ("metashape", [-0.1, 0.02, -0.003, 4e-4, 1e-4, 2e-4], 220.0, 1.0),
    "fisheye": ("equidistant", [-0.02, 0.01, 0, 0], 140.0, 2.0),
    "fisheye beyond 90 degrees": ("equidistant", [0.01, 0.0, 0, 0], 80.0, 0.0),
}  # fmt: skip


@pytest.mark.parametrize("lens", WIDE)
@pytest.mark.parametrize("cull", [True, False])
@pytest.mark.parametrize("name", ["few large", "many small"])
def test_a_view_through_a_lens_equals_casting_every_ray(lens, cull, name):
    model, D, f, skew = WIDE[lens]
    K = np.array([[f, skew, 158], [0, f, 121], [0, 0, 1]])
    camera = CameraModel(320, 240, K, model, np.array(D))
    inside = cube(6.0, inward=True)
    if name == "few large":  # a cube in a cube
        small = cube(1.0)
        mesh = Mesh(np.r_[inside.vertices, small.vertices + [0.3, 0.2, 1.7]],
                    np.r_[inside.faces, small.faces + 8])  # fmt: skip
    else:
        mesh = bumpy_sphere() if cull else Mesh(3 * bumpy_sphere().vertices, bumpy_sphere().faces)
    T = look_at((0.2, -0.1, -2.4) if name == "many small" and cull else (0.1, 0.2, -0.3), (0, 0, 1))
    depth = mesh.render_depth(T, camera, cull, add_alpha=False)
    rays = camera.directions().reshape(-1, 3)
    seen = np.isfinite(rays[:, 0])
    t = np.full(len(rays), np.nan)
    triangles = mesh.vertices[mesh.faces]
    if cull:  # all rays start at one point
        normals = np.cross(triangles[:, 1] - triangles[:, 0], triangles[:, 2] - triangles[:, 0])
        triangles = triangles[((triangles[:, 0] - T[:3, 3]) * normals).sum(axis=1) < 0]
    origins = np.broadcast_to(T[:3, 3], (seen.sum(), 3))
    t[seen] = first_hits(triangles, origins, rays[seen] @ T[:3, :3].T)
    expected = (t * rays[:, 2]).reshape(depth.shape)
    # At the fold of a lens its last pixel may go either way.
    assert (np.isnan(depth) != np.isnan(expected)).sum() <= (12 if lens == "folding" else 3)
    error = np.abs(depth - expected)
    assert np.nansum(error > 1e-4) <= 5 and np.nanmedian(error) < 1e-6
    assert np.isfinite(depth).mean() > 0.04


@pytest.mark.parametrize(
    "place",
    [(512345.37, 5404321.62, 431.18), (4177423.1, 855213.7, 4728911.9)],
    ids=["UTM", "ECEF"],
)
@pytest.mark.parametrize("lens", [None, "plumb_bob", "equidistant"])
def test_far_from_the_origin_as_near_it(place, lens):
    D = np.array(LENSES[lens]) if lens else np.zeros(0)
    camera = CameraModel(320, 240, pinhole(320, 240, 250.0).K, lens or "none", D)
    ball, T = bumpy_sphere(), look_at((0.8, -0.5, -2.0))
    far = T.copy()
    far[:3, 3] += place
    near_depth, far_depth = (
        mesh.render_depth(at, camera, add_alpha=False)
        for mesh, at in ((ball, T), (Mesh(ball.vertices + place, ball.faces), far))
    )
    assert (np.isnan(near_depth) != np.isnan(far_depth)).sum() <= 3
    error = np.abs(near_depth - far_depth)
    assert np.nanquantile(error, 0.999) < 1e-5 and np.nansum(error > 1e-4) <= 3


# --- errors name what is wrong ---


@pytest.mark.parametrize(
    "transform, word",
    [
        (np.full((4, 4), np.nan), "transform: contains NaN"),
        (np.diag([2.0, 2, 2, 1]), "transform: rotation is not orthonormal .* scaled by 2:"),
        (np.diag([2.0, 2, 1, 1]), r"transform: rotation is not orthonormal \(off by 3\)$"),
        (np.diag([1.0, 1, -1, 1]), "transform: rotation is a reflection"),
        (np.eye(3), "transform: expected shape"),
    ],
)
def test_a_transform_that_is_not_rigid(transform, word):
    with pytest.raises(PoseError, match=word):
        quad().render_depth(transform, pinhole())


def test_a_calibration_of_zeros():
    with pytest.raises(CameraError, match="K has focal length"):
        CameraModel(64, 48, np.zeros((3, 3)))


@pytest.mark.parametrize("calibration, word", [(None, "NoneType"), (np.eye(3), "ndarray")])
def test_a_calibration_that_is_none(calibration, word):
    with pytest.raises(CameraError, match=f"calibration is a {word}, must be a CameraModel"):
        quad().render_depth(IDENTITY, calibration)


def test_an_image_too_wide():
    with pytest.raises(ValueError, match="calibration: 40000x1 is too large"):
        quad().render_depth(IDENTITY, pinhole(40000, 1))


@pytest.mark.parametrize(
    "vertices, faces, word",
    [
        (np.zeros((3, 2)), np.zeros((1, 3), int), "vertices"),
        (np.full((3, 3), np.nan), np.zeros((1, 3), int), "vertices"),
        (np.zeros((3, 3)), np.array([[0, 1, 3]]), r"outside 0\.\.2"),
        (np.zeros((3, 3)), np.zeros((1, 4), int), "faces"),
    ],
)
def test_meshes_that_cannot_be(vertices, faces, word):
    with pytest.raises(MeshError, match=word):
        Mesh(vertices, faces)


# --- requests without measure ---


@pytest.mark.parametrize("lens", [False, True])
def test_large_images_are_drawn_in_bands_that_fit_together(lens, monkeypatch):
    camera = pinhole(120, 97, 60.0)
    if lens:
        camera = CameraModel(120, 97, camera.K, "plumb_bob", np.array([-0.2, 0.05, 1e-3, 0, 0]))
    pose = look_at((3.0, 0.5, -2.0))
    whole = bumpy_sphere().render_depth(pose, camera, add_alpha=False)
    monkeypatch.setattr(render_depth, "BAND_PIXELS", 120 * 10 + 7)
    banded = bumpy_sphere().render_depth(pose, camera, add_alpha=False)
    assert (np.isfinite(banded) != np.isfinite(whole)).mean() < 1e-3
    both = np.isfinite(banded) & np.isfinite(whole)
    assert both.mean() > 0.05
    np.testing.assert_allclose(banded[both], whole[both], rtol=1e-4)


def test_a_lens_that_bends_without_end_is_refused(monkeypatch):
    D = np.array([1e11, -3e5, 40, 2, 7])
    camera = CameraModel(64, 48, pinhole().K, "plumb_bob", D)
    monkeypatch.setattr(lens_rasteriser, "MOST_PIECES", 1 << 14)
    with pytest.raises(CameraError, match="bends straight lines without end"):
        cube().render_depth(look_at((3.0, 0.5, -6.0)), camera, add_alpha=False)


def test_a_fisheye_without_rays_sees_nothing(monkeypatch):
    D = np.array([3e4, -1e9, 5e10, 1e3])
    camera = CameraModel(64, 48, pinhole().K, "equidistant", D)
    monkeypatch.setattr(lens_rasteriser, "MOST_PIECES", 1 << 14)
    depth = cube().render_depth(look_at((3.0, 0.5, -6.0)), camera, add_alpha=False)
    assert depth.shape == (48, 64) and np.isnan(depth).all()


@settings(max_examples=8)
@given(st.lists(st.floats(-1e12, 1e12), min_size=5, max_size=5), st.integers(-12, 0))
def test_any_lens_ends(D, exponent):
    """However wild, it is drawn or refused, in bounded memory and time."""
    camera = CameraModel(48, 40, pinhole().K, "plumb_bob", np.array(D) * 10.0**exponent)
    with pytest.MonkeyPatch.context() as patch, suppress(CameraError):
        patch.setattr(lens_rasteriser, "MOST_PIECES", 1 << 12)
        cube(inward=True).render_depth(IDENTITY, camera, add_alpha=False)
