"""Weights as 8-bit integers with one scale per channel: half the size of fp16, for files only.

A weight (C, ...) is stored as int8 beside `<name>.scale` (C,): weight = int8 * scale. Everything
computes with the restored numbers, so that only their rounding is lost, at most half a scale each.
"""

from __future__ import annotations

import torch
from torch import Tensor

SCALE = ".scale"
"""Ending of the name under which the scales of a tensor are stored."""

LARGEST = 127


def is_worth_it(value: Tensor) -> bool:
    """Matrices and kernels; not vectors, nor what has one channel only, as a position table."""
    return value.ndim >= 2 and value.shape[0] > 1


def to_eight_bit(value: Tensor) -> tuple[Tensor, Tensor]:
    """int8 of the same shape, and scales (C,) float32."""
    flat = value.float().flatten(1)
    scale = flat.abs().amax(dim=1) / LARGEST
    # A channel of zeros has no scale, and needs none.
    counts = (flat / scale.clamp_min(torch.finfo(torch.float32).tiny)[:, None]).round()
    return counts.clamp(-LARGEST, LARGEST).to(torch.int8).view_as(value), scale


def from_eight_bit(counts: Tensor, scale: Tensor) -> Tensor:
    """float32 of the same shape. Raises `ValueError` when there is not one scale per channel."""
    if scale.shape != counts.shape[:1]:
        raise ValueError(f"{tuple(scale.shape)} scales for {tuple(counts.shape)} counts")
    return counts.float() * scale.float().view(-1, *[1] * (counts.ndim - 1))
