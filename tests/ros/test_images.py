"""Image messages to RGB: every encoding against a picture whose colours are known."""

import sys

import cv2
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sensor_msgs.msg import CompressedImage, Image

from da3_ros.ros.images import (
    ENCODINGS,
    PLANAR,
    ImageError,
    NoPictureError,
    compressed_to_rgb,
    to_rgb,
)

HEIGHT, WIDTH = 24, 32


def smooth_picture() -> np.ndarray:
    """Gradients in all channels: chroma subsampling and demosaicing lose almost nothing."""
    v, u = np.mgrid[:HEIGHT, :WIDTH]
    return np.stack([60 + 4 * u, 50 + 5 * v, 90 + 2 * u + 2 * v], axis=-1).astype(np.uint8)


def message(pixels: np.ndarray, encoding: str, *, padding=0, width=WIDTH, bigendian=False) -> Image:
    """An Image of `pixels` (rows, ...) whose rows end in `padding` bytes of 0xFF."""
    if pixels.dtype.itemsize > 1 and bigendian != (sys.byteorder == "big"):
        pixels = pixels.byteswap()
    rows = np.ascontiguousarray(pixels).view(np.uint8).reshape(len(pixels), -1)
    rows = np.pad(rows, ((0, 0), (0, padding)), constant_values=255)
    return Image(
        width=width,
        height=HEIGHT,
        encoding=encoding,
        is_bigendian=int(bigendian),
        step=rows.shape[1],
        data=rows.tobytes(),
    )


def mosaic(rgb: np.ndarray, pattern: str) -> np.ndarray:
    out = np.zeros(rgb.shape[:2], rgb.dtype)
    for k, colour in enumerate(pattern):
        out[k // 2 :: 2, k % 2 :: 2] = rgb[k // 2 :: 2, k % 2 :: 2, "rgb".index(colour)]
    return out


def yuv422(rgb: np.ndarray, luma_first: bool) -> np.ndarray:
    """BT.601 limited range, written from the definition rather than with OpenCV."""
    r, g, b = np.moveaxis(rgb.astype(float), -1, 0)
    y = 16 + (65.481 * r + 128.553 * g + 24.966 * b) / 255
    cb = 128 + (-37.797 * r - 74.203 * g + 112.0 * b) / 255
    cr = 128 + (112.0 * r - 93.786 * g - 18.214 * b) / 255
    chroma = y.copy()
    chroma[:, 0::2] = (cb[:, 0::2] + cb[:, 1::2]) / 2
    chroma[:, 1::2] = (cr[:, 0::2] + cr[:, 1::2]) / 2
    pair = (y, chroma) if luma_first else (chroma, y)
    return np.stack(pair, axis=-1).round().astype(np.uint8)


def encoded(rgb: np.ndarray, encoding: str) -> np.ndarray:
    wide = rgb.astype(np.uint16) * 257 if encoding.endswith("16") else rgb
    name = encoding.removesuffix("16").removesuffix("8")
    alpha = np.full_like(wide[..., :1], 7)
    if name.startswith("bayer_"):
        return mosaic(wide, name.removeprefix("bayer_"))
    return {
        "rgb": lambda: wide,
        "bgr": lambda: wide[..., ::-1],
        "rgba": lambda: np.concatenate([wide, alpha], axis=-1),
        "bgra": lambda: np.concatenate([wide[..., ::-1], alpha], axis=-1),
        "mono": lambda: wide[..., 1],
        "yuv422": lambda: yuv422(rgb, luma_first=False),
        "uyvy": lambda: yuv422(rgb, luma_first=False),
        "yuv422_yuy2": lambda: yuv422(rgb, luma_first=True),
        "yuyv": lambda: yuv422(rgb, luma_first=True),
    }[name]()


def expected(rgb: np.ndarray, encoding: str) -> np.ndarray:
    return np.repeat(rgb[..., 1:2], 3, axis=-1) if encoding.startswith("mono") else rgb


@pytest.mark.parametrize("padding", [0, 6])
@pytest.mark.parametrize("encoding", ENCODINGS)
def test_every_encoding_gives_the_picture(encoding, padding):
    rgb = smooth_picture()
    out = to_rgb(message(encoded(rgb, encoding), encoding, padding=padding))
    assert out.shape == (HEIGHT, WIDTH, 3) and out.dtype == np.uint8
    error = np.abs(out.astype(int) - expected(rgb, encoding))[2:-2, 2:-2]
    lossless = not encoding.startswith(("bayer", "yuv", "uyvy", "yuyv"))
    assert error.max() <= (0 if lossless else 6)


@pytest.mark.parametrize("encoding", ["mono16", "rgb16", "bayer_rggb16"])
def test_byte_order_is_honoured(encoding):
    pixels = encoded(smooth_picture(), encoding)
    little = to_rgb(message(pixels, encoding, bigendian=False))
    big = to_rgb(message(pixels, encoding, bigendian=True, padding=4))
    np.testing.assert_array_equal(little, big)


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
    assert np.shares_memory(to_rgb(msg), np.frombuffer(msg.data, np.uint8))


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
        ("png", np.uint16, "one channel of uint16, which is depth"),
        ("bayer_purple8; png compressed ", np.uint8, "'bayer_purple8' is not supported"),
    ],
)
def test_compressed_images_that_are_no_pictures(fmt, dtype, words):
    data = cv2.imencode(".png", np.full((6, 8), 200, dtype))[1].tobytes()
    with pytest.raises(NoPictureError, match=words):
        compressed_to_rgb(CompressedImage(format=fmt, data=data))


@pytest.mark.parametrize("shape", [(), (3,), (4,)])
def test_compressed_pictures_of_16_bits(shape):
    """Grey, colour and with alpha; as raw ones, scaled from their full range."""
    data = cv2.imencode(".png", np.full((6, 8, *shape), 200 * 257, np.uint16))[1].tobytes()
    out = compressed_to_rgb(CompressedImage(format="mono16; png compressed ", data=data))
    assert out.shape == (6, 8, 3) and (out == 200).all()


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
        out = to_rgb(msg)
    except ImageError as error:
        assert str(error)
        return
    assert out.shape == (height, width, 3) and out.dtype == np.uint8
