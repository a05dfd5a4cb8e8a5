"""The last stage of training: the camera decoder alone, on what the frozen network hands it.

A short run leaves the decoder behind: it says distances too short, and the metric scale of posed
windows is the ratio of given to said distances. The tokens do hold the poses (a linear fit
explains 95 to 99 % of the positions), so that the decoder can be finished by itself, for little.
"""

from __future__ import annotations

import torch
from torch.nn import functional as F

from da3_ros.net.camera import encode_cameras
from da3_ros.net.network import Network
from tools.training import samples

VIEWS = (2, 3, 4, 4, 4, 6)
POSED_ODDS = 0.75
WINDOWS_AT_ONCE = 8
TOKENS_PER_STEP = 512
STEPS = 1500
LEARNING_RATE = 1e-3


def finish_cameras(
    network: Network, source, generator: torch.Generator, windows: int, steps: int = STEPS
) -> float:
    """Fit `network.cam_dec` in place on tokens of `windows` windows; returns the last mean loss."""
    tokens, cameras, spread = _collect(network, source, generator, windows)
    decoder = network.cam_dec.requires_grad_(True)
    optimizer = torch.optim.AdamW(decoder.parameters(), lr=LEARNING_RATE, weight_decay=0.01)
    seen = []
    for step in range(steps):
        for group in optimizer.param_groups:
            group["lr"] = LEARNING_RATE * (1 - step / steps)
        row = torch.randint(len(tokens), (TOKENS_PER_STEP,), generator=generator)
        loss = _loss(decoder, tokens[row], cameras[row], spread[row])
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        seen.append(loss.item())
    return sum(seen[-100:]) / len(seen[-100:])


def _collect(network, source, generator, windows):
    """Camera tokens (T,2C), the nine true numbers of each camera (T,9), and motion sizes (T,1)."""
    found = []
    for _ in range(windows // WINDOWS_AT_ONCE):
        views = VIEWS[int(torch.randint(len(VIEWS), (), generator=generator))]
        drawn = samples.choose_views(source.sample(WINDOWS_AT_ONCE, generator), views, generator)
        if torch.rand((), generator=generator) < 0.5:
            drawn = samples.mirror(drawn)
        drawn = samples.zoom(drawn, generator)
        drawn = samples.change_pictures(drawn, generator)
        posed = bool(torch.rand((), generator=generator) < POSED_ODDS)
        sample = samples.make_sample(drawn, posed=posed)
        found.append(_tokens(network, sample))
    return (torch.cat(column) for column in zip(*found))


@torch.no_grad()
def _tokens(network, sample):
    features = network.aggregate(
        network.encode(sample.images), sample.cameras, reference="first", views=[0]
    )
    cameras = encode_cameras(sample.true_cameras, sample.images.shape[-2:])
    spread = cameras[..., :3].norm(dim=-1).amax(dim=1, keepdim=True).clamp_min(0.2)
    spread = spread[..., None].expand(*cameras.shape[:2], 1)
    return features.camera_tokens.float().flatten(0, 1), cameras.flatten(0, 1), spread.flatten(0, 1)


def _loss(decoder, tokens, cameras, spread):
    x = decoder.backbone(tokens)
    position = F.smooth_l1_loss(decoder.fc_t(x) / spread, cameras[:, :3] / spread, beta=0.1)
    quat = (F.normalize(decoder.fc_qvec(x), dim=-1) - cameras[:, 3:7]).abs().mean()
    fov = (decoder.fc_fov(x) - cameras[:, 7:]).abs().mean()
    return position + 5.0 * quat + fov
