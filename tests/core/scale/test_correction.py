"""What makes depth agree with points: each kind is recovered, and none is taken without cause."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from da3_ros.core.scale.correction import KINDS, KINDS_OF, Scale, choose, factor_map
from da3_ros.core.scale.samples import Samples

HEIGHT, WIDTH = 60, 80


def room(seed=0):
    """A depth map (h, w), m: a floor, a wall and a box."""
    y, x = np.mgrid[:HEIGHT, :WIDTH] / WIDTH
    depth = np.minimum(4.0 + 0 * x, 0.5 / np.maximum(y - 0.2, 0.05))
    return np.where((abs(x - 0.6) < 0.1) & (y > 0.3), np.minimum(depth, 1.5), depth)


def samples_of(true, said, count, noise=0.0, seed=0):
    rng = np.random.default_rng(seed)
    row, column = rng.integers(0, HEIGHT, count), rng.integers(0, WIDTH, count)
    log_said = np.log(said[row, column])
    measured = np.log(true[row, column]) + noise * rng.standard_normal(count)
    place = np.stack([column + 0.5, row + 0.5], axis=-1) / WIDTH
    return Samples(place, log_said, measured - log_said, np.full(count, 1 / (noise**2 + 0.01)))


def corrected(choice, said):
    return said * factor_map(choice.correction, said.astype(np.float32), 1.0)


def wave():
    y, x = np.mgrid[:HEIGHT, :WIDTH] / WIDTH
    return np.exp(0.2 * np.sin(3 * x) - 0.15 * np.cos(4 * y))


FAULTS = {
    "none": lambda depth: depth,
    "scale": lambda depth: depth / 2.7,
    "shift": lambda depth: 1 / (0.6 / depth + 0.15),
    "curve": lambda depth: depth * np.exp(0.3 * np.sin(1.5 * np.log(depth))),
    "field": lambda depth: depth * wave(),
}


@pytest.mark.parametrize("kind", KINDS)
def test_each_fault_of_depth_is_found_and_mended_to_a_hundredth(kind):
    true = room()
    said = FAULTS[kind](true)
    choice = choose(samples_of(true, said, 300, noise=0.003), HEIGHT / WIDTH, KINDS)
    assert choice.kind == kind
    error = np.abs(corrected(choice, said) / true - 1)
    assert np.median(error) < 0.01 and error.mean() < 0.02
    assert choice.error < 0.015


@pytest.mark.parametrize("kind", ["scale", "shift"])
def test_points_that_are_wrong_do_not_count(kind):
    true = room()
    said = FAULTS[kind](true)
    samples = samples_of(true, said, 200, noise=0.003)
    samples.log_ratio[::4] += np.linspace(-2, 2, 50)
    choice = choose(samples, HEIGHT / WIDTH, KINDS_OF["scale"] if kind == "scale" else KINDS)
    assert np.median(np.abs(corrected(choice, said) / true - 1)) < 0.01


def test_the_error_at_held_out_points_is_that_of_the_picture():
    true = room()
    rng = np.random.default_rng(5)
    said = true * np.exp(0.08 * rng.standard_normal(true.shape))
    choice = choose(samples_of(true, said, 400), HEIGHT / WIDTH, KINDS)
    found = np.abs(corrected(choice, said) / true - 1).mean()
    assert choice.error == pytest.approx(found, rel=0.35)


def test_noise_alone_is_no_reason_for_more_than_a_scale():
    true, kinds = room(), []
    for seed in range(12):
        samples = samples_of(true, true / 1.5, 150, noise=0.1, seed=seed)
        kinds.append(choose(samples, HEIGHT / WIDTH, KINDS).kind)
    assert kinds.count("scale") >= 9


def test_few_points_give_at_most_a_scale():
    true = room()
    choice = choose(samples_of(true, true * wave() / 2, 25), HEIGHT / WIDTH, KINDS)
    assert choice.kind == "scale"


def test_far_from_all_points_the_field_is_the_scale():
    true = room()
    samples = samples_of(true, true * wave() / 2, 300)
    left = samples[samples.place[:, 0] < 0.4]
    field = choose(left, HEIGHT / WIDTH, KINDS_OF["field"]).correction
    far = field(np.zeros(1), np.array([[0.97, 0.4]]))[0]
    assert far == pytest.approx(Scale.fit(left).log, abs=0.03)


@settings(max_examples=12)
@given(st.integers(10, 120), st.integers(0, 1000), st.sampled_from(KINDS))
def test_any_points_give_a_positive_finite_correction_within_reason(count, seed, kind):
    rng = np.random.default_rng(seed)
    said = np.exp(rng.normal(0, 1, (HEIGHT, WIDTH)))
    samples = samples_of(np.exp(rng.normal(0, 1, said.shape)), said, count, seed=seed)
    factor = factor_map(choose(samples, HEIGHT / WIDTH, KINDS).correction, said, 1.0)
    assert np.isfinite(factor).all() and (factor > 0).all()
    farthest = np.abs(samples.log_ratio).max()
    assert np.abs(np.log(factor)).max() <= 2 * farthest + 3
