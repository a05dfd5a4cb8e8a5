"""Depth as images: metres of a message as anybody sends it, millimetres as messages hold them."""

from __future__ import annotations

import numpy as np
from sensor_msgs.msg import Image

from da3_ros.net.plain_text import plain
from da3_ros.ros.images import ImageError, unpadded_rows

MILLIMETRES_MAX = 65535
VALUES = {"32FC1": np.dtype(np.float32), "16UC1": np.dtype(np.uint16)}
"""What a pixel is, by the encoding: metres, or millimetres."""


def depth_metres(msg: Image) -> np.ndarray:
    """(H, W) float32 m of a 32FC1 or 16UC1 depth image, NaN where unknown; rows may be padded, and
    bytes in either order. Raises `ImageError`.
    """
    if msg.encoding not in VALUES:
        named, known = plain(msg.encoding), " or ".join(VALUES)
        raise ImageError(f"encoding '{named}' is not of a depth image; use {known}")
    kind = VALUES[msg.encoding]
    rows = np.ascontiguousarray(unpadded_rows(msg, msg.height, kind.itemsize))
    values = rows.view(kind.newbyteorder(">" if msg.is_bigendian else "<"))
    if kind == np.uint16:
        return millimetres_to_metres(values)
    return values.astype(np.float32, copy=False)


def millimetres_to_metres(millimetres: np.ndarray) -> np.ndarray:
    """float32 m of uint16 mm, NaN for 0."""
    metres = millimetres / np.float32(1000)
    return np.where(millimetres > 0, metres, np.float32(np.nan))


def to_millimetres(depth: np.ndarray) -> np.ndarray:
    """uint16 millimetres, 0 where depth is unknown, infinite or beyond 65.535 m."""
    millimetres = np.round(depth * 1000)
    known = (millimetres > 0) & (millimetres <= MILLIMETRES_MAX)
    return np.where(known, millimetres, 0).astype(np.uint16)
