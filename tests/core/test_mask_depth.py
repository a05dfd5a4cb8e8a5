import numpy as np
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from da3_ros.core.config import OutputConfig
from da3_ros.core.mask_depth import between_surfaces, flying_points, mask_depth


def masked(depth, conf=None, sky=None, **values):
    depth = np.asarray(depth, np.float32)
    before = depth.copy()
    out = mask_depth(depth, conf, sky, OutputConfig(**values))
    np.testing.assert_array_equal(depth, before)
    return out


def test_range():
    """Too near is unknown, too far is out of range (REP-117); both bounds are inside."""
    out = masked([[0.0, 0.49, 0.5, 8.0, 8.1, np.nan, np.inf]], min_depth=0.5, max_depth=8.0)
    np.testing.assert_array_equal(
        out, np.float32([[np.nan, np.nan, 0.5, 8.0, np.inf, np.nan, np.inf]])
    )
    assert out.dtype == np.float32


def test_sky_is_unknown_however_far():
    out = masked([[1.0, 99.0, 99.0]], sky=np.float32([[0.1, 0.3, 0.9]]))
    np.testing.assert_array_equal(out, np.float32([[1, np.nan, np.nan]]))


def test_the_least_confident_share():
    conf = np.arange(1, 101, dtype=np.float32).reshape(10, 10)
    out = masked(np.ones((10, 10)), conf, min_confidence=30.0)
    np.testing.assert_array_equal(np.isnan(out), conf <= 30)
    assert not np.isnan(masked(np.ones((10, 10)), conf)).any()


def test_flying_pixels_go_and_both_surfaces_stay():
    row = [1.0, 1.0, 1.3, 1.7, 2.0, 2.0, 2.0]
    out = masked(np.tile(row, (7, 1)), edge_ratio=0.2)
    np.testing.assert_array_equal(np.isnan(out[3]), [False, False, True, True, False, False, False])
    assert not np.isnan(masked(np.tile(row, (7, 1)))).any()


def test_a_sharp_edge_has_nothing_between():
    depth = np.ones((6, 8), np.float32)
    depth[:, 4:] = 3.0
    assert not between_surfaces(depth, 0.1).any()


def test_slopes_below_the_ratio_stay():
    depth = np.tile(1.02 ** np.arange(30), (5, 1)).astype(np.float32)
    assert not between_surfaces(depth, 0.1).any()


@given(
    hnp.arrays(
        np.float32,
        (6, 7),
        elements=st.one_of(st.floats(0, 100, width=32), st.sampled_from([np.nan, np.inf])),
    ),
    st.floats(0, 2),
)
def test_depth_is_kept_or_masked_never_changed(depth, edge_ratio):
    out = masked(depth, edge_ratio=edge_ratio, min_depth=0.1, max_depth=50.0)
    kept = np.isfinite(out)
    np.testing.assert_array_equal(out[kept], depth[kept])
    assert (out[kept] >= np.float32(0.1)).all() and (out[kept] <= 50).all()


def test_points_that_fly_between_two_walls_are_found_on_both_sides_of_an_edge():
    """A step from 1 m to 3 m, soft over three pixels as a network draws it."""
    inverse = np.ones((30, 40), np.float32)
    inverse[:, 20:] = 1 / 3
    inverse[:, 18:21] = [0.85, 0.66, 0.48]
    flying = flying_points(1 / inverse, 0.05)
    assert flying[:, 18:21].all() and not flying[:, :17].any() and not flying[:, 22:].any()


def test_a_floor_seen_from_low_stays_however_grazing():
    """The floor of a robot whose camera is 0.2 m high: one row is up to a third of the depth."""
    rows = np.arange(3, 100, dtype=np.float32)
    depth = np.tile((0.2 * 370 / rows)[:, None], (1, 50))
    assert between_surfaces(depth, 0.05)[:30].mean() > 0.5
    assert not flying_points(depth, 0.05).any()


@given(
    hnp.arrays(
        np.float32,
        (12, 13),
        elements=st.one_of(st.floats(0.125, 64, width=32), st.sampled_from([np.nan, np.inf])),
    ),
    st.floats(0.01, 2),
)
def test_only_pixels_with_a_depth_between_others_fly(depth, ratio):
    flying = flying_points(depth, ratio)
    assert not (flying & ~between_surfaces(depth, ratio)).any()
    assert np.isfinite(depth[flying]).all()
