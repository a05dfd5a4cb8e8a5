import numpy as np
import pytest
from hypothesis import assume, example, given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from da3_ros.core.camera_model import (
    FARTHEST_CENTRE,
    FOCAL_LENGTHS,
    SHORTEST_SHARE,
    CameraModel,
    check_plausible,
)
from da3_ros.core.preprocess import PreprocessError, plan_resize, scale_camera
from da3_ros.core.resample import MAX_STEP, Resampler

CAMERA = CameraModel(160, 120, np.array([[130.0, 0, 79.5], [0, 131, 58], [0, 0, 1]]))
SMALL = CAMERA.scaled(width=126, height=98)


def plane_depth(camera, normal, distance):
    """Depth of the plane {p: normal @ p = distance}."""
    return (distance / (camera.rays() @ np.asarray(normal))).astype(np.float32)


@pytest.mark.parametrize("normal", [(0, 0, 1), (0.3, 0, 1), (0, 0.8, 0.6), (-0.2, 0.5, 0.5)])
def test_planes_stay_planes(normal):
    """Exact between the outermost pixel centres: the rule of half a pixel, and inverse depth."""
    depth, conf = Resampler(SMALL, CAMERA)(plane_depth(SMALL, normal, 2.0), np.ones((98, 126), "f"))
    expected = plane_depth(CAMERA, normal, 2.0)
    np.testing.assert_allclose(depth[1:-1, 1:-1], expected[1:-1, 1:-1], rtol=1e-4)
    np.testing.assert_allclose(depth, expected, rtol=0.03)
    assert depth.dtype == conf.dtype == np.float32 and (conf == 1).all()


def test_no_depth_between_foreground_and_background():
    depth = np.full((98, 126), 5.0, np.float32)
    depth[30:60, 40:80] = 1.0
    (large,) = Resampler(SMALL, CAMERA)(depth)
    assert set(np.unique(large)) == {1.0, 5.0}
    # The edge lies where the nearest pixel changes: half a source pixel at most from the truth.
    columns = np.flatnonzero(large[60] == 1.0)
    assert columns[0] == pytest.approx(40 * 160 / 126, abs=1)
    assert columns[-1] + 1 == pytest.approx(80 * 160 / 126, abs=1)


def test_unknown_and_out_of_range_keep_their_pixels():
    depth = np.full((98, 126), 2.0, np.float32)
    depth[:, :63] = np.nan
    depth[:49, 63:] = np.inf
    conf = np.where(np.isnan(depth), 1, 9).astype(np.float32)
    large, large_conf = Resampler(SMALL, CAMERA)(depth, conf)
    assert np.isnan(large[:, :80]).all() and np.isposinf(large[:60, 80:]).all()
    assert (large[60:, 80:] == 2.0).all()
    assert (large_conf[:, :80] == 1).all() and (large_conf[:, 80:] == 9).all()


def test_a_crop_leaves_the_rest_unknown():
    """The network saw the middle of a wide picture: its border has no depth."""
    wide = CameraModel(200, 80, np.array([[100.0, 0, 99.5], [0, 100, 39.5], [0, 0, 1]]))
    plan = plan_resize(80, 200, 140)
    assert plan.size == (56, 140)
    cropped = scale_camera(wide, plan, (56, 84))
    (depth,) = Resampler(cropped, wide)(plane_depth(cropped, (0.2, 0, 1), 3.0))
    assert np.isnan(depth[:, :40]).all() and np.isnan(depth[:, 160:]).all()
    inside = depth[1:-1, 42:158]
    np.testing.assert_allclose(inside, plane_depth(wide, (0.2, 0, 1), 3.0)[1:-1, 42:158], rtol=1e-4)


def test_other_cameras_and_sizes_are_refused():
    turned = CameraModel(126, 98, SMALL.K + np.array([[0, 0, 0.3], [0, 0, 0], [0, 0, 0]]))
    with pytest.raises(ValueError, match="not one camera"):
        Resampler(turned, CAMERA)
    with pytest.raises(ValueError, match="expected a map"):
        Resampler(SMALL, CAMERA)(np.ones((120, 160), np.float32))


maps = hnp.arrays(
    np.float32,
    st.tuples(st.integers(1, 9), st.integers(1, 9)),
    elements=st.one_of(
        st.floats(0.125, 100, width=32),
        st.sampled_from([np.nan, np.inf, 1.0, *np.float32([1.05, 1.09]).tolist()]),
    ),
)


@given(maps, st.integers(1, 25), st.integers(1, 25))
@example(np.array([[1, np.nan]], np.float32), 1, 3)
def test_every_value_is_of_a_surface_that_is_there(depth, height, width):
    """Within the four pixels around it if those are one surface, else exactly one of them."""
    source = CameraModel(depth.shape[1], depth.shape[0], np.diag([10.0, 10, 1]))
    (out,) = Resampler(source, source.scaled(width=width, height=height))(depth)
    for y, x in np.ndindex(height, width):
        v, u = ((n + 0.5) * s / t - 0.5 for n, s, t in zip((y, x), depth.shape, (height, width)))
        rows = np.clip([np.floor(v), np.floor(v) + 1], 0, depth.shape[0] - 1).astype(int)
        columns = np.clip([np.floor(u), np.floor(u) + 1], 0, depth.shape[1] - 1).astype(int)
        around = depth[np.ix_(rows, columns)]
        low, high = around.min(), around.max()
        if np.isfinite(around).all() and high <= low * (1 + MAX_STEP):
            assert low * (1 - 1e-5) <= out[y, x] <= high * (1 + 1e-5)
        else:
            # One pixel further, for coordinates that fall on a border between two pixels.
            near = depth[max(rows[0] - 1, 0) : rows[1] + 2, max(columns[0] - 1, 0) : columns[1] + 2]
            assert np.isin(out[y, x], near) or (np.isnan(out[y, x]) and np.isnan(near).any())


@given(
    st.tuples(*[st.integers(1, 80)] * 2),
    st.tuples(*[st.floats(*FOCAL_LENGTHS)] * 2),
    st.tuples(*[st.floats(-FARTHEST_CENTRE, FARTHEST_CENTRE)] * 2),
    st.sampled_from([14, 56, 504]),
)
def test_every_plausible_camera_can_be_resized_and_back(size, focal, centre, process_res):
    (height, width), (fx, fy), (cx, cy) = size, focal, centre
    assume(max(size) < 20 * min(size))  # narrower ones are refused as pictures
    assume(fx >= SHORTEST_SHARE * width and fy >= SHORTEST_SHARE * height)
    camera = check_plausible(
        CameraModel(width, height, np.array([[fx, 0, cx], [0, fy, cy], [0, 0, 1]]))
    )
    try:
        plan = plan_resize(height, width, process_res)
    except PreprocessError:
        return
    seen = scale_camera(camera, plan, plan.size)
    (depth,) = Resampler(seen, camera)(np.ones(plan.size, np.float32))
    assert (depth == 1).all()
