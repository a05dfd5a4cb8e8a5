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
class LocalRotation:
    """Of the tokens of one view: the camera token at (0, 0), patches from (1, 1) on.

    cos, signed_sin: (L, D); the sine is negative where a channel meets the one above it.
    """

    cos: Tensor
    signed_sin: Tensor

    def apply(self, x: Tensor, tokens: Tensor | None = None) -> Tensor:
        """Turn x (B, H, L, D), or only the rows `tokens` (Q,) of the sequence (B, H, Q, D)."""
        cos, sin = self.cos.to(x.dtype), self.signed_sin.to(x.dtype)
        if tokens is not None:
            cos, sin = cos[tokens], sin[tokens]
        return _turn(x, cos, sin)


@dataclass(frozen=True)
class GlobalRotation:
    """Of the tokens of all views: camera tokens at (0, 0), every patch at (1, 1).

    Attention depends on differences of position alone: it is the same when patches stay as
    they are and only the camera tokens turn back, to (-1, -1). So it is done in low precision;
    fp32 rounds as the published network does.

    cos, signed_sin: (D,), of a patch. views: their number. tokens: of one view.
    """

    cos: Tensor
    signed_sin: Tensor
    views: int
    tokens: int

    def apply(self, x: Tensor, tokens: Tensor | None = None) -> Tensor:
        """Turn x (B, H, L, D), or the rows `tokens`, which begin with the cameras'."""
        cameras = slice(0, None, self.tokens) if tokens is None else slice(self.views)
        if x.dtype == torch.float32:
            turned = _turn(x, self.cos, self.signed_sin)
            turned[:, :, cameras] = x[:, :, cameras]
            return turned
        cos, sin = self.cos.to(x.dtype), self.signed_sin.to(x.dtype)
        x[:, :, cameras] = _turn(x[:, :, cameras], cos, -sin)
        return x

    def table(self) -> LocalRotation:
        """The same written out token by token, as graphs take it: none is changed in place."""
        rows = torch.arange(self.views * self.tokens, device=self.cos.device) % self.tokens > 0
        cos = torch.where(rows[:, None], self.cos, torch.ones_like(self.cos))
        return LocalRotation(cos, self.signed_sin * rows[:, None])


Rotation = LocalRotation | GlobalRotation


def _turn(x: Tensor, cos: Tensor, signed_sin: Tensor) -> Tensor:
    # Each axis owns half of the channels and turns its two quarters against each other.
    first, second = x.unflatten(-1, (2, 2, -1)).unbind(-2)
    swapped = torch.cat((second, first), dim=-1).flatten(-2)
    if x.dtype == torch.float32:
        return x * cos + swapped * signed_sin
    return torch.addcmul(x * cos, swapped, signed_sin)


def local_rotation(rows: int, columns: int, dim: int, device: torch.device) -> LocalRotation:
    """Rotation of one view of `rows` x `columns` patches; dim: channels of a head."""
    y, x = torch.meshgrid(
        torch.arange(1, rows + 1, device=device),
        torch.arange(1, columns + 1, device=device),
        indexing="ij",
    )
    patches = torch.stack((y, x), dim=-1).view(-1, 2)
    return LocalRotation(*_tables(torch.cat((torch.zeros_like(patches[:1]), patches)), dim))


def global_rotation(
    views: int, rows: int, columns: int, dim: int, device: torch.device
) -> GlobalRotation:
    """Rotation of `views` views; dim: channels of a head."""
    cos, sin = _tables(torch.tensor([[1, 1]], device=device), dim)
    return GlobalRotation(cos[0], sin[0], views, 1 + rows * columns)


def _tables(positions: Tensor, dim: int) -> tuple[Tensor, Tensor]:
    """Cosines and signed sines (L, dim) of the positions (L, 2), row and column."""
    axis_dim = dim // 2
    exponents = torch.arange(0, axis_dim, 2, device=positions.device).float() / axis_dim
    angles = positions[..., None].float() * (1.0 / BASE**exponents)  # (L, 2, D / 4)
    sin = angles.sin()
    cos = torch.cat((angles, angles), dim=-1).flatten(1).cos()
    return cos, torch.cat((-sin, sin), dim=-1).flatten(1)
