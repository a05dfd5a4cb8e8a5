"""sensor_msgs/Image and CompressedImage to RGB: every encoding that cameras really send.

One table says how each encoding is laid out and which OpenCV conversion makes it RGB.
`step` is honoured: padded rows are cut off, not read as pixels.
"""

from __future__ import annotations

import sys

import cv2
import numpy as np


class ImageError(ValueError):
    """An image message that cannot be turned into RGB; says why in one sentence."""


# encoding: (dtype of one channel, channels, OpenCV conversion to RGB or None).
# OpenCV names a mosaic after its second row, second pixel on: ROS rggb is OpenCV BG.
ENCODINGS = {
    "rgb8": (np.uint8, 3, None),
    "bgr8": (np.uint8, 3, cv2.COLOR_BGR2RGB),
    "rgba8": (np.uint8, 4, cv2.COLOR_RGBA2RGB),
    "bgra8": (np.uint8, 4, cv2.COLOR_BGRA2RGB),
    "mono8": (np.uint8, 1, cv2.COLOR_GRAY2RGB),
    "rgb16": (np.uint16, 3, None),
    "bgr16": (np.uint16, 3, cv2.COLOR_BGR2RGB),
    "rgba16": (np.uint16, 4, cv2.COLOR_RGBA2RGB),
    "bgra16": (np.uint16, 4, cv2.COLOR_BGRA2RGB),
    "mono16": (np.uint16, 1, cv2.COLOR_GRAY2RGB),
    "bayer_rggb8": (np.uint8, 1, cv2.COLOR_BayerBG2RGB),
    "bayer_bggr8": (np.uint8, 1, cv2.COLOR_BayerRG2RGB),
    "bayer_gbrg8": (np.uint8, 1, cv2.COLOR_BayerGR2RGB),
    "bayer_grbg8": (np.uint8, 1, cv2.COLOR_BayerGB2RGB),
    "bayer_rggb16": (np.uint16, 1, cv2.COLOR_BayerBG2RGB),
    "bayer_bggr16": (np.uint16, 1, cv2.COLOR_BayerRG2RGB),
    "bayer_gbrg16": (np.uint16, 1, cv2.COLOR_BayerGR2RGB),
    "bayer_grbg16": (np.uint16, 1, cv2.COLOR_BayerGB2RGB),
    "yuv422": (np.uint8, 2, cv2.COLOR_YUV2RGB_UYVY),
    "uyvy": (np.uint8, 2, cv2.COLOR_YUV2RGB_UYVY),
    "yuv422_yuy2": (np.uint8, 2, cv2.COLOR_YUV2RGB_YUY2),
    "yuyv": (np.uint8, 2, cv2.COLOR_YUV2RGB_YUY2),
}

# Luma plane over half-size interleaved chroma: 3/2 as many rows of one byte per pixel.
PLANAR = {"nv12": cv2.COLOR_YUV2RGB_NV12, "nv21": cv2.COLOR_YUV2RGB_NV21}


NAMELESS = {
    "8UC1": "mono8 or a bayer pattern",
    "8UC2": "yuv422 or yuv422_yuy2",
    "8UC3": "bgr8 (as OpenCV has it) or rgb8",
    "8UC4": "bgra8 or rgba8",
    "16UC3": "bgr16 or rgb16",
    "16UC4": "bgra16 or rgba16",
}
"""OpenCV's types, which tell no colours apart, and the encodings that may be meant."""


def to_rgb(msg) -> np.ndarray:
    """(H, W, 3) uint8 RGB of a sensor_msgs/Image. rgb8 is a view of the message, not a copy.

    16-bit images are scaled from their full range to 8 bits, as cv_bridge does.
    Raises `ImageError` naming the encoding, the size or the missing bytes.
    """
    if msg.width < 1 or msg.height < 1:
        raise ImageError(f"image has size {msg.width}x{msg.height}; both must be positive")
    if msg.encoding in PLANAR:
        return _planar_to_rgb(msg)
    if msg.encoding not in ENCODINGS:
        raise _unsupported(msg.encoding)
    dtype, channels, conversion = ENCODINGS[msg.encoding]
    if channels == 2 and msg.width % 2:
        raise ImageError(f"{msg.encoding} image has odd width {msg.width}; pixels come in pairs")
    pixels = _rows(msg, msg.height, np.dtype(dtype), channels)
    if pixels.dtype == np.uint16:
        pixels = cv2.convertScaleAbs(pixels, alpha=255 / 65535)
    return pixels if conversion is None else _convert(pixels, conversion, msg.encoding)


def compressed_to_rgb(msg) -> np.ndarray:
    """(H, W, 3) uint8 RGB of a sensor_msgs/CompressedImage (JPEG, PNG, WebP).

    Raises `ImageError` when the bytes are no such picture.
    """
    if "compressedDepth" in msg.format:
        raise ImageError("compressed image holds depth (compressedDepth), not a camera picture")
    data = np.frombuffer(msg.data, np.uint8)
    # The camera's pixels are wanted, not turned by an EXIF tag: its intrinsics belong to them.
    flags = cv2.IMREAD_COLOR | cv2.IMREAD_IGNORE_ORIENTATION
    bgr = cv2.imdecode(data, flags) if data.size else None
    if bgr is None:
        raise ImageError(
            f"compressed image of {data.size} bytes, format '{msg.format}', cannot be decoded"
        )
    return cv2.cvtColor(bgr, cv2.COLOR_BGR2RGB)


def _rows(msg, rows: int, dtype: np.dtype, channels: int) -> np.ndarray:
    """(rows, width[, channels]) view of the message's pixels in the machine's byte order."""
    wanted = msg.width * channels * dtype.itemsize
    if msg.step < wanted:
        raise ImageError(
            f"{msg.encoding} image of width {msg.width} has step {msg.step}, needs {wanted}"
        )
    data = np.frombuffer(msg.data, np.uint8)
    # The last row may end without its padding.
    needed = msg.step * (rows - 1) + wanted
    if data.size < needed:
        raise ImageError(
            f"{msg.encoding} image {msg.width}x{msg.height} has {data.size} bytes, needs {needed}"
        )
    strides = (msg.step, 1)
    pixels = np.lib.stride_tricks.as_strided(data, (rows, wanted), strides, writeable=False)
    if dtype.itemsize > 1:
        pixels = _native(np.ascontiguousarray(pixels).view(dtype), msg.is_bigendian)
    shape = (rows, msg.width) if channels == 1 else (rows, msg.width, channels)
    return pixels.reshape(shape)


def _native(pixels: np.ndarray, is_bigendian: int) -> np.ndarray:
    if bool(is_bigendian) == (sys.byteorder == "big"):
        return pixels
    return pixels.byteswap()


def _convert(pixels: np.ndarray, conversion: int, encoding: str) -> np.ndarray:
    try:
        return cv2.cvtColor(pixels, conversion)
    except cv2.error as error:
        height, width = pixels.shape[:2]
        raise ImageError(
            f"{encoding} image {width}x{height} cannot be converted to RGB: {error.err}"
        ) from error


def _planar_to_rgb(msg) -> np.ndarray:
    if msg.width % 2 or msg.height % 2:
        raise ImageError(f"{msg.encoding} image {msg.width}x{msg.height} must have even sizes")
    pixels = _rows(msg, msg.height * 3 // 2, np.dtype(np.uint8), 1)
    return cv2.cvtColor(np.ascontiguousarray(pixels), PLANAR[msg.encoding])


def _unsupported(encoding: str) -> ImageError:
    hint = "; that is a depth image" if encoding in ("16UC1", "32FC1") else ""
    if encoding in NAMELESS:
        hint = (
            f": it does not say what its channels are; let whoever publishes it say so, "
            f"{NAMELESS[encoding]} (with cv_bridge: cv2_to_imgmsg(image, encoding='bgr8'))"
        )
    return ImageError(
        f"encoding '{encoding}' is not supported{hint}; send one of "
        f"{', '.join([*ENCODINGS, *PLANAR])}"
    )
