"""Pictures and depth as image_transport's plugins compress them, for links that are slow.

`compressed_image_transport` decodes the picture, `compressed_depth_image_transport` the depth,
whose data begin with 12 bytes (int32 0, float32 A, float32 B) before a PNG of 16 bits.
"""

from __future__ import annotations

import struct
from array import array

import cv2
import numpy as np
from sensor_msgs.msg import CompressedImage
from std_msgs.msg import Header

from da3_ros.net.plain_text import plain
from da3_ros.ros.depth_images import millimetres_to_metres, to_millimetres
from da3_ros.ros.images import ImageError, compressed_size, decoded

PARAMETERS = struct.Struct("<iff")
"""How inverse depth was made whole numbers: depth = A / (number - B), number 0 is unknown."""

B = 1.0
"""Not 1 - A / depth_max as the plugin writes it: so the number 1 decodes to +Inf, too far."""

LARGEST = 65535

PNG = [cv2.IMWRITE_PNG_COMPRESSION, 1, cv2.IMWRITE_PNG_STRATEGY, cv2.IMWRITE_PNG_STRATEGY_FILTERED]
"""Higher levels take many times as long for a few percent."""


def compressed_message(rgb: np.ndarray, quality: int, head: Header) -> CompressedImage:
    """JPEG of (H, W, 3) uint8 RGB. quality: 1 to 100."""
    options = [cv2.IMWRITE_JPEG_QUALITY, quality]
    _, data = cv2.imencode(".jpg", cv2.cvtColor(rgb, cv2.COLOR_RGB2BGR), options)
    return _message("rgb8; jpeg compressed bgr8", data.tobytes(), head)


def compressed_depth_message(
    depth: np.ndarray, encoding: str, quantization: float, head: Header
) -> CompressedImage:
    """PNG of depth (H, W) float32: of millimetres (16UC1), or of inverse depth (32FC1).

    Inverse depth z comes back with an error of at most z^2 / (2 A) and NaN and +Inf as they
    were. A = quantization (quantization + 1), or less where the nearest pixel would not fit.
    """
    if encoding == "16UC1":
        A, numbers = 0.0, to_millimetres(depth)
    else:
        A, numbers = _inverse_depth(depth, quantization)
    _, png = cv2.imencode(".png", numbers, PNG)
    data = PARAMETERS.pack(0, A, B) + png.tobytes()
    return _message(f"{encoding}; compressedDepth png", data, head)


def compressed_depth_metres(msg: CompressedImage) -> np.ndarray:
    """(H, W) float32 m of compressed depth; NaN unknown, +Inf too far. Raises `ImageError`."""
    encoding, _, how = (part.strip() for part in msg.format.partition(";"))
    if encoding not in ("16UC1", "32FC1") or how not in ("compressedDepth png", "compressedDepth"):
        raise ImageError(f"compressed image of format '{plain(msg.format)}' is not depth in PNG")
    data = np.frombuffer(msg.data, np.uint8)
    numbers = _decoded(data[PARAMETERS.size :], msg.format)
    if encoding == "16UC1":
        return millimetres_to_metres(numbers)
    _, scale, shift = PARAMETERS.unpack(data[: PARAMETERS.size].tobytes())
    with np.errstate(divide="ignore"):
        depth = np.float32(scale) / (numbers.astype(np.float32) - np.float32(shift))
    depth[numbers == 0] = np.nan
    return depth


def _decoded(png: np.ndarray, kind: str) -> np.ndarray:
    """(H, W) uint16. Raises `ImageError`."""
    compressed_size(_message(kind, png.tobytes(), Header()))
    numbers = decoded(png)
    if numbers is None or numbers.dtype != np.uint16 or numbers.ndim != 2:
        raise ImageError(f"compressed depth of {png.size} bytes cannot be decoded")
    return numbers


def _inverse_depth(depth: np.ndarray, quantization: float) -> tuple[float, np.ndarray]:
    """A, and 1 + A / depth as uint16, 0 where depth is unknown."""
    known = depth > 0
    nearest = np.min(depth, where=known, initial=np.inf)
    A = np.float32(min(quantization * (quantization + 1), (LARGEST - B) * nearest))
    numbers = np.rint(A / np.where(known, depth, np.inf)) + B
    return float(A), np.where(known, numbers, 0).astype(np.uint16)


def _message(kind: str, data: bytes, head: Header) -> CompressedImage:
    return CompressedImage(header=head, format=kind, data=array("B", data))
