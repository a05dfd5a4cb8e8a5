"""3D Gaussians: the head that predicts them per pixel, and their way into the world.

Depth Anything 3, section 3.4; Kerbl et al., 3D Gaussian Splatting (2023).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from da3_ros.net import presets
from da3_ros.net.camera import invert_rigid, quaternion, rotation_matrix
from da3_ros.net.dpt import DPT, enlarge, output_layers
from da3_ros.net.precision import Conv2d
from da3_ros.net.similarity import size_ratio
from da3_ros.net.spherical_harmonics import rotate_harmonics

HARMONICS = 9
"""Coefficients per color: degree two."""

CHANNELS = 2 + 3 + 4 + 3 * HARMONICS + 1
"""Pixel offset, scale, quaternion, harmonics, depth offset."""

SCALE_RANGE = (1e-5, 30.0)
"""Pixels; the sigmoid of the scale channels spans it."""

HIGH_DEGREE_WEIGHT = torch.tensor([1.0] + [0.1 * 0.25] * 3 + [0.1 * 0.25**2] * 5)
"""Damping of view-dependent color, as trained."""


@dataclass(frozen=True)
class Gaussians:
    """G Gaussians per batch entry, in the frame of the poses they were built with.

    means (B, G, 3), float64 in a world far from its origin; scales (B, G, 3) standard deviations;
    rotations (B, G, 4) wxyz;
    harmonics (B, G, 3, 9); opacities (B, G), 0 to 1.
    """

    means: Tensor
    scales: Tensor
    rotations: Tensor
    harmonics: Tensor
    opacities: Tensor


class GaussianHead(DPT):
    """Per-pixel parameters of one Gaussian, with the image mixed in."""

    def __init__(self, dim: int, config: presets.HeadConfig):
        super().__init__(dim, config, uv=True, norm=False)
        self.scratch.output_conv2 = output_layers(config.features // 2, CHANNELS + 1)
        width = config.features // 2
        self.images_merger = nn.Sequential(
            Conv2d(3, width // 4, 3, padding=1),
            nn.GELU(),
            Conv2d(width // 4, width // 2, 3, padding=1),
            nn.GELU(),
            Conv2d(width // 2, width, 3, padding=1),
            nn.GELU(),
        )

    def forward(self, levels: Sequence[Tensor], images: Tensor) -> tuple[Tensor, Tensor]:
        """Levels (V, P, 2C), images (V, 3, h, w) -> parameters (V, h, w, 37), opacity (V, h, w)."""
        size = tuple(images.shape[-2:])
        x = self.scratch.output_conv1(self.fuse(self.pyramid(levels, size)))
        x = self.add_uv(enlarge(x, size) + self.images_merger(images), size)
        x = self.scratch.output_conv2(x).permute(0, 2, 3, 1)
        return x[..., :-1], x[..., -1].sigmoid()


def place_gaussians(
    parameters: Tensor,
    opacity: Tensor,
    depth: Tensor,
    T_cam_ref: Tensor,
    K: Tensor,
    given: Tensor | None = None,
) -> Gaussians:
    """Gaussians of all pixels in the frame of the poses.

    parameters (B, N, h, w, 37), opacity and depth (B, N, h, w), T_cam_ref (B, N, 3|4, 4),
    K (B, N, 3, 3) px, all as predicted. given: the poses (B, N, 4, 4) that conditioned the
    network; depth and positions are then scaled by how much larger those are.
    """
    offset, scale, quat, harmonics, depth_offset = parameters.split(
        (2, 3, 4, 3 * HARMONICS, 1), dim=-1
    )
    R, centre = invert_rigid(T_cam_ref)
    size = pose_scales(T_cam_ref, given)
    centre = centre * size[:, None, None]
    depth = (depth + depth_offset[..., 0]) * size[:, None, None, None]
    direction = torch.einsum("bnij,bnhwj->bnhwi", R, _unit_rays(offset, K))
    pixel = 0.1 * (1 / K[..., 0, 0] + 1 / K[..., 1, 1])[:, :, None, None]
    low, high = SCALE_RANGE
    sigma = (low + (high - low) * scale.sigmoid()) * (depth * pixel)[..., None]
    color = harmonics.unflatten(-1, (3, HARMONICS)) * HIGH_DEGREE_WEIGHT.to(harmonics)
    return Gaussians(
        means=(centre[:, :, None, None] + direction * depth[..., None]).flatten(1, 3),
        scales=sigma.flatten(1, 3),
        rotations=_world_quaternions(quat, R).flatten(1, 3),
        harmonics=rotate_harmonics(color, R[:, :, None, None, None]).flatten(1, 3),
        opacities=opacity.flatten(1),
    )


def _unit_rays(offset: Tensor, K: Tensor) -> Tensor:
    """Unit directions (B, N, h, w, 3) of pixel centres (at +0.5) moved by offset in pixels."""
    height, width = offset.shape[2:4]
    v, u = torch.meshgrid(
        torch.arange(height, device=K.device) + 0.5,
        torch.arange(width, device=K.device) + 0.5,
        indexing="ij",
    )
    pixels = F.pad(torch.stack((u, v), dim=-1) + offset, (0, 1), value=1.0)
    rays = torch.einsum("bnij,bnhwj->bnhwi", K.inverse(), pixels)
    return rays / rays.norm(dim=-1, keepdim=True)


def _world_quaternions(quat: Tensor, R: Tensor) -> Tensor:
    """Camera-frame quaternions (B, N, h, w, 4) turned into the world.

    The network was trained with its (x, y, z, w) read in the order (w, x, y, z) and back;
    the weights expect exactly this.
    """
    quat = quat / (quat.norm(dim=-1, keepdim=True) + 1e-8)
    turned = R[:, :, None, None] @ rotation_matrix(quat.roll(1, dims=-1))
    return quaternion(turned)


def pose_scales(predicted: Tensor, given: Tensor | None) -> Tensor:
    """(B,) size of the given camera positions relative to the predicted; 1 where unknown."""
    scales = torch.ones(len(predicted), device=predicted.device)
    if given is None:
        return scales
    source = invert_rigid(predicted)[1].double().cpu().numpy()
    target = invert_rigid(given)[1].double().cpu().numpy()
    for b in range(len(predicted)):
        scales[b] = size_ratio(source[b], target[b]) or 1.0
    return scales.clamp(1 / 3, 3)
