"""The any-view head: depth and rays from one pyramid (Depth Anything 3, section 3.2)."""

from __future__ import annotations

from collections.abc import Sequence

from torch import Tensor, nn

from da3_ros.net import presets
from da3_ros.net.dpt import DPT, NECK, add_refinement, enlarge, output_layers
from da3_ros.net.precision import Conv2d, FinalConv, LayerNorm

RAY_LEVELS = 4
"""Ray outputs in the published weights; only the finest is read, the others served training."""


class Permute(nn.Module):
    """Reorder dimensions."""

    def __init__(self, *order: int):
        super().__init__()
        self.order = order

    def forward(self, x: Tensor) -> Tensor:
        return x.permute(self.order)


class DualDPT(DPT):
    """Depth with confidence, and rays with confidence, through separate fusion chains."""

    def __init__(self, dim: int, config: presets.HeadConfig):
        super().__init__(dim, config, uv=True, norm=True)
        features, scratch = config.features, self.scratch
        scratch.output_conv2 = output_layers(features // 2, 2)
        add_refinement(scratch, features, "_aux")
        scratch.output_conv1_aux = nn.ModuleList(_ray_neck(features) for _ in range(RAY_LEVELS))
        # One normalisation, shared by the levels: the published weights store it once.
        norm = LayerNorm(NECK)
        scratch.output_conv2_aux = nn.ModuleList(
            nn.Sequential(
                Conv2d(features // 2, NECK, 3, padding=1),
                Permute(0, 2, 3, 1),
                norm,
                Permute(0, 3, 1, 2),
                nn.ReLU(),
                FinalConv(NECK, 7),
            )
            for _ in range(RAY_LEVELS)
        )

    def depth(self, maps: list[Tensor], size: tuple[int, int]) -> tuple[Tensor, Tensor]:
        """Pyramid -> depth (V, h, w) > 0 and its confidence (V, h, w) > 1."""
        x = enlarge(self.scratch.output_conv1(self.fuse(maps)), size)
        depth, conf = self.scratch.output_conv2(self.add_uv(x, size)).unbind(1)
        return depth.exp(), conf.exp() + 1

    def rays(self, maps: list[Tensor], size: tuple[int, int]) -> tuple[Tensor, Tensor]:
        """Pyramid -> rays (V, h', w', 6) and confidence (V, h', w') > 1, 8 per patch side.

        Channels 0-2 are the direction at depth one, 3-5 the camera centre, both in
        the frame of the reference view.
        """
        x = self.scratch.output_conv1_aux[-1](self.fuse(maps, "_aux"))
        x = self.scratch.output_conv2_aux[-1](self.add_uv(x, size)).permute(0, 2, 3, 1)
        return x[..., :6], x[..., 6].exp() + 1

    def forward(self, levels: Sequence[Tensor], size: tuple[int, int], *, rays: bool):
        """Levels (V, P, 2C) -> depth, confidence, and rays with confidence if asked for."""
        maps = self.pyramid(levels, size)
        depth = self.depth(maps, size)
        return (*depth, *self.rays(maps, size)) if rays else (*depth, None, None)


def _ray_neck(features: int) -> nn.Sequential:
    widths = (features, features // 2, features, features // 2, features, features // 2)
    return nn.Sequential(*(Conv2d(a, b, 3, padding=1) for a, b in zip(widths[:-1], widths[1:])))
