"""Which pixels show small things, by the true depth alone.

A thing is smaller than a square if, moved about the picture, the square finds no place on it: a
morphological opening of nearness takes it away (Serra, Image Analysis and Mathematical Morphology,
1982). Openings by squares of several sizes say how small it is. Slanted planes stay as they are,
and what the border of the picture cuts counts as large.
"""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional as F

SHARES = (1 / 12, 1 / 6, 1 / 3)
"""Sides of the squares, of the shorter side of the picture: 14, 28 and 56 px of 168."""

NEARER = 0.05
"""A thing is nearer than what is behind it by at least so much, ln."""

SKY = -1e3
"""Nearness of what has no depth."""

CELL = 2
"""Sides of the cells that are looked at, px: an eighth of the work."""


def loudness(depth: Tensor, valid: Tensor) -> Tensor:
    """1 for what is large, twice as much for things of half the size, to 8 for the smallest.

    depth, valid: (B,N,h,w), any unit. Returns (B,N,h,w).
    """
    near = F.max_pool2d(torch.where(valid, -depth.log(), SKY), CELL)
    shorter = min(near.shape[-2:])
    radii = [max(1, round(share * shorter / 2)) for share in SHARES]
    smaller = sum((near - opening(near, radius) > NEARER).float() for radius in radii)
    return F.interpolate(2**smaller, depth.shape[-2:])


def opening(maps: Tensor, radius: int) -> Tensor:
    """Of maps (B,N,h,w) by squares of 2 `radius` + 1 cells, which may stick out of the picture."""
    beyond = F.pad(maps, (radius,) * 4, value=torch.inf)
    return _greatest(-_greatest(-beyond, radius, radius), radius, 0)


def _greatest(maps: Tensor, radius: int, padding: int) -> Tensor:
    """In a square around each pixel, rows first."""
    side = 2 * radius + 1
    rows = F.max_pool2d(maps, (side, 1), 1, (padding, 0))
    return F.max_pool2d(rows, (1, side), 1, (0, padding))
