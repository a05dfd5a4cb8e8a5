"""Sky of one-view networks: where depth has no meaning."""

from __future__ import annotations

import torch
from torch import Tensor

SKY_SCORE = 0.3
"""Scores from here on are sky."""

MIN_PIXELS = 10
"""Fewer pixels than this, of sky or of anything else, decide nothing."""

MAX_QUANTILE_PIXELS = 2**24
"""Limit of torch.quantile."""


def is_sky(score: Tensor) -> Tensor:
    """Boolean mask of a sky score map."""
    return ~(score < SKY_SCORE)


def far_depth(depth: Tensor, quantile: float) -> Tensor:
    """Quantile of depth values (P,), over every n-th one where there are too many."""
    step = -(-depth.numel() // MAX_QUANTILE_PIXELS)
    return torch.quantile(depth[::step], quantile)


def fill_sky(depth: Tensor, score: Tensor) -> Tensor:
    """Depth with sky pixels set to the 99 % quantile of the rest."""
    sky = is_sky(score)
    if sky.sum() <= MIN_PIXELS or (~sky).sum() <= MIN_PIXELS:
        return depth
    return torch.where(sky, far_depth(depth[~sky], 0.99), depth)
