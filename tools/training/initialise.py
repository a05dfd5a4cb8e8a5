"""A start from which a small transformer learns to compare views with few steps.

- The patch embedding is a whitened principal component basis of real patches: fine detail, by
  which views are matched, is as loud as brightness.
- Positions are sines and cosines, the same at every picture size.
- Queries and keys start alike, so that from the first step tokens attend to tokens that look
  the same (Trockman and Kolter, Mimetic Initialization, 2023), also in other views.
"""

from __future__ import annotations

import torch
from torch import nn

from da3_ros.net.backbone import TRAINED_GRID
from da3_ros.net.network import Network
from da3_ros.net.presets import PATCH


def initialise(network: Network, images: torch.Tensor, seed: int) -> None:
    """Set all weights. images: (n,3,h,w) normalised pictures like those of training."""
    torch.manual_seed(seed)
    backbone = network.backbone
    with torch.no_grad():
        _whiten_patches(backbone.patch_embed.proj, images)
        backbone.pos_embed.copy_(_positions(backbone.config.dim))
        backbone.cls_token.normal_(std=0.02)
        backbone.camera_token.normal_(std=0.5)
        for block in backbone.blocks:
            _start_block(block)
        _start_head(network)


def _whiten_patches(conv: nn.Conv2d, images: torch.Tensor) -> None:
    patches = nn.functional.unfold(images, PATCH, stride=PATCH).transpose(1, 2).flatten(0, 1)
    patches = patches[torch.randperm(len(patches))[:20000]]
    mean = patches.mean(dim=0)
    values, vectors = torch.linalg.eigh(torch.cov(patches.T))
    values, vectors = values.flip(0)[: len(conv.weight)], vectors.flip(1)[:, : len(conv.weight)]
    basis = (vectors / (values + 0.02 * values[0] / len(values)).sqrt()).T
    mix = torch.linalg.qr(torch.randn(len(basis), len(basis)))[0]
    conv.weight.copy_((mix @ basis).view_as(conv.weight))
    conv.bias.copy_(-(mix @ basis) @ mean)


def _positions(dim: int) -> torch.Tensor:
    at = torch.linspace(-1, 1, TRAINED_GRID)
    frequency = torch.pi * 2.0 ** torch.linspace(-1, 3, dim // 4)
    angle = at[:, None] * frequency
    wave = torch.cat([angle.sin(), angle.cos()], dim=1)
    rows = wave[:, None].expand(-1, TRAINED_GRID, -1)
    columns = wave[None].expand(TRAINED_GRID, -1, -1)
    grid = torch.cat([rows, columns], dim=-1).reshape(1, TRAINED_GRID**2, dim)
    return 0.7 * torch.cat([torch.zeros(1, 1, dim), grid], dim=1)


def _start_block(block) -> None:
    dim = block.attn.proj.in_features
    q = torch.randn(dim, dim) / dim**0.5
    k = 0.7 * q + 0.7 * torch.randn(dim, dim) / dim**0.5
    v = torch.randn(dim, dim) / dim**0.5
    block.attn.qkv.weight.copy_(torch.cat([q, k, v]))
    block.attn.qkv.bias.zero_()
    for linear, gain in ((block.attn.proj, 0.5), (block.mlp.fc1, 1.0), (block.mlp.fc2, 0.5)):
        nn.init.normal_(linear.weight, std=gain / linear.in_features**0.5)
        linear.bias.zero_()
    nn.init.constant_(block.ls1.gamma, 0.5)
    nn.init.constant_(block.ls2.gamma, 0.5)


def _start_head(network: Network) -> None:
    """Signals of size one through all layers; exp(2.8) is 1.6 m in the unit of near views."""
    for module in network.head.modules():
        if isinstance(module, nn.ConvTranspose2d):
            _draw(module, 1.0, module.in_channels)
        elif isinstance(module, nn.Conv2d):
            _draw(module, 1.0, module.in_channels * module.kernel_size[0] * module.kernel_size[1])
    for name, module in network.head.named_modules():
        if "resConfUnit" in name and name.endswith("conv2"):
            module.weight.mul_(0.5)
    for output in (network.head.scratch.output_conv2, *network.head.scratch.output_conv2_aux):
        output[0].weight.mul_(2**0.5)
        output[-1].weight.mul_(0.5)
    network.head.scratch.output_conv2[2].bias.copy_(torch.tensor([2.8, -1.0]))
    decoder = network.cam_dec
    for linear in (decoder.backbone[0], decoder.backbone[2]):
        _draw(linear, 2**0.5, linear.in_features)
    for linear in (decoder.fc_t, decoder.fc_qvec, decoder.fc_fov[0]):
        _draw(linear, 0.1, linear.in_features)
    decoder.fc_qvec.bias[3] = 1.0
    decoder.fc_fov[0].bias.fill_(1.0)
    # Turns between neighbouring views are hundredths, where positions are about one.
    network.cam_enc.pose_branch.fc1.weight[:, 3:6] *= 6
    for block in network.cam_enc.trunk:
        nn.init.constant_(block.ls1.gamma, 0.3)
        nn.init.constant_(block.ls2.gamma, 0.3)


def _draw(layer, gain: float, inputs: int) -> None:
    nn.init.normal_(layer.weight, std=gain / inputs**0.5)
    if layer.bias is not None:
        nn.init.zeros_(layer.bias)
