"""Sky of one-view networks: where depth has no meaning.

Nothing here asks the device for a number: a GPU is never waited for.
"""

from __future__ import annotations

import torch
from torch import Tensor

SKY_SCORE = 0.3
"""Scores from here on are sky."""

MIN_PIXELS = 10
"""Fewer pixels than this, of sky or of anything else, decide nothing."""


def is_sky(score: Tensor) -> Tensor:
    """Boolean mask of a sky score map."""
    return ~(score < SKY_SCORE)


def quantile_where(mask: Tensor, values: Tensor, quantile: float) -> Tensor:
    """Scalar: what `torch.quantile` says of `values` where `mask` is true; infinite of nothing."""
    ordered = values.masked_fill(~mask, torch.inf).flatten().sort().values
    rank = quantile * (mask.sum() - 1).clamp(min=0).to(torch.float64)
    below, above = (ordered.gather(0, i.long()[None])[0] for i in (rank.floor(), rank.ceil()))
    return torch.lerp(below, above, (rank - rank.floor()).to(values.dtype))


def fill_sky(depth: Tensor, score: Tensor) -> Tensor:
    """Depth with sky pixels set to the 99 % quantile of the rest."""
    sky = is_sky(score)
    count = sky.sum()
    decided = (count > MIN_PIXELS) & (sky.numel() - count > MIN_PIXELS)
    return torch.where(sky & decided, quantile_where(~sky, depth, 0.99), depth)
