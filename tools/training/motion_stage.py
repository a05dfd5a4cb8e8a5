"""The first stage of training: what the motion of a camera does to every patch, by poses alone.

How far the image of a patch moves because the camera turned, and how far because it went elsewhere
(`triangulation.Motion`), follows from the pose, the field of view and the place of the patch. Any
picture will do, and one block of the network: a hundred times as many poses as in the same time of
training with pictures, after which they are hardly learned. Only the camera encoder and the first
block that sees its tokens are taught, and that block is held to what it says of pictures.
"""

from __future__ import annotations

import copy

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from da3_ros.net.camera import rotation_matrix
from da3_ros.net.network import Cameras, Network
from da3_ros.net.presets import PATCH
from da3_ros.net.rope import LocalRotation, local_rotation
from tools.training import samples
from tools.training.optimizers import learning_rate_factor
from tools.training.triangulation import Motion, motion_losses, motion_of

WINDOWS_AT_ONCE = 64
VIEWS = 4
PATCHES = 12
"""Of every view, drawn anew in each step."""

RATES = {"encoder": 1.5e-3, "block": 5e-4, "readout": 2e-3}
KEEP = 0.3
"""Weight of the change of what the block says of pictures, as a share of its square."""

PICTURE_DRAWS, PICTURES_AT_ONCE = 12, 64


def teach_motion(
    network: Network, readout: nn.Linear, source, generator: torch.Generator, steps: int
) -> dict[str, float]:
    """Change `network` and the `readout` of `TriangulationProbe.motion` in place.

    source: of windows (`sources`). Returns the mean losses of the last steps.
    """
    network.eval()  # nobody listens
    pictures = [_tokens(network, source, generator) for _ in range(PICTURE_DRAWS)]
    block = network.backbone.blocks[network.backbone.encode_depth]
    before = copy.deepcopy(block)
    parts = {"encoder": network.cam_enc, "block": block, "readout": readout}
    groups = [
        {"params": list(parts[k].parameters()), "lr": RATES[k], "initial_lr": RATES[k]}
        for k in parts
    ]
    optimizer = torch.optim.AdamW(groups, betas=(0.9, 0.98), weight_decay=0.0)
    seen = []
    for step in range(steps):
        for group in optimizer.param_groups:
            group["lr"] = group["initial_lr"] * learning_rate_factor(step, step / steps)
        size, tokens = pictures[int(torch.randint(PICTURE_DRAWS, (), generator=generator))]
        losses = _losses(network, block, before, readout, size, tokens, generator)
        optimizer.zero_grad()
        (losses["turn"] + losses["lever"] + KEEP * losses["change"]).backward()
        for group in optimizer.param_groups:
            nn.utils.clip_grad_norm_(group["params"], 1.0)
        optimizer.step()
        seen.append({k: v.item() for k, v in losses.items()})
    last = seen[-100:]
    return {k: sum(row[k] for row in last) / len(last) for k in last[0]}


@torch.no_grad()
def _tokens(network, source, generator) -> tuple[tuple[int, int], Tensor]:
    """Size of some pictures, and what the per-view blocks say of them (n, 1 + P, C)."""
    windows = source.sample(PICTURES_AT_ONCE, generator)
    images = samples.make_sample(windows, posed=False).images
    return tuple(images.shape[-2:]), network.encode(images).tokens.flatten(0, 1)


def _losses(network, block, before, readout, size, tokens, generator) -> dict[str, Tensor]:
    device = tokens.device
    grid = (size[0] // PATCH, size[1] // PATCH)
    patches = torch.randperm(grid[0] * grid[1], generator=generator)[:PATCHES].to(device)
    drawn = torch.randint(len(tokens), (WINDOWS_AT_ONCE * VIEWS,), generator=generator).to(device)
    T_ref_cam, K = (x.to(device) for x in random_cameras(WINDOWS_AT_ONCE, VIEWS, size, generator))
    cameras = Cameras(samples.invert(T_ref_cam), K)
    camera_tokens = network.cam_enc(cameras, size).view(len(drawn), 1, -1)
    x = torch.cat([camera_tokens, tokens[drawn][:, 1 + patches]], dim=1)
    table = local_rotation(*grid, x.shape[-1] // block.attn.heads, device)
    kept = torch.cat([patches.new_zeros(1), 1 + patches])
    rotation = LocalRotation(table.cos[kept], table.signed_sin[kept])
    with torch.autocast(device.type, torch.bfloat16):
        said = block(x, rotation)[:, 1:].float()
        with torch.no_grad():
            was = before(x, rotation)[:, 1:].float()
    motion = motion_of(T_ref_cam, K, *size)
    motion = Motion(*(x[:, :, patches] for x in (motion.turn, motion.lever, motion.ahead)))
    losses = motion_losses(readout(said).unflatten(0, (WINDOWS_AT_ONCE, VIEWS)), motion)
    return losses | {"change": F.mse_loss(said, was) / was.square().mean()}


def random_cameras(
    batch: int, views: int, size: tuple[int, int], generator: torch.Generator
) -> tuple[Tensor, Tensor]:
    """T_ref_cam (B,N,4,4) and K (B,N,3,3): turns of some 0.1 rad, distances of about one."""

    def normal(*shape):
        return torch.randn(batch, views, *shape, generator=generator)

    T = torch.eye(4).repeat(batch, views, 1, 1)
    turn = F.normalize(normal(3), dim=-1) * (0.9 * normal(1) - 2.3).exp()
    T[..., :3, :3] = rotation_matrix(torch.cat([turn / 2, torch.ones(batch, views, 1)], dim=-1))
    T[..., :3, 3] = F.normalize(normal(3), dim=-1) * (0.6 * normal(1)).exp()
    T[:, 0] = torch.eye(4)
    angle = torch.deg2rad(42 + 55 * torch.rand(batch, 1, generator=generator))
    K = torch.eye(3).repeat(batch, views, 1, 1)
    K[..., 0, 0] = K[..., 1, 1] = max(size) / 2 / torch.tan(angle / 2)
    K[..., 0, 2], K[..., 1, 2] = (size[1] - 1) / 2, (size[0] - 1) / 2
    return T, K
