"""Networks of every kind of layer that run in milliseconds, and the stages of a window."""

from dataclasses import replace

import torch

from da3_ros.net.camera import Cameras
from da3_ros.net.network import NetOutput
from da3_ros.net.presets import HeadConfig, Preset

NARROW, HEAD = 64, HeadConfig(16, (8, 12, 16, 24))
"""Width of the backbone, and head, for `tools.upstream.reduced`."""


def shallow(preset: Preset) -> Preset:
    """Every kind of layer, and few of them."""
    start = None if preset.backbone.alternate_from is None else 2
    backbone = replace(preset.backbone, depth=6, alternate_from=start, out_layers=(2, 3, 4, 5))
    branch = preset.metric_branch and shallow(preset.metric_branch)
    return replace(preset, backbone=backbone, metric_branch=branch, camera_blocks=1)


def noise(views: int, size: tuple[int, int], seed: int = 0) -> torch.Tensor:
    """Pictures (1, N, 3, h, w)."""
    return torch.randn(1, views, 3, *size, generator=torch.Generator().manual_seed(seed))


def in_stages(net, images: torch.Tensor, cameras: Cameras | None, views: list[int]) -> NetOutput:
    """As the node does it: every picture encoded by itself, together, some of them decoded."""
    encoded = [net.encode(images[:, i : i + 1]) for i in range(images.shape[1])]
    window = type(encoded[0]).stack(encoded)
    return net.decode(net.aggregate(window, cameras, reference="first", views=views))
