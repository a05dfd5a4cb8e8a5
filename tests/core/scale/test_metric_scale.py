import cv2
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from da3_ros.core import poses
from da3_ros.core.config import ScaleConfig
from da3_ros.core.scale.metric_scale import (
    MetricScale,
    align_to_given,
    pose_residuals,
    weighted_median,
)

S = 1_000_000_000


def world_poses(positions, rng=None):
    """Camera poses at these positions, turned at random."""
    rng = rng or np.random.default_rng(0)
    rotations = [cv2.Rodrigues(rng.normal(scale=0.3, size=3))[0] for _ in positions]
    return np.stack([poses.compose(R, p) for R, p in zip(rotations, np.asarray(positions, float))])


def predict(T_world_cam, units_per_metre, reference=0):
    """What a perfect network says: poses w2c (N, 3, 4) relative to one view, its own units."""
    T_cam_ref = poses.inverse(T_world_cam) @ T_world_cam[reference]
    T_cam_ref[:, :3, 3] *= units_per_metre
    return T_cam_ref[:, :3].astype(np.float32)


def estimator(**values):
    return MetricScale(ScaleConfig(**values))


line = [[0.1 * i, 0, 0] for i in range(5)]
tracks = {
    "two views": [[0, 0, 0], [0.3, 0, 0.1]],
    "straight line": line,
    "back and forth": [[0, 0, 0], [0.2, 0, 0], [0, 0, 0]],
    "plane": [[0, 0, 0], [0.3, 0, 0], [0.3, 0.4, 0]],
    "two places, many views": [[0, 0, 0]] * 3 + [[1, 0, 0]] * 2,
}


@pytest.mark.parametrize("positions", tracks.values(), ids=tracks.keys())
@pytest.mark.parametrize("metres_per_unit", [0.01, 1.0, 37.5])
def test_the_unknown_factor_is_found(positions, metres_per_unit):
    T_world_cam = world_poses(positions)
    predicted = predict(T_world_cam, 1 / metres_per_unit)
    estimate = estimator().update(predicted, T_world_cam, divisor=0.1, stamp_ns=0)
    assert estimate.measured and estimate.age == 0
    assert estimate.scale == pytest.approx(metres_per_unit, rel=1e-4)
    assert estimate.spread < 1e-4


def test_one_wrong_view_of_five_does_not_pull_the_scale():
    T_world_cam = world_poses(line)
    predicted = predict(T_world_cam, 2.0)
    predicted[2, :, 3] += (30, -5, 2)
    estimate = estimator().update(predicted, T_world_cam, divisor=0.1, stamp_ns=0)
    assert estimate.scale == pytest.approx(0.5, rel=1e-4)


def test_short_pairs_say_nothing_and_long_ones_decide():
    """2 cm of odometry noise between near views does not touch the scale."""
    T_world_cam = world_poses([[0, 0, 0], [0.02, 0, 0], [1, 0, 0], [1.02, 0, 0]])
    predicted = predict(T_world_cam, 1.0)
    T_world_cam[1, :3, 3] = T_world_cam[3, :3, 3] + (-1.02, 0.015, 0)
    estimate = estimator().update(predicted, T_world_cam, divisor=0.5, stamp_ns=0)
    assert estimate.scale == pytest.approx(1.0, rel=0.03) and estimate.spread < 0.03


class TestHeld:
    def test_unknown_before_the_first_measurement(self):
        """Never metres from nothing: the divisor alone is no scale."""
        still = world_poses([[5, 5, 5]] * 3)
        estimate = estimator().update(predict(still, 1.0), still, divisor=0.1, stamp_ns=0)
        assert np.isnan(estimate.scale) and np.isnan(estimate.age) and not estimate.measured

    @pytest.mark.parametrize(
        "positions", [[[0, 0, 0]] * 4, [[0, 0, 0.003 * i] for i in range(4)], [[0, 0, 0]]]
    )
    def test_a_turn_on_the_spot_keeps_the_scale(self, positions):
        """Held with its age, and the network's input keeps its unit: the held divisor."""
        scale, moving, still = estimator(), world_poses(line), world_poses(positions)
        assert scale.divisor(still) is None
        scale.update(predict(moving, 0.25), moving, divisor=0.8, stamp_ns=3 * S)
        assert scale.divisor(moving) is None and scale.divisor(still) == 0.8
        estimate = scale.update(predict(still, 0.25), still, divisor=0.8, stamp_ns=5 * S)
        assert estimate.scale == pytest.approx(4.0, rel=1e-4)
        assert (estimate.measured, estimate.age) == (False, 2.0)

    def test_it_follows_the_divisor(self):
        """A network that keeps to its normalised input: twice the divisor, twice the metres."""
        scale, T_world_cam = estimator(), world_poses(line)
        scale.update(predict(T_world_cam, 1 / 0.8), T_world_cam, divisor=0.4, stamp_ns=0)
        nonsense = np.zeros((5, 3, 4), np.float32)
        held = scale.update(nonsense, T_world_cam, divisor=0.8, stamp_ns=S)
        assert held.scale == pytest.approx(1.6, rel=1e-4) and not held.measured

    def test_too_old_is_unknown(self):
        scale, moving, still = (
            estimator(max_age=10.0),
            world_poses(line),
            world_poses([[0] * 3] * 2),
        )
        scale.update(predict(moving, 1.0), moving, divisor=0.2, stamp_ns=0)
        young = scale.update(predict(still, 1.0), still, divisor=0.2, stamp_ns=10 * S)
        old = scale.update(predict(still, 1.0), still, divisor=0.2, stamp_ns=10 * S + 1)
        assert young.scale == pytest.approx(1.0, rel=1e-4)
        assert np.isnan(old.scale) and old.age == pytest.approx(10.0)

    def test_clear_forgets(self):
        scale, T_world_cam = estimator(), world_poses(line)
        scale.update(predict(T_world_cam, 1.0), T_world_cam, divisor=0.2, stamp_ns=0)
        scale.clear()
        still = world_poses([[0, 0, 0]] * 2)
        estimate = scale.update(predict(still, 1.0), still, divisor=0.2, stamp_ns=S)
        assert np.isnan(estimate.scale)


def test_a_window_whose_pairs_disagree_does_not_update():
    scale, T_world_cam = estimator(max_spread=0.2), world_poses(line)
    scale.update(predict(T_world_cam, 1.0), T_world_cam, divisor=0.2, stamp_ns=0)
    shuffled = predict(T_world_cam[[3, 0, 4, 2, 1]], 9.0)
    estimate = scale.update(shuffled, T_world_cam, divisor=0.2, stamp_ns=S)
    assert not estimate.measured and estimate.scale == pytest.approx(1.0, rel=1e-4)
    assert estimate.is_contradictory and estimate.window_spread > 0.2 > estimate.spread
    still = world_poses([[0, 0, 0]] * 5)
    assert not scale.update(predict(still, 1.0), still, divisor=0.2, stamp_ns=S).is_contradictory


@pytest.mark.parametrize("value", [0.0, np.nan, np.inf])
def test_useless_predictions_measure_nothing(value):
    predicted = np.full((5, 3, 4), value, np.float32)
    estimate = estimator().update(predicted, world_poses(line), divisor=0.1, stamp_ns=0)
    assert np.isnan(estimate.scale) and not estimate.measured


def test_the_drone_at_rest_measures_nothing(shared_data):
    """1.5 cm of path in real ground truth, predicted with noise of half a unit."""
    T_world_cam = np.stack(
        [np.loadtxt(p) for p in sorted((shared_data / "euroc_v101_micro" / "pose").glob("*.txt"))]
    )
    assert len(T_world_cam) == 10
    scale = estimator()
    predicted = predict(T_world_cam, 1.0)
    predicted[:, :, 3] += np.random.default_rng(0).normal(scale=0.5, size=(10, 3))
    assert np.isnan(scale.update(predicted, T_world_cam, divisor=0.1, stamp_ns=0).scale)

    moving = world_poses(line)
    scale.update(predict(moving, 0.5), moving, divisor=0.2, stamp_ns=S)
    assert scale.divisor(T_world_cam) == 0.2
    held = scale.update(predicted, T_world_cam, divisor=0.2, stamp_ns=2 * S)
    assert held.scale == pytest.approx(2.0, rel=1e-4) and held.age == 1.0


@given(
    st.integers(1, 12),
    st.floats(1e-3, 1e3),
    st.floats(1e-6, 1e2),
    st.floats(0, 2),
    st.integers(0, 2**31),
)
def test_whatever_moves_scale_is_right_or_unknown(count, units, extent, noise, seed):
    rng = np.random.default_rng(seed)
    T_world_cam = world_poses(rng.uniform(-extent, extent, (count, 3)), rng)
    exact = estimator().update(predict(T_world_cam, units), T_world_cam, divisor=1.0, stamp_ns=0)
    if exact.measured:
        assert exact.scale == pytest.approx(1 / units, rel=1e-3)
    else:
        assert np.isnan(exact.scale)
    noisy = predict(T_world_cam, units)
    noisy[:, :, 3] += rng.normal(scale=noise, size=(count, 3))
    estimate = estimator().update(noisy, T_world_cam, divisor=1.0, stamp_ns=0)
    assert estimate.measured == bool(estimate.spread <= 0.3)


class TestResiduals:
    @pytest.mark.parametrize("positions", [*tracks.values(), [[1, 2, 3]], [[1, 2, 3]] * 3])
    def test_a_perfect_prediction_lands_on_the_given_poses(self, positions):
        T_world_cam = world_poses(positions)
        aligned = align_to_given(predict(T_world_cam, 0.2), T_world_cam, scale=5.0)
        np.testing.assert_allclose(aligned, T_world_cam, atol=1e-5)

    def test_one_bad_given_pose_stands_out_alone(self):
        T_world_cam = world_poses([[0.3 * i, 0.1 * i * i, 0] for i in range(5)])
        predicted = predict(T_world_cam, 1.0)
        given_poses = T_world_cam.copy()
        given_poses[3, :3, 3] += (0.5, 0, 0)
        given_poses[3, :3, :3] = given_poses[3, :3, :3] @ cv2.Rodrigues(np.array([0, 0, 0.4]))[0]
        distance, angle = pose_residuals(given_poses, align_to_given(predicted, given_poses, 1.0))
        np.testing.assert_allclose(distance, [0, 0, 0, 0.5, 0], atol=1e-5)
        np.testing.assert_allclose(angle, [0, 0, 0, 0.4, 0], atol=1e-5)

    def test_without_scale_the_rotations_still_compare(self):
        T_world_cam = world_poses(line)
        aligned = align_to_given(predict(T_world_cam, 1.0), T_world_cam, np.nan)
        distance, angle = pose_residuals(T_world_cam, aligned)
        assert np.isnan(distance).all()
        np.testing.assert_allclose(angle, 0, atol=1e-5)


@given(st.lists(st.floats(-1e6, 1e6), min_size=1, max_size=30))
def test_equal_weights_give_the_lower_median(values):
    values = np.array(values)
    expected = np.sort(values)[(len(values) - 1) // 2]
    assert weighted_median(values, np.ones(len(values))) == expected


def test_weighted_median_is_where_half_the_weight_is():
    assert weighted_median(np.array([5.0, 1.0, 3.0]), np.array([1.0, 1.0, 10.0])) == 3.0
    assert weighted_median(np.array([1.0, 2.0]), np.array([1.0, 3.0])) == 2.0
