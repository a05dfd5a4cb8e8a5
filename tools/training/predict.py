"""What a network says of a training batch."""

from __future__ import annotations

import contextlib
import math

import torch
from torch.nn.attention import SDPBackend, sdpa_kernel

from da3_ros.net.network import Network
from tools.training.samples import Sample

DECODED = 0.5
"""Share of the views that the head decodes, which is half of the work: the first ones of the random
order."""


def predict(network: Network, sample: Sample, *, rays: bool) -> dict:
    """All that the losses look at; backbone and heads in bf16."""
    device = sample.images.device
    B, N = sample.images.shape[:2]
    decoded = math.ceil(DECODED * N)
    with torch.autocast(device.type, torch.bfloat16), _attention(device):
        features = network.aggregate(
            network.encode(sample.images), sample.cameras, reference="first"
        )
        levels = [level[:, :decoded].flatten(0, 1) for level in features.levels]
        maps = network.head(levels, features.size, rays=rays)
    depth, conf, ray, _ = (
        None if m is None else m.float().unflatten(0, (B, decoded)) for m in maps
    )
    decoder = network.cam_dec
    x = decoder.backbone(features.camera_tokens.float())
    return {
        "depth": depth,
        "conf": conf,
        "ray": ray,
        "position": decoder.fc_t(x),
        "quat": decoder.fc_qvec(x),
        "fov": decoder.fc_fov(x),
    }


def _attention(device):
    """Written-out attention on the CPU, whose fused kernel has a slow backward pass."""
    if device.type == "cpu":
        return sdpa_kernel(SDPBackend.MATH)
    return contextlib.nullcontext()
