"""Depth images as drivers send them: padded rows, either order of bytes, and what is none."""

import numpy as np
import pytest
from sensor_msgs.msg import Image

from da3_ros.ros.depth_images import depth_metres
from da3_ros.ros.images import ImageError

METRES = np.array([[1.5, np.nan, 0.25], [3.0, 4.0, 65.535]], np.float32)
MILLIMETRES = np.array([[1500, 0, 250], [3000, 4000, 65535]], np.uint16)


def depth(values, encoding, *, order="<", padding=0):
    pixels = values.astype(values.dtype.newbyteorder(order)).view(np.uint8)
    rows = np.pad(pixels, ((0, 0), (0, padding)), constant_values=7)
    msg = Image(height=values.shape[0], width=values.shape[1], encoding=encoding)
    msg.step, msg.is_bigendian = rows.shape[1], int(order == ">")
    msg.data.frombytes(rows.tobytes())
    return msg


@pytest.mark.parametrize("padding", [0, 1, 4])
@pytest.mark.parametrize("order", ["<", ">"])
@pytest.mark.parametrize("values, encoding", [(METRES, "32FC1"), (MILLIMETRES, "16UC1")])
def test_metres_are_the_same_however_they_are_laid_out(values, encoding, order, padding):
    msg = depth(values, encoding, order=order, padding=padding)
    got = depth_metres(msg)
    assert got.dtype == np.dtype("=f4")
    np.testing.assert_array_equal(got, METRES)
    if padding:
        msg.data = msg.data[:-padding]  # the last row ends with its pixels
        np.testing.assert_array_equal(depth_metres(msg), METRES)


def test_too_far_stays_infinite():
    assert depth_metres(depth(np.full((1, 2), np.inf, np.float32), "32FC1"))[0, 0] == np.inf


@pytest.mark.parametrize(
    "changes, said",
    [
        ({"encoding": "rgb8"}, "encoding 'rgb8' is not of a depth image; use 32FC1 or 16UC1"),
        ({"step": 11}, "has step 11, needs 12"),
        ({"width": 0}, "has size 0x2; both must be positive"),
        ({"height": 3}, "has 24 bytes, needs 36"),
        ({"height": 2**32 - 1}, "has 24 bytes, needs"),
        ({"data": b""}, "has 0 bytes, needs 24"),
    ],
)
def test_what_is_no_depth_is_said(changes, said):
    msg = depth(METRES, "32FC1")
    for name, value in changes.items():
        setattr(msg, name, value)
    with pytest.raises(ImageError, match=said):
        depth_metres(msg)
