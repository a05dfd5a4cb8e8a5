"""Rotary position embedding in two dimensions.

The first half of a head's channels turns with the row, the second with the column
(RoFormer, arXiv:2104.09864, applied per axis).
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

BASE = 100.0
"""Base of the frequencies, as trained."""


@dataclass(frozen=True)
class Rotation:
    """Cosines and sines (L, D) by which the tokens of one sequence turn."""

    cos: Tensor
    sin: Tensor

    def apply(self, x: Tensor, tokens: Tensor | None = None) -> Tensor:
        """Turn x (B, H, L, D), or only the rows `tokens` (Q,) of the sequence (B, H, Q, D)."""
        cos, sin = self.cos.to(x.dtype), self.sin.to(x.dtype)
        if tokens is not None:
            cos, sin = cos[tokens], sin[tokens]
        # Each axis owns half of the channels and turns its two quarters against each other.
        first, second = x.unflatten(-1, (2, 2, -1)).unbind(-2)
        quarter_turn = torch.stack((-second, first), dim=-2).flatten(-3)
        return x * cos + quarter_turn * sin


def local_rotation(rows: int, columns: int, dim: int, device: torch.device) -> Rotation:
    """Rotation of one view: the camera token at (0, 0), patches from (1, 1) on."""
    y, x = torch.meshgrid(
        torch.arange(1, rows + 1, device=device),
        torch.arange(1, columns + 1, device=device),
        indexing="ij",
    )
    return _rotation(torch.stack((y, x), dim=-1).view(-1, 2), dim)


def global_rotation(
    views: int, rows: int, columns: int, dim: int, device: torch.device
) -> Rotation:
    """Rotation of all views: camera tokens at (0, 0), every patch at (1, 1)."""
    one_view = _rotation(torch.ones(rows * columns, 2, dtype=torch.long, device=device), dim)
    return Rotation(one_view.cos.repeat(views, 1), one_view.sin.repeat(views, 1))


def _rotation(patches: Tensor, dim: int) -> Rotation:
    """Rotation of a camera token at (0, 0) followed by `patches` (P, 2) rows and columns."""
    positions = torch.cat((torch.zeros_like(patches[:1]), patches))
    axis_dim = dim // 2
    exponents = torch.arange(0, axis_dim, 2, device=patches.device).float() / axis_dim
    angles = positions[..., None].float() * (1.0 / BASE**exponents)  # (L, 2, D / 4)
    angles = torch.cat((angles, angles), dim=-1).flatten(1)
    return Rotation(angles.cos(), angles.sin())
