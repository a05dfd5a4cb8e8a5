"""The three stages as modules of tensors alone, as an exporter takes them."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from da3_ros.net.camera import Cameras
from da3_ros.net.network import Network
from da3_ros.net.presets import PATCH

Size = tuple[int, int]


class EncodeGraph(nn.Module):
    """One picture (1, 3, h, w) -> tokens (1, T, C); of a one-view network, four levels (1, P, C).

    The position embedding of that size is worked out here, once, and becomes a constant.
    """

    def __init__(self, network: Network, size: Size):
        super().__init__()
        self.network = network
        with torch.inference_mode(False):
            grid = (size[0] // PATCH, size[1] // PATCH)
            positions = network.backbone.interpolate_positions(*grid)
            self.register_buffer("positions", positions.detach().clone())

    def forward(self, image: Tensor) -> tuple[Tensor, ...]:
        backbone, preset = self.network.backbone, self.network.preset
        wanted = () if preset.any_view else preset.backbone.out_layers
        tokens = backbone.with_class_token(backbone.patch_embed(image))
        tokens, _, kept = backbone.encode(tokens + self.positions.to(tokens.dtype), wanted)
        return (tokens,) if preset.any_view else backbone.one_view_levels(kept)


class AggregateGraph(nn.Module):
    """Tokens and cameras of a window -> four levels of all its views, and cameras as predicted."""

    def __init__(self, network: Network, views: int, size: Size):
        super().__init__()
        self.network = network
        self.views, self.size = views, size

    def forward(
        self, tokens: Tensor, T_cam_ref: Tensor, K: Tensor, posed: Tensor
    ) -> tuple[Tensor, ...]:
        """tokens (1, N, T, C), the reference first; T_cam_ref (1, N, 4, 4), K (1, N, 3, 3) px.

        posed: (1,), 1: the cameras condition the network, 0: they are not looked at.
        Returns the levels (1, N, P, 2C), T_cam_ref (1, N, 3, 4) and K (1, N, 3, 3).
        """
        net = self.network
        given = net.cam_enc(Cameras(T_cam_ref, K), self.size)
        unknown = net.backbone.default_camera_tokens(1, self.views)
        camera_tokens = torch.where(posed[:, None, None] > 0.5, given, unknown)
        grid = (self.size[0] // PATCH, self.size[1] // PATCH)
        found = net.backbone.aggregate(tokens, camera_tokens, grid, list(range(self.views)), ())
        cameras = net.cam_dec(found.camera_tokens.float(), self.size)
        return (*found.levels, *cameras)


class DecodeGraph(nn.Module):
    """Four levels (1, P, C) of one view -> depth (1, h, w), and confidence, or score of the sky."""

    def __init__(self, network: Network, size: Size):
        super().__init__()
        self.network, self.size = network, size

    def forward(self, a: Tensor, b: Tensor, c: Tensor, d: Tensor) -> tuple[Tensor, Tensor]:
        levels = [x.float() for x in (a, b, c, d)]
        if self.network.preset.any_view:
            return self.network.head(levels, self.size, rays=False)[:2]
        return self.network.head(levels, self.size)
