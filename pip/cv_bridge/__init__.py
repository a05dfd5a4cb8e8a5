"""The part of ROS 2's cv_bridge that da3_ros uses, for environments of pip: it has none.

Names, arguments and pixels are those of cv_bridge in ros-perception/vision_opencv.
"""

from __future__ import annotations

import re
import sys

import cv2
import numpy as np
from sensor_msgs.msg import Image
from std_msgs.msg import Header

GENERIC = re.compile(r"(8U|8S|16U|16S|32S|32F|64F)C([1-4])")
"""Encodings that say nothing of colors."""

DTYPES = {
    "8U": np.uint8,
    "8S": np.int8,
    "16U": np.uint16,
    "16S": np.int16,
    "32S": np.int32,
    "32F": np.float32,
    "64F": np.float64,
}

# Encoding without its bits: channels, and the OpenCV conversion to RGB.
# OpenCV names a mosaic after its second row, second pixel on: ROS rggb is OpenCV BG.
COLOURS = {
    "rgb": (3, None),
    "bgr": (3, cv2.COLOR_BGR2RGB),
    "rgba": (4, cv2.COLOR_RGBA2RGB),
    "bgra": (4, cv2.COLOR_BGRA2RGB),
    "mono": (1, cv2.COLOR_GRAY2RGB),
    "bayer_rggb": (1, cv2.COLOR_BayerBG2RGB),
    "bayer_bggr": (1, cv2.COLOR_BayerRG2RGB),
    "bayer_gbrg": (1, cv2.COLOR_BayerGR2RGB),
    "bayer_grbg": (1, cv2.COLOR_BayerGB2RGB),
}
LAYOUTS = {
    "yuv422": (np.uint8, 2, cv2.COLOR_YUV2RGB_UYVY),
    "yuv422_yuy2": (np.uint8, 2, cv2.COLOR_YUV2RGB_YUY2),
    **{name + "8": (np.uint8, *rest) for name, rest in COLOURS.items()},
    **{name + "16": (np.uint16, *rest) for name, rest in COLOURS.items()},
}


class CvBridgeError(TypeError):
    """A conversion that is not possible."""


class CvBridge:
    """Image messages to arrays and back."""

    def imgmsg_to_cv2(self, img_msg: Image, desired_encoding: str = "passthrough") -> np.ndarray:
        """Pixels (H, W) or (H, W, C), as they are or as `rgb8`. Raises `CvBridgeError`.

        Where nothing has to be converted they are a view of the message.
        """
        dtype, channels, conversion = _layout(img_msg.encoding)
        pixels = _pixels(img_msg, np.dtype(dtype), channels)
        if desired_encoding in ("passthrough", img_msg.encoding):
            return pixels if desired_encoding == "passthrough" else pixels.copy()
        if desired_encoding != "rgb8" or img_msg.encoding not in LAYOUTS:
            raise CvBridgeError(f"no conversion from {img_msg.encoding} to {desired_encoding}")
        try:
            rgb = pixels if conversion is None else cv2.cvtColor(pixels, conversion)
        except cv2.error as error:
            raise CvBridgeError(error.err) from error
        return rgb if rgb.dtype == np.uint8 else cv2.convertScaleAbs(rgb, alpha=255 / 65535)

    def cv2_to_imgmsg(
        self, cvim: np.ndarray, encoding: str = "passthrough", header: Header | None = None
    ) -> Image:
        """Message with a copy of pixels (H, W) or (H, W, C). Raises `CvBridgeError`."""
        channels = 1 if cvim.ndim == 2 else cvim.shape[2]
        kind = next((name for name, dtype in DTYPES.items() if dtype == cvim.dtype), cvim.dtype)
        if encoding == "passthrough":
            encoding = f"{kind}C{channels}"
        if _layout(encoding)[:2] != (cvim.dtype, channels):
            raise CvBridgeError(f"{encoding} is not the encoding of a {kind}C{channels} image")
        msg = Image(header=header or Header(), height=cvim.shape[0], width=cvim.shape[1])
        msg.encoding = encoding
        msg.is_bigendian = int(sys.byteorder == "big")
        msg.data.frombytes(np.ascontiguousarray(cvim).view(np.uint8))
        msg.step = len(msg.data) // msg.height
        return msg


def _layout(encoding: str) -> tuple:
    """dtype, channels and OpenCV conversion to RGB of an encoding."""
    if encoding in LAYOUTS:
        return LAYOUTS[encoding]
    if generic := GENERIC.fullmatch(encoding):
        return DTYPES[generic[1]], int(generic[2]), None
    raise CvBridgeError(f"unrecognized image encoding [{encoding}]")


def _pixels(msg: Image, dtype: np.dtype, channels: int) -> np.ndarray:
    """(H, W[, C]) of the message, without the padding of its rows, in native byte order."""
    shape = (msg.height, msg.width) if channels == 1 else (msg.height, msg.width, channels)
    size = channels * dtype.itemsize
    if len(msg.data) < msg.step * (msg.height - 1) + msg.width * size:
        raise CvBridgeError(f"{len(msg.data)} bytes are too few for the image")
    strides = (msg.step, size) if channels == 1 else (msg.step, size, dtype.itemsize)
    pixels = np.ndarray(shape, dtype, msg.data, strides=strides)
    if bool(msg.is_bigendian) != (sys.byteorder == "big"):
        pixels = pixels.byteswap()
    return np.ascontiguousarray(pixels)
