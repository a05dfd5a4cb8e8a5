"""A picture whose colors are known, as an image message of every encoding."""

from __future__ import annotations

import struct
import sys
import zlib

import numpy as np
from sensor_msgs.msg import Image

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
    for k, color in enumerate(pattern):
        out[k // 2 :: 2, k % 2 :: 2] = rgb[k // 2 :: 2, k % 2 :: 2, "rgb".index(color)]
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


def tolerance(encoding: str) -> int:
    """Largest difference that the encoding itself makes, but at the border."""
    return 6 if encoding.startswith(("bayer", "yuv", "uyvy", "yuyv")) else 0


def huge_png(width, height):
    """A few bytes that say they are a picture of that size; there are no pixels in them."""

    def chunk(kind, data):
        crc = struct.pack(">I", zlib.crc32(kind + data))
        return struct.pack(">I", len(data)) + kind + data + crc

    header = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    packed = zlib.compress(b"\0" * 1000)
    parts = (chunk(b"IHDR", header), chunk(b"IDAT", packed), chunk(b"IEND", b""))
    return b"\x89PNG\r\n\x1a\n" + b"".join(parts)
