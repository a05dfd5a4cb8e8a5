"""Every pixel's value is that of the function: by splines where it is smooth, else its own."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from da3_ros.core.pixel_spline import at_every_pixel

SIDES = st.integers(1, 700)


def pixels(width, height):
    return np.stack(np.meshgrid(np.arange(width), np.arange(height)), axis=-1).reshape(-1, 2)


class Counted:
    """Counts the pixels a function is evaluated at."""

    def __init__(self, f):
        self.f, self.pixels = f, 0

    def __call__(self, at):
        self.pixels += len(at)
        return self.f(at)

    def error(self, at, values):
        return np.abs(self.f(at) - values)


def smooth(at):
    u, v = at.T / 500
    return np.stack([np.sin(u + v), np.cos(u) * v, u * v * v], axis=-1)


def with_an_edge(at):
    values = smooth(at)
    values[np.hypot(*(at - 300).T) > 350] = np.nan
    return values


def with_a_step(at):
    return smooth(at) + (at[:, :1] > 130)


@pytest.mark.parametrize("f", [smooth, with_an_edge, with_a_step])
@given(width=SIDES, height=SIDES)
def test_every_pixel(f, width, height):
    f = Counted(f)
    values = at_every_pixel(f, width, height, f.error, 1e-6)
    assert values.shape == (3, height, width)
    exact = f.f(pixels(width, height)).T.reshape(3, height, width)
    np.testing.assert_allclose(values, exact, rtol=0, atol=2e-6)


def test_a_smooth_function_is_evaluated_at_few_pixels():
    f = Counted(smooth)
    at_every_pixel(f, 2000, 1500, f.error, 1e-6)
    assert f.pixels < 2000 * 1500 / 100


def test_only_pieces_with_an_edge_are_evaluated_whole():
    f = Counted(with_an_edge)
    at_every_pixel(f, 2000, 1500, f.error, 1e-6)
    assert f.pixels < 2000 * 1500  # outside of the edge everything is NaN
    f = Counted(with_a_step)
    at_every_pixel(f, 2000, 1500, f.error, 1e-6)
    assert f.pixels < 2000 * 1500 / 4
