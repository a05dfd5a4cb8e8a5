"""Teaches one attention head of every global block to look where the same point is seen.

Comparing views is what a small network learns last, and by itself not within a day on a CPU: what
parallax could tell is worth nothing before attention finds it. The truth is known here, so it is
taught: how much a patch should look at each patch of another view is the bilinear weight of the
place where its centre is seen there, fractions of a patch included.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from da3_ros.net.backbone import Backbone
from da3_ros.net.camera import invert_rigid
from da3_ros.net.presets import PATCH
from tools.training.samples import Sample, masked_mean, points_in_reference

HEAD = 0
"""The attention head that is taught; the others stay free."""

SAME_SURFACE = 0.05
"""Two depths of one point differ by less than this share; more is hidden behind something."""


@dataclass(frozen=True)
class Matches:
    """What the backbone thinks of where the points of one view are seen in others.

    attention: per global block, logits (B, N, P, N, P). flow: (B, N, P, 2) columns and rows, in
    patches, to where it is seen in the reference view 0.
    """

    attention: list[Tensor]
    flow: Tensor


class MatchingProbe(nn.Module):
    """Listens to a backbone while it is trained. Its own weights are of no use afterwards.

    The flow is read from the tokens before the last two blocks, which have to make depth and
    cameras of it.
    """

    def __init__(self, backbone: Backbone):
        super().__init__()
        self.flow = nn.Linear(backbone.config.dim, 2)
        self._heard: list[tuple] = []
        self._tokens: Tensor | None = None
        across = [b for i, b in enumerate(backbone.blocks) if i % 2 and i >= backbone.encode_depth]
        for block in across:
            block.attn.register_forward_pre_hook(self._hear_attention)
        across[-2].register_forward_hook(self._hear_tokens)

    def _hear_attention(self, attn, args) -> None:
        if attn.training:
            self._heard.append((attn, *args))

    def _hear_tokens(self, block, args, tokens) -> None:
        self._tokens = tokens

    def read(self, views: int) -> Matches:
        """What was heard since the last call."""
        heard, self._heard = self._heard, []
        tokens = self._tokens.view(len(self._tokens), views, -1, self.flow.in_features)
        return Matches(
            [_logits(attn, x, rotation, views) for attn, x, rotation, _ in heard],
            self.flow(tokens[:, :, 1:].float()),
        )


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


def matching_losses(matches: Matches, sample: Sample) -> dict[str, Tensor]:
    """`match`: mean divergence from the true attention, nats. `flow`: mean error, patches."""
    target, seen = true_matches(sample)
    known = torch.xlogy(target, target).sum(-1)
    total = 0.0
    for logits in matches.attention:
        said = (target * logits.log_softmax(dim=-1)).sum(-1)
        total = total + masked_mean(known - said, seen)
    error = (matches.flow - _flow_to_reference(target, sample)).abs().mean(-1)
    return {"match": total / len(matches.attention), "flow": masked_mean(error, seen[..., 0])}


def _flow_to_reference(target: Tensor, sample: Sample) -> Tensor:
    rows, columns = (side // PATCH for side in sample.depth.shape[-2:])
    places = torch.cartesian_prod(torch.arange(rows), torch.arange(columns)).flip(-1).to(target)
    return target[..., 0, :] @ places - places


def true_matches(sample: Sample) -> tuple[Tensor, Tensor]:
    """Weights (B, N, P, N, P) that add up to one, and where they are known (B, N, P, N) bool.

    Known is a patch whose centre is seen in the other view, too; never in its own.
    """
    B, N, h, w = sample.depth.shape
    centre = slice(PATCH // 2, None, PATCH)
    points = points_in_reference(sample.depth, sample.T_ref_cam, sample.K)
    points = points[:, :, centre, centre].flatten(2, 3)
    valid = sample.valid[:, :, centre, centre].flatten(2)
    R, t = invert_rigid(sample.T_ref_cam)
    local = torch.einsum("bjxy,bipy->bipjx", R, points) + t[:, None, None]
    z = local[..., 2].clamp_min(1e-6)
    K = sample.K[:, None, None]
    u = K[..., 0, 0] * local[..., 0] / z + K[..., 0, 2]
    v = K[..., 1, 1] * local[..., 1] / z + K[..., 1, 2]
    inside = (local[..., 2] > 1e-6) & (u > 0) & (u < w - 1) & (v > 0) & (v < h - 1)
    there = _look_up(sample.depth, u, v)
    seen = inside & valid[..., None] & ((there - z).abs() < SAME_SURFACE * z)
    seen = seen & ~torch.eye(N, dtype=torch.bool, device=z.device)[:, None]
    across = _hat((u - PATCH // 2) / PATCH, w // PATCH)
    down = _hat((v - PATCH // 2) / PATCH, h // PATCH)
    return (down[..., :, None] * across[..., None, :]).flatten(-2), seen


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
