"""Teaches one attention head of every global block to look where the same point is seen.

Comparing views is what a small network learns last, and by itself not within a day on a CPU: what
parallax could tell is worth nothing before attention finds it. The truth is known here, so it is
taught: how much a patch should look at each patch of another view is the bilinear weight of the
place where its centre is seen there, fractions of a patch included.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn import functional as F

from da3_ros.net.backbone import Backbone
from da3_ros.net.camera import invert_rigid
from da3_ros.net.presets import PATCH
from tools.training.samples import Sample, masked_mean, patch_centres, points_in_reference

HEAD = 0
"""The attention head that is taught; the others stay free."""

SAME_SURFACE = 0.05
"""Two depths of one point differ by less than this share; more is hidden behind something."""


class AttentionListener:
    """Hears what the taught head of every global block compares, while a backbone is trained."""

    def __init__(self, backbone: Backbone):
        self._heard: list[tuple] = []
        for i in range(backbone.encode_depth, backbone.config.depth):
            if i % 2:
                backbone.blocks[i].attn.register_forward_pre_hook(self._hear)

    def _hear(self, attn, args) -> None:
        if attn.training:
            self._heard.append((attn, *args))

    def read(self, views: int) -> list[Tensor]:
        """Per global block since the last call: logits (B, N, P, N, P)."""
        heard, self._heard = self._heard, []
        return [_logits(attn, x, rotation, views) for attn, x, rotation, _ in heard]


def _logits(attn, x: Tensor, rotation, views: int) -> Tensor:
    B, L, C = x.shape
    heads = attn.heads
    weight = attn.qkv.weight.view(3, heads, C // heads, C)[:2, HEAD].flatten(0, 1)
    bias = attn.qkv.bias.view(3, heads, -1)[:2, HEAD].flatten()
    q, k = F.linear(x, weight, bias).float().chunk(2, dim=-1)
    q, k = attn.q_norm(q)[:, None], attn.k_norm(k)[:, None]
    q, k = rotation.apply(q), rotation.apply(k)
    scores = q[:, 0] @ k[:, 0].transpose(1, 2) * q.shape[-1] ** -0.5
    return scores.view(B, views, L // views, views, L // views)[:, :, 1:, :, 1:]


def matching_loss(attention: list[Tensor], matches: Matches) -> Tensor:
    """Mean divergence of the logits from the true attention, nats."""
    target = matches.attention()
    known = torch.xlogy(target, target).sum(-1)
    total = 0.0
    for logits in attention:
        said = (target * logits.log_softmax(dim=-1)).sum(-1)
        total = total + masked_mean(known - said, matches.seen)
    return total / len(attention)


@dataclass(frozen=True)
class Matches:
    """Where the patch centres of every view are seen in every other one.

    flow: (B, N, P, N, 2) columns and rows to there, patches. seen: (B, N, P, N) bool, where it is
    known: inside the other view and not hidden; never in the own one. grid: rows, columns.
    """

    flow: Tensor
    seen: Tensor
    grid: tuple[int, int]

    def attention(self) -> Tensor:
        """Weights (B, N, P, N, P) of the four patches around each place; they add up to one."""
        rows, columns = self.grid
        places = torch.cartesian_prod(torch.arange(rows), torch.arange(columns)).flip(-1)
        at = places.to(self.flow)[:, None] + self.flow
        across, down = _hat(at[..., 0], columns), _hat(at[..., 1], rows)
        return (down[..., :, None] * across[..., None, :]).flatten(-2)


def true_matches(sample: Sample) -> Matches:
    """What is known of a sample whose depth is known."""
    B, N, h, w = sample.depth.shape
    points = points_in_reference(sample.depth, sample.T_ref_cam, sample.K)
    points, valid = patch_centres(points), patch_centres(sample.valid)
    R, t = invert_rigid(sample.T_ref_cam)
    local = torch.einsum("bjxy,bipy->bipjx", R, points) + t[:, None, None]
    z = local[..., 2].clamp_min(1e-6)
    K = sample.K[:, None, None]
    uv = local[..., :2] / z[..., None] * K[..., [0, 1], [0, 1]] + K[..., :2, 2]
    u, v = uv.unbind(-1)
    inside = (local[..., 2] > 1e-6) & (u > 0) & (u < w - 1) & (v > 0) & (v < h - 1)
    there = _look_up(sample.depth, u, v)
    seen = inside & valid[..., None] & ((there - z).abs() < SAME_SURFACE * z)
    seen = seen & ~torch.eye(N, dtype=torch.bool, device=z.device)[:, None]
    grid = (h // PATCH, w // PATCH)
    return Matches((uv - _own_pixels(grid).to(uv)[:, None]) / PATCH, seen, grid)


def _own_pixels(grid: tuple[int, int]) -> Tensor:
    """(P, 2) column and row of the patch centres."""
    rows, columns = (torch.arange(count) * PATCH + PATCH // 2 for count in grid)
    return torch.cartesian_prod(rows, columns).flip(-1)


def _look_up(depth: Tensor, u: Tensor, v: Tensor) -> Tensor:
    """Depth (B,N,h,w) of views j at pixels u, v (B,N,P,N), the last index being j."""
    B, N, h, w = depth.shape
    column, row = u.round().clamp(0, w - 1).long(), v.round().clamp(0, h - 1).long()
    flat = (row * w + column).permute(0, 3, 1, 2).flatten(2)
    return depth.flatten(2).gather(2, flat).view(B, N, N, -1).permute(0, 2, 3, 1)


def _hat(at: Tensor, count: int) -> Tensor:
    """Linear interpolation weights (..., count) of a place counted in patches."""
    at = at.clamp(0, count - 1)
    return (1 - (at[..., None] - torch.arange(count, device=at.device)).abs()).clamp_min(0)
