"""Image messages to RGB: every encoding against a picture whose colors are known."""

import cv2
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from picture_messages import (
    HEIGHT,
    WIDTH,
    encoded,
    expected,
    huge_png,
    message,
    smooth_picture,
    tolerance,
    yuv422,
)
from sensor_msgs.msg import CompressedImage, Image

from da3_ros.core.bit_depth import BitDepth
from da3_ros.ros.images import (
    ENCODINGS,
    PLANAR,
    ImageError,
    NoPictureError,
    compressed_size,
    compressed_to_rgb,
    to_rgb,
)


@pytest.mark.parametrize("padding", [0, 6, 7])
@pytest.mark.parametrize("encoding", ENCODINGS)
def test_every_encoding_gives_the_picture(encoding, padding):
    rgb = smooth_picture()
    out = to_rgb(message(encoded(rgb, encoding), encoding, padding=padding))
    assert out.shape == (HEIGHT, WIDTH, 3) and out.dtype == np.uint8
    error = np.abs(out.astype(int) - expected(rgb, encoding))[2:-2, 2:-2]
    assert error.max() <= tolerance(encoding)


@pytest.mark.parametrize("encoding", ["mono16", "rgb16", "bayer_rggb16"])
def test_byte_order_is_honoured(encoding):
    pixels = encoded(smooth_picture(), encoding)
    little = to_rgb(message(pixels, encoding, bigendian=False))
    big = to_rgb(message(pixels, encoding, bigendian=True, padding=4))
    np.testing.assert_array_equal(little, big)


@pytest.mark.parametrize("encoding", ["bgr8", "mono8", "yuv422", "rgb8"])
@pytest.mark.parametrize("flag", [1, 255])
def test_single_bytes_have_no_order(encoding, flag):
    """Cameras on big-endian machines say so for every encoding."""
    msg = message(encoded(smooth_picture(), encoding), encoding)
    same = to_rgb(msg)
    msg.is_bigendian = flag
    np.testing.assert_array_equal(to_rgb(msg), same)


@pytest.mark.parametrize("encoding", PLANAR)
def test_planar_yuv(encoding):
    rgb = smooth_picture()
    packed = yuv422(rgb, luma_first=True)
    rows = packed[0::2, :, 1] // 2 + packed[1::2, :, 1] // 2
    if encoding == "nv21":
        rows = rows.reshape(-1, WIDTH // 2, 2)[..., ::-1].reshape(-1, WIDTH)
    data = np.concatenate([packed[..., 0], rows])
    msg = message(data, encoding)
    error = np.abs(to_rgb(msg).astype(int) - rgb)[2:-2, 2:-2]
    assert error.max() <= 8


def test_rgb8_is_a_view_of_the_message():
    msg = message(smooth_picture(), "rgb8")
    rgb = to_rgb(msg)
    assert np.shares_memory(rgb, np.frombuffer(msg.data, np.uint8)) and not rgb.flags.writeable


def test_last_row_may_lack_its_padding():
    msg = message(smooth_picture(), "rgb8", padding=5)
    msg.data = msg.data[:-5]
    np.testing.assert_array_equal(to_rgb(msg), smooth_picture())


@pytest.mark.parametrize(
    "change, words",
    [
        ({"encoding": "32FC1"}, "32FC1.*depth"),
        ({"encoding": "purple9"}, "'purple9' is not supported"),
        ({"encoding": ""}, "'' is not supported"),
        ({"width": 0}, "size 0x24"),
        ({"height": 0}, "size 32x0"),
        ({"data": b"\0" * 100}, "has 100 bytes, needs 2304"),
        ({"data": b""}, "has 0 bytes"),
        ({"step": 40}, "step 40, needs 96"),
        ({"width": 2**32 - 1, "step": 2**32 - 1}, "step"),
        ({"height": 2**32 - 1}, "needs"),
    ],
)
def test_bad_images_are_refused_in_one_sentence(change, words):
    msg = message(smooth_picture(), "rgb8")
    for name, value in change.items():
        setattr(msg, name, value)
    with pytest.raises(ImageError, match=words):
        to_rgb(msg)


@pytest.mark.parametrize("encoding", ["yuv422", "yuv422_yuy2", "nv12"])
def test_paired_pixels_need_even_widths(encoding):
    with pytest.raises(ImageError, match="odd width 31|even sizes"):
        to_rgb(message(np.zeros((HEIGHT, 31, 2), np.uint8), encoding, width=31))


def compressed(suffix: str, fmt: str) -> CompressedImage:
    _, data = cv2.imencode(suffix, smooth_picture()[..., ::-1])
    return CompressedImage(format=fmt, data=data.tobytes())


@pytest.mark.parametrize(
    "suffix, fmt, tolerance",
    [(".jpg", "rgb8; jpeg compressed bgr8", 6), (".png", "png", 0), (".jpg", "", 6)],
)
def test_compressed_images(suffix, fmt, tolerance):
    out = compressed_to_rgb(compressed(suffix, fmt))
    assert np.abs(out.astype(int) - smooth_picture()).max() <= tolerance


@pytest.mark.parametrize("data", [b"", b"not a picture", b"\xff\xd8\xff"])
def test_broken_compressed_images(data):
    with pytest.raises(ImageError, match=f"of {len(data)} bytes"):
        compressed_to_rgb(CompressedImage(format="jpeg", data=data))


def test_a_compressed_image_that_unpacks_to_gigabytes_is_refused_by_its_header():
    for side in (20_000, 40_000):
        msg = CompressedImage(format="png", data=huge_png(side, side))
        with pytest.raises(ImageError, match="it unpacks to more than 178,956,970 pixels"):
            compressed_to_rgb(msg)
    small = CompressedImage(format="png", data=huge_png(6000, 4000))
    assert compressed_size(small) == (4000, 6000)


def test_compressed_depth_is_named():
    with pytest.raises(ImageError, match="compressedDepth"):
        compressed_to_rgb(CompressedImage(format="16UC1; compressedDepth png", data=b"\0" * 20))


def mosaic_of(rgb, pattern):
    """The channel behind the filter of each pixel; pattern: of the first two rows."""
    channel = np.reshape(["rgb".index(letter) for letter in pattern], (2, 2))
    index = np.tile(channel, (rgb.shape[0] // 2, rgb.shape[1] // 2))
    return np.take_along_axis(rgb, index[..., None], axis=2)[..., 0]


@pytest.mark.parametrize("pattern", ["rggb", "bggr", "gbrg", "grbg"])
@pytest.mark.parametrize("suffix, deep", [(".jpg", False), (".png", False), (".png", True)])
@pytest.mark.parametrize("channels", [1, 3])
def test_a_compressed_mosaic_is_made_rgb(pattern, suffix, deep, channels):
    """As image_transport sends it: the raw mosaic as a grey picture."""
    mosaic = mosaic_of(smooth_picture(), pattern)
    if deep:
        mosaic = mosaic.astype(np.uint16) * 257
    data = cv2.imencode(suffix, np.stack([mosaic] * channels, axis=-1))[1].tobytes()
    kind = "jpeg" if suffix == ".jpg" else "png"
    name = f"bayer_{pattern}{'16' if deep else '8'}; {kind} compressed "
    out = compressed_to_rgb(CompressedImage(format=name, data=data))
    difference = out[2:-2, 2:-2].astype(int) - smooth_picture()[2:-2, 2:-2]
    assert np.abs(difference).mean() < 4


def test_a_compressed_picture_of_a_mosaic_camera_stays_as_it_is():
    out = compressed_to_rgb(compressed(".png", "bayer_rggb8; png compressed bgr8"))
    np.testing.assert_array_equal(out, smooth_picture())


@pytest.mark.parametrize(
    "fmt, dtype, words",
    [
        ("16UC1; png compressed ", np.uint16, "holds depth"),
        ("32FC1; png compressed ", np.uint16, "holds depth"),
        ("png", np.uint16, "one channel of uint16, which usually is depth"),
        ("bayer_purple8; png compressed ", np.uint8, "'bayer_purple8' is not supported"),
    ],
)
def test_compressed_images_that_are_no_pictures(fmt, dtype, words):
    data = cv2.imencode(".png", np.full((6, 8), 200, dtype))[1].tobytes()
    with pytest.raises(NoPictureError, match=words):
        compressed_to_rgb(CompressedImage(format=fmt, data=data))


@pytest.mark.parametrize("shape", [(), (3,), (4,)])
def test_compressed_pictures_of_16_bits(shape):
    """Grey, color and with alpha; as raw ones, scaled from their full range."""
    data = cv2.imencode(".png", np.full((6, 8, *shape), 200 * 257, np.uint16))[1].tobytes()
    out = compressed_to_rgb(CompressedImage(format="mono16; png compressed ", data=data))
    assert out.shape == (6, 8, 3) and (out == 200).all()


DEEP = [name for name, (size, _) in ENCODINGS.items() if size == 2]


@pytest.mark.parametrize("bigendian, padding", [(False, 0), (True, 6)])
@pytest.mark.parametrize("encoding", DEEP)
def test_a_sensor_of_12_bits_gives_the_same_picture_as_one_of_16(encoding, bigendian, padding):
    rgb = smooth_picture()
    pixels = encoded(rgb, encoding) >> 4
    bits = BitDepth()
    out = to_rgb(message(pixels, encoding, bigendian=bigendian, padding=padding), bits)
    error = np.abs(out.astype(int) - expected(rgb, encoding))[2:-2, 2:-2]
    assert bits.bits == 12 and error.max() <= tolerance(encoding) + 1


@pytest.mark.parametrize("encoding, shape", [("mono16", ()), ("bgr16", (3,)), ("bayer_rggb16", ())])
def test_a_compressed_picture_of_12_bits_is_as_bright_as_one_of_16(encoding, shape):
    data = cv2.imencode(".png", np.full((6, 8, *shape), 200 << 4, np.uint16))[1].tobytes()
    msg, bits = CompressedImage(format=f"{encoding}; png compressed ", data=data), BitDepth()
    assert np.abs(compressed_to_rgb(msg, bit_depth=bits).astype(int) - 200).max() <= 1
    assert bits.bits == 12


@settings(max_examples=300, deadline=None)
@given(
    encoding=st.sampled_from([*ENCODINGS, *PLANAR, "16UC1", "8UC3", "nonsense"]),
    width=st.integers(0, 9),
    height=st.integers(0, 9),
    step=st.integers(0, 80),
    bigendian=st.integers(0, 255),
    data=st.binary(max_size=400),
)
def test_any_message_gives_rgb_or_a_reason(encoding, width, height, step, bigendian, data):
    msg = Image(
        width=width, height=height, encoding=encoding, step=step, is_bigendian=bigendian, data=data
    )
    try:
        out = to_rgb(msg, BitDepth())
    except ImageError as error:
        assert str(error)
        return
    assert out.shape == (height, width, 3) and out.dtype == np.uint8
