import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from da3_ros.core.scale.relative_scale import ThinDepth, depth_ratio, distance_ratio

rng = np.random.default_rng(0)
DEPTH = rng.uniform(1, 5, (40, 56)).astype(np.float32)
CONF = np.full_like(DEPTH, 2.0)


@given(st.floats(1e-4, 1e4))
def test_the_same_view_in_another_unit(scale):
    before, now = ThinDepth.of(DEPTH * np.float32(scale), CONF), ThinDepth.of(DEPTH, CONF)
    ratio = depth_ratio([(before, now)])
    assert ratio.scale == pytest.approx(scale, rel=1e-5) and ratio.spread < 1e-5
    back = depth_ratio([(before, now.times(scale))])
    assert back.scale == pytest.approx(1.0, rel=1e-5)


def test_what_moved_and_what_is_badly_seen_does_not_count():
    """An eighth of the picture came nearer; two fifths are of little confidence and wrong."""
    now, conf = DEPTH.copy(), CONF.copy()
    now[:, ::8] /= 3
    conf[:16], now[:16] = 1.0, 9.0
    ratio = depth_ratio([(ThinDepth.of(2 * DEPTH, CONF), ThinDepth.of(now, conf))])
    assert ratio.scale == pytest.approx(2.0, rel=1e-5)
    unseen = depth_ratio([(ThinDepth.of(2 * DEPTH, None), ThinDepth.of(now, None))])
    assert unseen.spread > 0.3


def test_unknown_pixels_are_left_out():
    holes = DEPTH.copy()
    holes[:20], holes[20:24], holes[24:28] = np.nan, 0, -1
    ratio = depth_ratio([(ThinDepth.of(holes * 3, CONF), ThinDepth.of(DEPTH, CONF))])
    assert ratio.scale == pytest.approx(3.0, rel=1e-5)


def test_nothing_in_common_is_no_ratio():
    known, nothing = ThinDepth.of(DEPTH, CONF), ThinDepth.of(np.nan * DEPTH, CONF)
    other_size = ThinDepth.of(DEPTH[:20], CONF[:20])
    pairs = [(known, nothing)], [(known, None)], [(None, known)], [(known, other_size)], []
    assert [depth_ratio(p) for p in pairs] == [None] * 5
    assert known.is_known and not nothing.is_known


class TestDistances:
    centres = np.array([[0, 0, 0], [0.5, 0, 0], [0.5, 1, 0], [2, 1, 1]], float)
    depths = (ThinDepth.of(DEPTH, CONF),)

    def test_one_wrong_camera_in_four(self):
        before = 7 * self.centres
        before[2] += 0.1
        ratio = distance_ratio(before, self.centres, self.depths)
        assert ratio.scale == pytest.approx(7, rel=0.03) and ratio.spread < 0.05

    def test_too_close_for_the_depth_seen(self):
        assert distance_ratio(self.centres, self.centres / 1000, self.depths) is None

    def test_two_cameras_cannot_disagree(self):
        assert distance_ratio(self.centres[:2], self.centres[:2], self.depths) is None

    def test_cameras_that_stood_in_one_place_measure_nothing(self):
        ratio = distance_ratio(np.zeros((4, 3)), self.centres, self.depths)
        assert not ratio.spread <= 1e6
