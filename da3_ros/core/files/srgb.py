"""Colors as files and screens have them (sRGB) and as light adds up (linear): IEC 61966-2-1."""

from __future__ import annotations

import numpy as np


def linear_rgb(colors: np.ndarray) -> np.ndarray:
    """(n, 3) float32 linear light 0 to 1 of (n, 3) uint8 sRGB."""
    return _LINEAR[colors]


def srgb(linear: np.ndarray) -> np.ndarray:
    """(n, 3) uint8 sRGB of (n, 3) linear light 0 to 1; what is beyond is clipped."""
    c = np.clip(linear, 0, 1)
    encoded = np.where(c <= 0.0031308, c * 12.92, 1.055 * c ** (1 / 2.4) - 0.055)
    return np.round(encoded * 255).astype(np.uint8)


def _decoded(byte: np.ndarray) -> np.ndarray:
    """Float32 0 to 1 of 0 to 255."""
    c = byte / 255
    return np.where(c <= 0.04045, c / 12.92, ((c + 0.055) / 1.055) ** 2.4).astype("<f4")


_LINEAR = _decoded(np.arange(256))
