"""Compressed depth and pictures, read back by decoders written from the format alone.

compressed_depth_image_transport: 12 bytes (int32 0: inverse depth, float32 A, float32 B), then a
PNG of 16 bits: depth = A / (number - B), 0 is NaN; or of millimetres. Its decoder is C++ of
single precision, where A / 0 is infinite. compressed_image_transport: JPEG of BGR.
"""

import io
import re
import struct

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from PIL import Image as Pillow
from wire import sent

from da3_ros.ros import messages
from da3_ros.ros.compressed import (
    compressed_depth_message,
    compressed_depth_metres,
    compressed_message,
)
from da3_ros.ros.images import ImageError, compressed_to_rgb
from da3_ros.synthetic.room import CAMERA, demo_path, render_room

HEAD = messages.header("camera_optical_frame", 12_345_678_901)
FORMAT = re.compile(r"(32FC1|16UC1); compressedDepth png")


def decoded(msg):
    """As the plugin does: (encoding, A, image), in the other's arithmetic."""
    encoding = FORMAT.fullmatch(msg.format)[1]
    data = bytes(msg.data)
    kind, A, B = struct.unpack("=iff", data[:12])
    numbers = np.array(Pillow.open(io.BytesIO(data[12:])))
    assert kind == 0 and numbers.max(initial=0) <= 65535
    if encoding == "16UC1":
        return encoding, A, numbers.astype(np.uint16)
    with np.errstate(divide="ignore"):
        depth = np.float32(A) / (numbers.astype(np.float32) - np.float32(B))
    return encoding, A, np.where(numbers == 0, np.float32(np.nan), depth)


def compressed(depth, encoding="32FC1", quantization=100.0):
    return sent(compressed_depth_message(depth, encoding, quantization, HEAD))


depths = hnp.arrays(
    np.float32,
    hnp.array_shapes(min_dims=2, max_dims=2, min_side=1, max_side=9),
    elements=st.one_of(
        st.floats(0.0078125, 1000, width=32), st.sampled_from([np.nan, np.inf, 0.0, -1.0])
    ),
)


@settings(max_examples=200, deadline=None)
@given(depths, st.floats(1, 150))
def test_inverse_depth_comes_back_within_its_bound(depth, quantization):
    msg = compressed(depth, quantization=quantization)
    encoding, A, got = decoded(msg)
    assert (encoding, msg.header) == ("32FC1", HEAD)
    known = np.isfinite(depth) & (depth > 0)
    z, back = depth[known].astype(float), got[known].astype(float)
    # One half of a step of 1/A in inverse depth, and the rounding of float32.
    is_near = z < A  # beyond, a number is less than one and half a step has no end
    error = np.abs(1 / back[is_near] - 1 / z[is_near])
    assert (error <= 0.5 / A + 1e-6 / z[is_near]).all()
    assert np.isposinf(got[np.isposinf(depth)]).all()
    assert np.isnan(got[np.isnan(depth) | (depth <= 0)]).all()
    assert not np.isnan(back).any() and (back > 0).all()


def test_the_stated_bound_in_metres_on_the_room():
    depth = render_room(demo_path(1)[0], CAMERA).depth
    _, A, got = decoded(compressed(depth))
    assert A == 100 * 101
    known = np.isfinite(depth)
    assert known.mean() > 0.9
    assert (np.abs(got - depth)[known] <= depth[known] ** 2 / (2 * A) * 1.01 + 1e-6).all()
    assert len(compressed(depth).data) < depth.nbytes / 4
    coarse = compressed(depth, quantization=30.0)
    assert len(coarse.data) < len(compressed(depth).data)


def test_the_nearest_pixel_always_fits():
    depth = np.array([[0.01, 0.1, 3.0]], np.float32)
    _, A, got = decoded(compressed(depth))
    assert A == pytest.approx(65534 * 0.01, rel=1e-5)
    np.testing.assert_allclose(got[0, :2], depth[0, :2], rtol=1e-3)
    assert abs(got[0, 2] - 3.0) <= 9 / (2 * A) * 1.01


@settings(max_examples=50, deadline=None)
@given(depths)
def test_millimetres_are_those_of_the_raw_image(depth):
    encoding, _, got = decoded(compressed(depth, "16UC1"))
    raw = sent(messages.depth_message(depth, "16UC1", HEAD))
    assert encoding == "16UC1"
    np.testing.assert_array_equal(got, np.frombuffer(raw.data, np.uint16).reshape(depth.shape))


@settings(max_examples=50, deadline=None)
@given(depths, st.sampled_from(["32FC1", "16UC1"]))
def test_our_own_decoder_reads_the_same(depth, encoding):
    msg = compressed(depth, encoding)
    _, _, expected = decoded(msg)
    if encoding == "16UC1":
        expected = np.where(expected > 0, expected / np.float32(1000), np.nan)
    np.testing.assert_array_equal(compressed_depth_metres(msg), expected)


def test_depth_of_other_publishers():
    """As the plugin itself writes it: its B, its truncation, and the format of its older self."""
    depth = np.array([[0.5, 2.0, 9.0, np.nan, 11.0]], np.float32)
    A, largest = 100.0 * 101, 10.0
    B = 1 - A / largest
    numbers = np.where(depth < largest, A / depth + B, 0).astype(np.uint16)
    png = io.BytesIO()
    Pillow.fromarray(numbers).save(png, format="PNG")
    msg = compressed(depth)
    msg.data, msg.format = struct.pack("=iff", 0, A, B) + png.getvalue(), "32FC1; compressedDepth"
    got = compressed_depth_metres(msg)
    np.testing.assert_allclose(got[0, :3], depth[0, :3], rtol=2e-3)
    assert np.isnan(got[0, 3:]).all()


@pytest.mark.parametrize(
    "kind, data, words",
    [
        ("32FC1; compressedDepth rvl", b"\0" * 30, "format '32FC1; compressedDepth rvl'"),
        ("rgb8; jpeg compressed bgr8", b"\0" * 30, "is not depth"),
        ("8UC1; compressedDepth png", b"\0" * 30, "is not depth"),
        ("32FC1; compressedDepth png", b"", "0 bytes, format"),
        ("32FC1; compressedDepth png", b"\0" * 12, "0 bytes, format"),
        ("16UC1; compressedDepth png", b"\0" * 99, "87 bytes, format"),
    ],
)
def test_what_is_no_compressed_depth_is_said(kind, data, words):
    msg = compressed(np.ones((2, 2), np.float32))
    msg.format, msg.data = kind, data
    with pytest.raises(ImageError, match=re.escape(words)):
        compressed_depth_metres(msg)


def test_a_few_bytes_that_unpack_to_gigabytes_are_refused():
    png = io.BytesIO()
    Pillow.new("I;16", (20_000, 20_000)).save(png, format="PNG")
    msg = compressed(np.ones((2, 2), np.float32))
    msg.data = b"\0" * 12 + png.getvalue()
    with pytest.raises(ImageError, match="more than 178,956,970 pixels"):
        compressed_depth_metres(msg)


def test_a_picture_keeps_its_colors():
    """Read by Pillow, and by this package's own input."""
    rgb = render_room(demo_path(1)[0], CAMERA).image
    msg = sent(compressed_message(rgb, 90, HEAD))
    assert (msg.format, msg.header) == ("rgb8; jpeg compressed bgr8", HEAD)
    read = Pillow.open(io.BytesIO(bytes(msg.data)))
    assert (read.format, read.mode, read.size) == ("JPEG", "RGB", (CAMERA.width, CAMERA.height))
    for got in (np.array(read), compressed_to_rgb(msg)):
        assert np.abs(got.astype(int) - rgb).mean() < 3
    assert len(compressed_message(rgb, 30, HEAD).data) < len(msg.data) < rgb.nbytes / 4
