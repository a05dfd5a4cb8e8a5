"""DINOv2-style vision transformer whose later blocks look across views.

Depth Anything 3, section 3.1: the first blocks see one view each (`encode`), the
later ones alternate between attention within a view and over all views (`aggregate`).
"""

from __future__ import annotations

import functools
from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from da3_ros.net import presets, rope
from da3_ros.net.layers import Block
from da3_ros.net.precision import Conv2d
from da3_ros.net.presets import PATCH
from da3_ros.net.select_views import select_views

TRAINED_GRID = 37
"""Patches per side of the stored position embedding (518 px)."""


class PatchEmbed(nn.Module):
    """Image (V, 3, h, w) -> patch tokens (V, P, C)."""

    def __init__(self, dim: int):
        super().__init__()
        self.proj = Conv2d(3, dim, kernel_size=PATCH, stride=PATCH)

    def forward(self, images: Tensor) -> Tensor:
        return self.proj(images).flatten(2).transpose(1, 2)


@dataclass(frozen=True)
class Aggregated:
    """What `aggregate` returns, views in the order they came in.

    levels: four tensors (B, M, P, 2C), one per out layer, of the views asked for.
    camera_tokens: (B, N, 2C) of all views, not normalised.
    features: layer -> (B, N, P, C), normalised.
    """

    levels: tuple[Tensor, ...]
    camera_tokens: Tensor
    features: dict[int, Tensor]


class Backbone(nn.Module):
    """The transformer. Token 0 of a view is its class token, later its camera token."""

    def __init__(self, config: presets.BackboneConfig):
        super().__init__()
        self.config = config
        dim = config.dim
        self.patch_embed = PatchEmbed(dim)
        self.cls_token = nn.Parameter(torch.zeros(1, 1, dim))
        self.pos_embed = nn.Parameter(torch.zeros(1, TRAINED_GRID**2 + 1, dim))
        if config.alternate_from is not None:
            self.camera_token = nn.Parameter(torch.randn(1, 2, dim))
        self.blocks = nn.ModuleList(self._block(i) for i in range(config.depth))
        self.norm = nn.LayerNorm(dim)
        self._positions: dict[tuple, Tensor] = {}

    def _block(self, index: int) -> Block:
        start = self.config.alternate_from
        return Block(
            self.config.dim,
            self.config.heads,
            scale=1.0,
            eps=1e-6,
            qk_norm=start is not None and index >= start,
            swiglu=self.config.swiglu,
        )

    @property
    def encode_depth(self) -> int:
        """Number of blocks that see one view only."""
        start = self.config.alternate_from
        return self.config.depth if start is None else start

    def embed(self, images: Tensor) -> Tensor:
        """Images (V, 3, h, w) -> tokens (V, 1 + P, C) with position embedding."""
        rows, columns = images.shape[-2] // PATCH, images.shape[-1] // PATCH
        tokens = self.with_class_token(self.patch_embed(images))
        return tokens + self._position_embedding(rows, columns).to(tokens.dtype)

    def with_class_token(self, patches: Tensor) -> Tensor:
        """Patch tokens (V, P, C) -> (V, 1 + P, C)."""
        return torch.cat((self.cls_token.expand(len(patches), -1, -1), patches), dim=1)

    def _position_embedding(self, rows: int, columns: int) -> Tensor:
        if torch.is_grad_enabled() or torch.compiler.is_compiling():
            return self.interpolate_positions(rows, columns)
        # The version changes with every in-place write, so that new weights are seen.
        stored = self.pos_embed
        version = 0 if stored.is_inference() else stored._version
        key = (rows, columns, stored.data_ptr(), version, stored.device, stored.dtype)
        if key not in self._positions:
            self._positions = {key: self.interpolate_positions(rows, columns)}
        return self._positions[key]

    def interpolate_positions(self, rows: int, columns: int) -> Tensor:
        """Position embedding (1, 1 + P, C) of a grid of patches."""
        if rows == columns == TRAINED_GRID:
            return self.pos_embed
        embed = self.pos_embed.float()
        grid = embed[:, 1:].view(1, TRAINED_GRID, TRAINED_GRID, -1).permute(0, 3, 1, 2)
        # DINOv2 trained with this offset in the scale; the sampling grid depends on it.
        scale = ((rows + 0.1) / TRAINED_GRID, (columns + 0.1) / TRAINED_GRID)
        grid = F.interpolate(grid, scale_factor=scale, mode="bicubic", antialias=False)
        return torch.cat((embed[:, :1], grid.permute(0, 2, 3, 1).flatten(1, 2)), dim=1)

    def encode(
        self, x: Tensor, layers: tuple[int, ...]
    ) -> tuple[Tensor, Tensor, dict[int, Tensor]]:
        """Run the per-view blocks on tokens (V, T, C).

        Returns the tokens; the class tokens (V, C) one block earlier, by which a
        reference view is selected; the tokens after each of `layers` that is per-view.
        """
        kept = {}
        class_tokens = x[:, 0]
        for i in range(self.encode_depth):
            x = self.blocks[i](x)
            if i == self.encode_depth - 2:
                class_tokens = x[:, 0]
            if i in layers:
                kept[i] = x
        return x, class_tokens, kept

    def aggregate(
        self,
        x: Tensor,
        camera_tokens: Tensor,
        grid: tuple[int, int],
        views: list[int],
        layers: tuple[int, ...],
    ) -> Aggregated:
        """Run the cross-view blocks on tokens (B, N, T, C), the reference view first.

        camera_tokens: (B, N, C) replace the class tokens. grid: rows, columns of patches.
        views: whose levels are wanted. layers: whose tokens are wanted.
        """
        B, N, T, C = x.shape
        local, across = self._rotations(grid, N, x.device)
        if torch.compiler.is_compiling():  # the whole stage is being exported
            across = across.table()
        x = torch.cat((camera_tokens[:, :, None].to(x.dtype), x[:, :, 1:]), dim=2)
        levels, kept, within = [], {}, x
        for i in range(self.encode_depth, self.config.depth - 1):
            if i % 2:
                x = self.blocks[i](x.view(B, N * T, C), across).view(B, N, T, C)
            else:
                x = within = self.blocks[i](x.view(B * N, T, C), local).view(B, N, T, C)
            if i in self.config.out_layers:
                levels.append(self._level(select_views(within, views), select_views(x, views)))
            if i in layers:
                kept[i] = self.norm(x)[:, :, 1:]
        return self._last_block(x, within, across, views, layers, levels, kept)

    def _last_block(self, x, within, across, views, layers, levels, kept) -> Aggregated:
        """The last block is global and its other tokens are never read: skip their queries."""
        B, N, T, C = x.shape
        last = self.config.depth - 1
        if last in layers or len(views) == N:
            x = self.blocks[last](x.view(B, N * T, C), across).view(B, N, T, C)
            if last in layers:
                kept[last] = self.norm(x)[:, :, 1:]
            first, wanted = x[:, :, 0], select_views(x, views)
        else:
            queries = _last_queries(N, T, tuple(views), x.device)
            x = self.blocks[last](x.view(B, N * T, C), across, queries)
            first, wanted = x[:, :N], x[:, N:].view(B, len(views), T - 1, C)
            wanted = torch.cat((select_views(first, views)[:, :, None], wanted), dim=2)
        levels.append(self._level(select_views(within, views), wanted))
        return Aggregated(tuple(levels), torch.cat((within[:, :, 0], first), dim=-1), kept)

    def _level(self, within: Tensor, across: Tensor) -> Tensor:
        """(B, M, T, C) twice -> (B, M, P, 2C): the local half raw, the global half normalised."""
        return torch.cat((within, self.norm(across)), dim=-1)[:, :, 1:]

    def one_view_levels(self, kept: dict[int, Tensor]) -> tuple[Tensor, ...]:
        """Levels (V, P, C) of a network that never looks across views."""
        return tuple(self.norm(kept[i])[:, 1:] for i in self.config.out_layers)

    def default_camera_tokens(self, batch: int, views: int) -> Tensor:
        """Camera tokens (B, N, C) without poses: one for the reference view, one for the rest."""
        reference, others = self.camera_token[:, :1], self.camera_token[:, 1:]
        tokens = torch.cat((reference, others.expand(-1, views - 1, -1)), dim=1)
        return tokens.expand(batch, -1, -1)

    def _rotations(self, grid, views, device) -> tuple[rope.Rotation, rope.Rotation]:
        return _rotations(*grid, views, self.config.dim // self.config.heads, device)


@functools.lru_cache(maxsize=16)
def _rotations(rows, columns, views, dim, device) -> tuple[rope.Rotation, rope.Rotation]:
    with torch.inference_mode(False):
        local = rope.local_rotation(rows, columns, dim, device)
        return local, rope.global_rotation(views, rows, columns, dim, device)


@functools.lru_cache(maxsize=64)
def _last_queries(views: int, tokens: int, wanted: tuple[int, ...], device) -> Tensor:
    """Token indices: the first token of every view, then the patches of the wanted ones."""
    with torch.inference_mode(False):
        index = torch.arange(views * tokens, device=device).view(views, tokens)
        return torch.cat((index[:, 0], *(index[v, 1:] for v in wanted)))
