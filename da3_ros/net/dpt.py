"""The DPT decoder: four levels of patch tokens to maps at image size.

Ranftl et al., Vision Transformers for Dense Prediction (arXiv:2103.13413); module
names are those of the published weights.
"""

from __future__ import annotations

import functools
from collections.abc import Sequence

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from da3_ros.net import presets
from da3_ros.net.precision import Conv2d, ConvTranspose2d, FinalConv
from da3_ros.net.presets import PATCH

GPU_CHUNK = 8
"""Views decoded at once; bounds the memory of the full-size maps."""

NECK = 32
"""Channels before the last layer of every head."""


class ResidualConvUnit(nn.Module):
    """ReLU, conv, ReLU, conv, plus the input."""

    def __init__(self, features: int):
        super().__init__()
        self.conv1 = Conv2d(features, features, 3, padding=1)
        self.conv2 = Conv2d(features, features, 3, padding=1)

    def forward(self, x: Tensor) -> Tensor:
        return self.conv2(F.relu(self.conv1(F.relu(x)))) + x


class FeatureFusion(nn.Module):
    """Add a finer level to the coarser one, refine, enlarge."""

    def __init__(self, features: int, lateral: bool = True):
        super().__init__()
        if lateral:
            self.resConfUnit1 = ResidualConvUnit(features)
        self.resConfUnit2 = ResidualConvUnit(features)
        self.out_conv = Conv2d(features, features, 1)

    def forward(self, x: Tensor, finer: Tensor | None, size: Sequence[int]) -> Tensor:
        if finer is not None:
            x = x + self.resConfUnit1(finer)
        return self.out_conv(enlarge(self.resConfUnit2(x), size))


class DPT(nn.Module):
    """What all heads share: project four levels, bring them to one pyramid, fuse.

    uv: add an embedding of the pixel position at every level. norm: of the tokens.
    """

    def __init__(self, dim: int, config: presets.HeadConfig, *, uv: bool, norm: bool):
        super().__init__()
        self.uv = uv
        channels = config.out_channels
        self.norm = nn.LayerNorm(dim) if norm else nn.Identity()
        self.projects = nn.ModuleList(Conv2d(dim, c, 1) for c in channels)
        self.resize_layers = nn.ModuleList(
            (
                ConvTranspose2d(channels[0], channels[0], 4, stride=4),
                ConvTranspose2d(channels[1], channels[1], 2, stride=2),
                nn.Identity(),
                Conv2d(channels[3], channels[3], 3, stride=2, padding=1),
            )
        )
        self.scratch = nn.Module()
        for i, c in enumerate(channels, start=1):
            conv = Conv2d(c, config.features, 3, padding=1, bias=False)
            self.scratch.add_module(f"layer{i}_rn", conv)
        add_refinement(self.scratch, config.features, "")
        self.scratch.output_conv1 = Conv2d(config.features, config.features // 2, 3, padding=1)

    def pyramid(self, levels: Sequence[Tensor], size: tuple[int, int]) -> list[Tensor]:
        """Four token maps (V, P, C) -> four feature maps, strides 4/14, 7/14, 1, 2 patches."""
        rows, columns = size[0] // PATCH, size[1] // PATCH
        maps = []
        for i, (tokens, project, resize) in enumerate(
            zip(levels, self.projects, self.resize_layers), start=1
        ):
            # Flat first: one view then has the same channels-last strides as several, the
            # convolutions take the same path, and the numbers do not depend on the batch.
            x = self.norm(tokens).flatten().view(len(tokens), rows, columns, -1)
            x = x.permute(0, 3, 1, 2)
            x = resize(self.add_uv(project(x), size))
            maps.append(self.scratch.get_submodule(f"layer{i}_rn")(x))
        return maps

    def fuse(self, maps: list[Tensor], suffix: str = "") -> Tensor:
        """Refine from the coarsest map to the finest, which ends twice enlarged."""
        sizes = [m.shape[-2:] for m in maps]
        sizes.insert(0, [2 * s for s in sizes[0]])
        x = self.scratch.get_submodule(f"refinenet4{suffix}")(maps[3], None, sizes[3])
        for i in (3, 2, 1):
            x = self.scratch.get_submodule(f"refinenet{i}{suffix}")(x, maps[i - 1], sizes[i - 1])
        return x

    def add_uv(self, x: Tensor, size: tuple[int, int]) -> Tensor:
        """Add the position embedding of an image of this (height, width)."""
        if not self.uv:
            return x
        rows, columns = x.shape[-2:]
        aspect = size[1] / size[0]
        return x + _uv_embedding(rows, columns, x.shape[1], aspect, x.device, x.dtype)


class DepthSkyHead(DPT):
    """Depth and sky of one-view networks."""

    def __init__(self, dim: int, config: presets.HeadConfig):
        super().__init__(dim, config, uv=False, norm=False)
        self.scratch.output_conv2 = output_layers(config.features // 2, 1)
        self.scratch.sky_output_conv2 = output_layers(config.features // 2, 1)

    def forward(self, levels: Sequence[Tensor], size: tuple[int, int]) -> tuple[Tensor, Tensor]:
        """Levels (V, P, C) -> depth (V, h, w), sky score (V, h, w), at least 0."""
        x = self.scratch.output_conv1(self.fuse(self.pyramid(levels, size)))
        x = enlarge(x, size)
        depth = self.scratch.output_conv2(x).exp()
        return depth[:, 0], self.scratch.sky_output_conv2(x).relu()[:, 0]


def chunk_size(device: torch.device) -> int:
    """Views to decode at once.

    One on a CPU: it is as fast, and since convolutions choose their path by the batch, a
    view gets the same numbers whatever else is decoded.
    """
    return 1 if device.type == "cpu" else GPU_CHUNK


def add_refinement(scratch: nn.Module, features: int, suffix: str) -> None:
    """Four fusion stages, named as in the published weights; the coarsest has no lateral."""
    for i in (1, 2, 3, 4):
        scratch.add_module(f"refinenet{i}{suffix}", FeatureFusion(features, lateral=i < 4))


def output_layers(channels: int, out: int) -> nn.Sequential:
    """Conv, ReLU, 1x1 conv to the output maps."""
    conv = Conv2d(channels, NECK, 3, padding=1)
    return nn.Sequential(conv, nn.ReLU(inplace=True), FinalConv(NECK, out))


def enlarge(x: Tensor, size: Sequence[int]) -> Tensor:
    """Bilinear, corners aligned."""
    return F.interpolate(x, size=tuple(size), mode="bilinear", align_corners=True)


@functools.lru_cache(maxsize=32)
def _uv_embedding(rows: int, columns: int, dim: int, aspect: float, device, dtype) -> Tensor:
    """(1, dim, rows, columns): sines and cosines of the position on the unit diagonal, x 0.1."""
    diagonal = (aspect**2 + 1.0) ** 0.5
    span_x, span_y = aspect / diagonal, 1.0 / diagonal
    with torch.inference_mode(False):
        x = _symmetric_linspace(span_x * (columns - 1) / columns, columns, device)
        y = _symmetric_linspace(span_y * (rows - 1) / rows, rows, device)
        x_part = _sin_cos(x, dim // 2)[None].expand(rows, -1, -1)
        y_part = _sin_cos(y, dim // 2)[:, None].expand(-1, columns, -1)
        embedding = (torch.cat((x_part, y_part), dim=-1) * 0.1).permute(2, 0, 1)[None]
        return embedding.to(dtype, memory_format=torch.channels_last)


def _symmetric_linspace(end: float, steps: int, device) -> Tensor:
    return torch.linspace(-end, end, steps=steps, device=device)


def _sin_cos(position: Tensor, dim: int) -> Tensor:
    """(L,) -> (L, dim)."""
    frequency = torch.arange(dim // 2, dtype=torch.float32, device=position.device)
    frequency = 1.0 / 100.0 ** (frequency / (dim / 2.0))
    angles = position[:, None] * frequency
    return torch.cat((angles.sin(), angles.cos()), dim=1)
