"""Transformer layers of the backbone and of the camera encoder."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from da3_ros.net.attention import attend
from da3_ros.net.precision import LayerNorm, Linear, LinearGelu
from da3_ros.net.rope import Rotation


class Mlp(nn.Module):
    """Linear, GELU, Linear."""

    def __init__(self, dim: int, hidden: int, out: int | None = None):
        super().__init__()
        self.fc1 = LinearGelu(dim, hidden)
        self.fc2 = Linear(hidden, out or dim)

    def forward(self, x: Tensor) -> Tensor:
        return self.fc2(self.fc1(x))


class SwiGLU(nn.Module):
    """Gated feed-forward layer; `hidden` is shrunk by 2/3 and rounded up to 8 (DINOv2)."""

    def __init__(self, dim: int, hidden: int):
        super().__init__()
        hidden = (int(hidden * 2 / 3) + 7) // 8 * 8
        self.w12 = Linear(dim, 2 * hidden)
        self.w3 = Linear(hidden, dim)

    def forward(self, x: Tensor) -> Tensor:
        gate, value = self.w12(x).chunk(2, dim=-1)
        return self.w3(F.silu(gate) * value)


class LayerScale(nn.Module):
    """Adds a residual branch, times a learned factor per channel."""

    def __init__(self, dim: int, value: float):
        super().__init__()
        self.gamma = nn.Parameter(torch.full((dim,), value))

    def forward(self, x: Tensor, branch: Tensor) -> Tensor:
        if branch.dtype == x.dtype:
            # Rounded twice, as published: ties between reference views are decided the same.
            return x + branch * self.gamma
        return torch.addcmul(x, branch, self.gamma)


class Attention(nn.Module):
    """Multi-head self-attention over the tokens of one sequence."""

    def __init__(self, dim: int, heads: int, qk_norm: bool):
        super().__init__()
        self.heads = heads
        self.qkv = Linear(dim, 3 * dim)
        self.q_norm = LayerNorm(dim // heads) if qk_norm else nn.Identity()
        self.k_norm = LayerNorm(dim // heads) if qk_norm else nn.Identity()
        self.proj = Linear(dim, dim)

    def forward(self, x: Tensor, rotation: Rotation | None, queries: Tensor | None) -> Tensor:
        """x: (B, L, C) -> (B, L, C), or (B, Q, C) for the token indices `queries` (Q,)."""
        B, L, C = x.shape
        q, k, v = self.qkv(x).view(B, L, 3, self.heads, C // self.heads).permute(2, 0, 3, 1, 4)
        if queries is not None:
            q = q[:, :, queries]
        q, k = self.q_norm(q), self.k_norm(k)
        if rotation is not None:
            q, k = rotation.apply(q, queries), rotation.apply(k)
        out = attend(q, k, v)  # (B, heads, Q, C / heads)
        return self.proj(out.transpose(1, 2).flatten(2))


class Block(nn.Module):
    """Pre-norm transformer block with layer scale."""

    def __init__(
        self,
        dim: int,
        heads: int,
        *,
        scale: float,
        eps: float,
        qk_norm: bool = False,
        swiglu: bool = False,
    ):
        super().__init__()
        self.norm1 = nn.LayerNorm(dim, eps=eps)
        self.attn = Attention(dim, heads, qk_norm)
        self.ls1 = LayerScale(dim, scale)
        self.norm2 = nn.LayerNorm(dim, eps=eps)
        self.mlp = SwiGLU(dim, 4 * dim) if swiglu else Mlp(dim, 4 * dim)
        self.ls2 = LayerScale(dim, scale)

    def forward(
        self, x: Tensor, rotation: Rotation | None = None, queries: Tensor | None = None
    ) -> Tensor:
        """x: (B, L, C). With `queries` (Q,) only those tokens are computed: (B, Q, C)."""
        attended = self.attn(self.norm1(x), rotation, queries)
        if queries is not None:
            x = x[:, queries]
        x = self.ls1(x, attended)
        return self.ls2(x, self.mlp(self.norm2(x)))
