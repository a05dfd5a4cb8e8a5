"""Sensors of fewer bits than their pictures: full range, and no brightness that jumps."""

import numpy as np
import pytest

from da3_ros.core.bit_depth import BitDepth


def picture(peak, shape=(4, 6)):
    values = np.zeros(shape, np.uint16)
    values[0, 0], values[1, 1] = peak, peak // 2
    return values


@pytest.mark.parametrize("peak, bits", [(0, 8), (255, 8), (256, 10), (4095, 12), (4096, 14)])
def test_the_largest_value_tells_the_bits(peak, bits):
    depth = BitDepth()
    out = depth.full_range(picture(peak))
    assert depth.bits == bits and out.dtype == np.uint16
    np.testing.assert_array_equal(out, picture(peak) * 2 ** (16 - bits))


def test_a_dark_picture_stays_darker_than_a_bright_one_before():
    depth = BitDepth()
    depth.full_range(picture(4000))
    assert depth.full_range(picture(40)).max() == 40 << 4
    assert depth.bits == 12 and depth.change(12) == ""


def test_a_picture_of_all_bits_is_not_touched():
    depth, full = BitDepth(), picture(40_000)
    assert depth.full_range(full) is full and depth.change(0) == ""


def test_alpha_is_no_brightness():
    depth, rgba = BitDepth(), picture(1000, (4, 6, 4))
    rgba[..., :3], rgba[..., 3] = 1000, 65535
    assert (depth.full_range(rgba)[..., :3] == 64_000).all() and depth.bits == 10


def test_what_is_assumed_is_said_and_again_when_it_changes():
    depth = BitDepth()
    depth.full_range(picture(900))
    assert "use 10 of their 16 bits so far (by" in depth.change(0)
    assert "1,023 is taken for white" in depth.change(0)
    depth.full_range(picture(60_000))
    assert "use 16 of their 16 bits so far (10 before, by" in depth.change(10)
