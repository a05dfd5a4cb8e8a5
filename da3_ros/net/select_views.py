"""Some of the views of a tensor, without asking the device for anything."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor


def select_views(x: Tensor, views: Sequence[int]) -> Tensor:
    """Views (B, M, ...) of x (B, N, ...) in the order asked for; not copied where they are one
    after the other.

    Not `x[:, views]`: a list of indices is copied to a GPU, which then waits for the computer.
    """
    first = views[0]
    if list(views) == list(range(first, first + len(views))):
        return x[:, first : first + len(views)]
    return torch.stack([x[:, v] for v in views], dim=1)
