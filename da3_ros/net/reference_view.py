"""Which of several unposed views the others are seen from (Depth Anything 3, section 3.1)."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional as F

from da3_ros.net.precision import without_autocast

STRATEGIES = ("first", "middle", "saddle_balanced", "saddle_sim_range")

MIN_VIEWS = 3
"""With fewer views the first is the reference, whatever the strategy (as trained)."""


def check_strategy(strategy: str) -> None:
    """`ValueError` naming the strategies there are."""
    if strategy not in STRATEGIES:
        raise ValueError(
            f"unknown reference view strategy '{strategy}'; use one of {', '.join(STRATEGIES)}"
        )


def select_reference(class_tokens: Tensor, strategy: str) -> Tensor:
    """Index (B,) of the reference among the views of class_tokens (B, N, C).

    The saddle strategies compare the views' class tokens, always in fp32: in lower
    precision rounding would decide between similar views.
    """
    B, N, _ = class_tokens.shape
    if N < MIN_VIEWS or strategy == "first":
        return torch.zeros(B, dtype=torch.long, device=class_tokens.device)
    if strategy == "middle":
        return torch.full((B,), N // 2, dtype=torch.long, device=class_tokens.device)
    with without_autocast(class_tokens.device):
        return _saddle(class_tokens.float(), strategy)


def _saddle(tokens: Tensor, strategy: str) -> Tensor:
    norms = tokens.norm(dim=-1, keepdim=True)
    directions = tokens / norms
    # The diagonal stays in as zero: strategies were tuned with it.
    similarity = directions @ directions.transpose(1, 2)
    similarity = similarity - torch.eye(tokens.shape[1], device=tokens.device)
    if strategy == "saddle_sim_range":
        return (similarity.amax(dim=-1) - similarity.amin(dim=-1)).argmax(dim=1)
    mean_similarity = similarity.sum(dim=-1) / (tokens.shape[1] - 1)
    scores = (mean_similarity, norms[..., 0], directions.var(dim=-1))
    return sum((_unit_range(s) - 0.5).abs() for s in scores).argmin(dim=1)


def _unit_range(score: Tensor) -> Tensor:
    low, high = score.amin(dim=1, keepdim=True), score.amax(dim=1, keepdim=True)
    return (score - low) / (high - low + 1e-8)


def order_reference_first(reference: Tensor, views: int) -> Tensor:
    """Order (B, N) that puts view `reference` (B,) first and keeps the rest in order."""
    return F.one_hot(reference, views).argsort(dim=1, descending=True, stable=True)


def take(x: Tensor, order: Tensor) -> Tensor:
    """Reorder the views of x (B, N, ...) by order (B, M)."""
    return x[torch.arange(len(x), device=x.device)[:, None], order]
