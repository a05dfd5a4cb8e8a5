"""sensor_msgs/Image and CompressedImage to RGB: every encoding that cameras really send.

The colors are cv_bridge's. What it leaves open is settled before: bytes that are missing, rows
with padding and foreign byte order; and what it does not know is done here: nv12 and nv21.
"""

from __future__ import annotations

import sys
import warnings
from collections.abc import Callable

import cv2
import numpy as np
from cv_bridge import CvBridge, CvBridgeError
from sensor_msgs.msg import CompressedImage, Image

from da3_ros.core.bit_depth import BitDepth
from da3_ros.core.user_input.pictures import (
    ImageInputError,
    PictureTooLargeError,
    picture_size,
)
from da3_ros.net.plain_text import plain
from da3_ros.ros.picture_parts import FORMATS, too_many_parts

BRIDGE = CvBridge()

# What is wrong with a picture is said here; Pillow has a line for each of 65,000 tags.
warnings.filterwarnings("ignore", module=r"PIL\.")

LARGEST_PICTURE = 1 << 26
"""Pixels, 67 million: the cloud of such a picture, 32 bytes a pixel, is half of what a message can
hold, 2^32 bytes; the maps that straighten it take 1 GB."""


class ImageError(ValueError):
    """An image message that cannot be turned into RGB; says why in one sentence."""


class NoPictureError(ImageError):
    """The message itself says that it holds no camera picture, but depth, for example."""


MOSAICS = ("bayer_rggb", "bayer_bggr", "bayer_gbrg", "bayer_grbg")

# encoding: (bytes of one channel, channels)
ENCODINGS = {
    **{f"{name}{8 * size}": (size, 3) for size in (1, 2) for name in ("rgb", "bgr")},
    **{f"{name}{8 * size}": (size, 4) for size in (1, 2) for name in ("rgba", "bgra")},
    **{f"{name}{8 * size}": (size, 1) for size in (1, 2) for name in ("mono", *MOSAICS)},
    **dict.fromkeys(("yuv422", "uyvy", "yuv422_yuy2", "yuyv"), (1, 2)),
}

# The newer names of two encodings, which cv_bridge knows by their older ones.
OLDER_NAMES = {"uyvy": "yuv422", "yuyv": "yuv422_yuy2"}

# Luma plane over half-size interleaved chroma: 3/2 as many rows of one byte per pixel.
PLANAR = {"nv12": cv2.COLOR_YUV2RGB_NV12, "nv21": cv2.COLOR_YUV2RGB_NV21}

DEPTH_ENCODINGS = ("16UC1", "32FC1")

NAMELESS = {
    "8UC1": "mono8 or a bayer pattern",
    "8UC2": "yuv422 or yuv422_yuy2",
    "8UC3": "bgr8 (as OpenCV has it) or rgb8",
    "8UC4": "bgra8 or rgba8",
    "16UC3": "bgr16 or rgb16",
    "16UC4": "bgra16 or rgba16",
}
"""OpenCV's types, which tell no colors apart, and the encodings that may be meant."""

# By the number of channels that OpenCV decodes.
TO_RGB = {1: cv2.COLOR_GRAY2RGB, 3: cv2.COLOR_BGR2RGB, 4: cv2.COLOR_BGRA2RGB}


def decode(
    msg: Image | CompressedImage,
    check_size: Callable[[tuple[int, int]], object] | None = None,
    bit_depth: BitDepth | None = None,
) -> np.ndarray:
    """(H, W, 3) uint8 RGB of an image message of either type. Raises `ImageError`.

    check_size: called with (height, width) of a compressed one before it is decoded; it may raise.
    bit_depth: of the camera, which learns from the image; None: all bits of 16 are used.
    """
    if isinstance(msg, CompressedImage):
        return compressed_to_rgb(msg, check_size, bit_depth)
    return to_rgb(msg, bit_depth)


def to_rgb(msg: Image, bit_depth: BitDepth | None = None) -> np.ndarray:
    """(H, W, 3) uint8 RGB of a sensor_msgs/Image. rgb8 is a view of the message, not a copy.

    16-bit images are scaled from their full range to 8 bits, as cv_bridge does; bit_depth: as of
    `decode`. Raises `ImageError` naming the encoding, the size or the missing bytes.
    """
    if msg.encoding in PLANAR:
        return _planar_to_rgb(msg)
    if msg.encoding not in ENCODINGS:
        raise _unsupported(msg.encoding)
    size, channels = ENCODINGS[msg.encoding]
    if channels == 2 and msg.width % 2:
        raise ImageError(f"{msg.encoding} image has odd width {msg.width}; pixels come in pairs")
    rows = unpadded_rows(msg, msg.height, size * channels)
    packed = _packed(msg, rows, size)
    if size == 2 and bit_depth:
        packed = _full_range(packed, channels, bit_depth)
    wanted = "passthrough" if msg.encoding == "rgb8" else "rgb8"  # nothing to convert: no copy
    try:
        rgb = BRIDGE.imgmsg_to_cv2(packed, wanted)
    except CvBridgeError as error:
        raise ImageError(
            f"{msg.encoding} image {msg.width}x{msg.height} cannot be converted to RGB: "
            f"{' '.join(str(error).split())}"
        ) from error
    rgb.flags.writeable = False  # the message's own pixels
    return rgb


def compressed_to_rgb(
    msg: CompressedImage,
    check_size: Callable[[tuple[int, int]], object] | None = None,
    bit_depth: BitDepth | None = None,
) -> np.ndarray:
    """(H, W, 3) uint8 RGB of a sensor_msgs/CompressedImage (JPEG, PNG, WebP).

    Its format begins with the encoding that was compressed, where a driver says it: a mosaic is
    made RGB, as the raw image would be. Raises `ImageError` when the bytes are not such a picture,
    or hold depth. check_size, bit_depth: as of `decode`.
    """
    encoding = msg.format.partition(";")[0].strip()
    if "compressedDepth" in msg.format or encoding in DEPTH_ENCODINGS:
        raise NoPictureError(
            f"compressed image holds depth ({plain(msg.format)}), not a camera picture"
        )
    size = compressed_size(msg)
    if check_size:
        check_size(size)
    # The camera's pixels are wanted, not turned by an EXIF tag: its intrinsics belong to them.
    # cv_bridge up to Kilted turns them.
    pixels = decoded(np.frombuffer(msg.data, np.uint8))
    if pixels is None:
        raise ImageError(_undecodable(msg))
    if encoding.startswith("bayer_") and (mosaic := _one_channel(pixels)) is not None:
        return _mosaic_to_rgb(mosaic, encoding, bit_depth)
    if pixels.ndim == 2 and pixels.dtype != np.uint8 and encoding != "mono16":
        raise NoPictureError(
            f"compressed image, format '{plain(msg.format)}', has one channel of {pixels.dtype}, "
            "which usually is depth; a camera of 16 bits says so: 'mono16; png compressed '"
        )
    channels = 1 if pixels.ndim == 2 else pixels.shape[2]
    return cv2.cvtColor(_to_8_bits(pixels, bit_depth), TO_RGB[channels])


def decoded(picture: np.ndarray) -> np.ndarray | None:
    """The pixels of an encoded picture (n,) uint8 as they are stored; None where there are none.

    `compressed_size` comes first.
    """
    try:
        return cv2.imdecode(picture, cv2.IMREAD_UNCHANGED)
    except cv2.error:  # it mostly returns None, but not for every header
        return None


def compressed_size(msg: CompressedImage) -> tuple[int, int]:
    """(height, width) of a compressed image by its header: a few bytes may unpack to gigabytes.

    Raises `ImageError` for bytes that are not a picture, and for more pixels or parts than the
    bound.
    """
    data = memoryview(msg.data)
    if too_many := too_many_parts(data):
        raise ImageError(f"compressed image of {len(data)} bytes {too_many}")
    try:
        size = picture_size(data, "compressed image", FORMATS)
    except PictureTooLargeError as error:
        raise ImageError(str(error)) from error
    except ImageInputError as error:
        raise ImageError(_undecodable(msg)) from error
    _check_size(*size)
    return size


def _check_size(height: int, width: int) -> None:
    if height * width > LARGEST_PICTURE:
        raise ImageError(
            f"image has size {width}x{height}; it must have at most {LARGEST_PICTURE:,} pixels"
        )


def _undecodable(msg: CompressedImage) -> str:
    count = len(msg.data)
    return f"compressed image of {count} bytes, format '{plain(msg.format)}', cannot be decoded"


def _one_channel(pixels: np.ndarray) -> np.ndarray | None:
    """(H, W) of pixels with one channel, or with equal ones; None where there is color."""
    if pixels.ndim == 2:
        return pixels
    is_grey = (pixels == pixels[..., :1]).all()
    return np.ascontiguousarray(pixels[..., 0]) if is_grey else None


def _mosaic_to_rgb(pixels: np.ndarray, encoding: str, bit_depth: BitDepth | None) -> np.ndarray:
    """pixels: (H, W)."""
    if encoding not in ENCODINGS:
        raise _unsupported(encoding)
    name = next(mosaic for mosaic in MOSAICS if encoding.startswith(mosaic))
    return to_rgb(BRIDGE.cv2_to_imgmsg(_to_8_bits(pixels, bit_depth), f"{name}8"))


def _to_8_bits(pixels: np.ndarray, bit_depth: BitDepth | None) -> np.ndarray:
    if pixels.dtype == np.uint16:
        pixels = bit_depth.full_range(pixels) if bit_depth else pixels
        return cv2.convertScaleAbs(pixels, alpha=255 / 65535)
    if pixels.dtype != np.uint8:
        raise ImageError(f"compressed image has channels of {pixels.dtype}, not of 8 or 16 bits")
    return pixels


def unpadded_rows(msg: Image, rows: int, pixel_size: int) -> np.ndarray:
    """(rows, width * pixel_size) uint8 view of the message without the padding of its rows.

    pixel_size: bytes. Raises `ImageError` where there are too few, or too many pixels.
    """
    if msg.width < 1 or msg.height < 1:
        raise ImageError(f"image has size {msg.width}x{msg.height}; both must be positive")
    wanted = msg.width * pixel_size
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
    _check_size(msg.height, msg.width)
    strides = (msg.step, 1)
    return np.lib.stride_tricks.as_strided(data, (rows, wanted), strides, writeable=False)


def _packed(msg: Image, rows: np.ndarray, channel_size: int) -> Image:
    """The image as cv_bridge reads it right: no padding, native byte order, a name it knows."""
    big = sys.byteorder == "big"
    encoding = OLDER_NAMES.get(msg.encoding, msg.encoding)
    if msg.is_bigendian == big and rows.size == len(msg.data) and encoding == msg.encoding:
        return msg
    if channel_size == 2 and bool(msg.is_bigendian) != big:
        rows = np.ascontiguousarray(rows).view(np.uint16).byteswap().view(np.uint8)
    packed = Image(width=msg.width, height=msg.height, encoding=encoding, step=rows.shape[1])
    packed.is_bigendian = int(big)
    packed.data.frombytes(np.ascontiguousarray(rows))
    return packed


def _full_range(packed: Image, channels: int, bit_depth: BitDepth) -> Image:
    """packed: of 16 bits, see `_packed`."""
    shape = (packed.height, packed.width, channels)[: 2 if channels == 1 else 3]
    values = np.frombuffer(packed.data, np.uint16).reshape(shape)
    moved = bit_depth.full_range(values)
    return packed if moved is values else BRIDGE.cv2_to_imgmsg(moved, packed.encoding)


def _planar_to_rgb(msg: Image) -> np.ndarray:
    if msg.width % 2 or msg.height % 2:
        raise ImageError(f"{msg.encoding} image {msg.width}x{msg.height} must have even sizes")
    pixels = unpadded_rows(msg, msg.height * 3 // 2, 1)
    return cv2.cvtColor(np.ascontiguousarray(pixels), PLANAR[msg.encoding])


def _unsupported(encoding: str) -> NoPictureError:
    hint = "; that is a depth image" if encoding in DEPTH_ENCODINGS else ""
    if encoding in NAMELESS:
        hint = (
            f": it does not say what its channels are; let whoever publishes it say so, "
            f"{NAMELESS[encoding]} (with cv_bridge: cv2_to_imgmsg(image, encoding='bgr8'))"
        )
    return NoPictureError(
        f"encoding '{plain(encoding)}' is not supported{hint}; send one of "
        f"{', '.join([*ENCODINGS, *PLANAR])}"
    )
