"""Who changes which weights, and how fast."""

from __future__ import annotations

import torch
from torch import nn

from da3_ros.net.network import Network

WARMUP_STEPS = 50
DECAY_FROM = 0.4
"""Share of the time after which the learning rate falls linearly."""

FAST_LAYERS = ("head.scratch.output_conv2.2", "cam_dec.", "cam_enc.")
FAST_FACTOR = 2.0
"""These speak and hear in plain units and have the farthest to go."""

MUON_FACTOR = 3.0
MUON_STEPS = 3
"""Newton-Schulz iterations; the usual five cost a small batch as much as its backward pass."""


def make_optimizers(
    network: Network, probe: nn.Module, kind: str, lr: float
) -> list[torch.optim.Optimizer]:
    """Muon for the matrices of the transformer blocks, AdamW for all else; or AdamW alone."""
    trained = {n: p for n, p in network.named_parameters() if p.requires_grad}
    matrices = {n: p for n, p in trained.items() if ".blocks." in f".{n}" and p.ndim == 2}
    if kind == "adamw":
        matrices = {}
    fast = {n: p for n, p in trained.items() if n.startswith(FAST_LAYERS)}
    others = {n: p for n, p in trained.items() if n not in matrices and n not in fast}
    groups = [
        {"params": [p for p in others.values() if p.ndim >= 2], "weight_decay": 0.02},
        {"params": [p for p in others.values() if p.ndim < 2], "weight_decay": 0.0},
        {"params": list(fast.values()), "weight_decay": 0.0, "lr": FAST_FACTOR * lr},
        {"params": list(probe.parameters()), "weight_decay": 0.0},
    ]
    optimizers = [torch.optim.AdamW(groups, lr=lr, betas=(0.9, 0.98))]
    if matrices:
        optimizers.append(
            torch.optim.Muon(
                matrices.values(),
                lr=MUON_FACTOR * lr,
                weight_decay=0.02,
                ns_steps=MUON_STEPS,
                adjust_lr_fn="match_rms_adamw",
            )  # fmt: skip
        )
    for optimizer in optimizers:
        for group in optimizer.param_groups:
            group["initial_lr"] = group["lr"]
    return optimizers


def learning_rate_factor(steps: int, progress: float) -> float:
    """Warm up, stay, fall linearly to a fiftieth."""
    warm = min(1.0, (steps + 1) / WARMUP_STEPS)
    fall = min(1.0, max(0.02, (1 - progress) / (1 - DECAY_FROM)))
    return warm * fall
