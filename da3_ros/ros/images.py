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


class NoPictureError(ImageError):
    """What the message says that it holds, depth for example, is no camera picture."""


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

DEPTH_ENCODINGS = ("16UC1", "32FC1")

# What OpenCV decodes by the number of channels; False: one.
OF_CHANNELS = {False: cv2.COLOR_GRAY2RGB, 3: cv2.COLOR_BGR2RGB, 4: cv2.COLOR_BGRA2RGB}


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

    Its format begins with the encoding that was compressed, where a driver says it: a mosaic is
    made RGB, as the raw image would be. Raises `ImageError` when the bytes are no such picture,
    or hold depth.
    """
    encoding = msg.format.partition(";")[0].strip()
    if "compressedDepth" in msg.format or encoding in DEPTH_ENCODINGS:
        raise NoPictureError(f"compressed image holds depth ({msg.format}), not a camera picture")
    data = np.frombuffer(msg.data, np.uint8)
    # The camera's pixels are wanted, not turned by an EXIF tag: its intrinsics belong to them.
    pixels = cv2.imdecode(data, cv2.IMREAD_UNCHANGED) if data.size else None
    if pixels is None:
        raise ImageError(
            f"compressed image of {data.size} bytes, format '{msg.format}', cannot be decoded"
        )
    if encoding.startswith("bayer_") and (mosaic := _one_channel(pixels)) is not None:
        return _mosaic_to_rgb(mosaic, encoding)
    if pixels.ndim == 2 and pixels.dtype != np.uint8 and encoding != "mono16":
        raise NoPictureError(
            f"compressed image, format '{msg.format}', has one channel of {pixels.dtype}, which is "
            "depth, mostly; a camera of 16 bits says so: 'mono16; png compressed '"
        )
    return cv2.cvtColor(_to_8_bits(pixels), OF_CHANNELS[pixels.ndim == 3 and pixels.shape[2]])


def _one_channel(pixels: np.ndarray) -> np.ndarray | None:
    """(H, W) of pixels with one channel, or with equal ones; None where there is colour."""
    if pixels.ndim == 2:
        return pixels
    is_grey = (pixels == pixels[..., :1]).all()
    return np.ascontiguousarray(pixels[..., 0]) if is_grey else None


def _mosaic_to_rgb(pixels: np.ndarray, encoding: str) -> np.ndarray:
    """pixels: (H, W)."""
    if encoding not in ENCODINGS:
        raise _unsupported(encoding)
    return _convert(_to_8_bits(pixels), ENCODINGS[encoding][2], encoding)


def _to_8_bits(pixels: np.ndarray) -> np.ndarray:
    if pixels.dtype == np.uint16:
        return cv2.convertScaleAbs(pixels, alpha=255 / 65535)
    if pixels.dtype != np.uint8:
        raise ImageError(f"compressed image has channels of {pixels.dtype}, not of 8 or 16 bits")
    return pixels


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


def _unsupported(encoding: str) -> NoPictureError:
    hint = "; that is a depth image" if encoding in DEPTH_ENCODINGS else ""
    return NoPictureError(
        f"encoding '{encoding}' is not supported{hint}; send one of "
        f"{', '.join([*ENCODINGS, *PLANAR])}"
    )
