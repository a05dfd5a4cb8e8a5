"""Teaches the tokens what distances and poses are computed from, where it has to be known.

A point seen by camera i along the ray r, and by the reference camera, is

    |lever| / |flow - turn|

away from the reference camera: `turn` is how far its image moves because the camera turned,
`lever` how far it would move at distance one because the camera went elsewhere, and `flow` how far
it moves. Turn and lever follow from the pose alone, flow from the pictures alone. A small network
finds none of the three by itself; here each is read from the tokens by a linear layer and taught,
and so are the pose, from the camera tokens, and the distance.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor, nn

from da3_ros.net.backbone import Backbone
from da3_ros.net.camera import quaternion
from da3_ros.net.presets import PATCH
from tools.training.matching import Matches
from tools.training.samples import Sample, camera_rays, masked_mean, patch_centres

LEAST_MOTION = 0.02
"""Logarithms are taken of no less, patches."""

QUATERNION_UNIT = 0.05
"""A turn of 6 degrees."""

LEAST_AHEAD = 0.2
"""Rays that look further to the side of the reference camera (cosine) are not taught."""


@dataclass(frozen=True)
class Motion:
    """What becomes of the patch centres of all views in the reference view; patches.

    turn, lever: (B,N,P,2) columns and rows. ahead: (B,N,P) bool, where they are known.
    """

    turn: Tensor
    lever: Tensor
    ahead: Tensor


@dataclass(frozen=True)
class Readings:
    """What the tokens say; of posed windows `motion` (B,N,P,5) is turn, lever, log of its length.

    flow: per global block but the last, (B,N,P,3): flow, log of |flow - turn|.
    log_depth: per block of the second half, (B,N,P). cameras: likewise, (B,N,6): vector part of the
    quaternion in `QUATERNION_UNIT`, position in units of the farthest camera.
    """

    motion: Tensor
    flow: list[Tensor]
    log_depth: list[Tensor]
    cameras: list[Tensor]


class TriangulationProbe(nn.Module):
    """Listens to a backbone while it is trained. Its own weights are of no use afterwards."""

    def __init__(self, backbone: Backbone):
        super().__init__()
        dim, first, depth = backbone.config.dim, backbone.encode_depth, backbone.config.depth
        across = [i for i in range(first, depth - 1) if i % 2]
        self.motion = nn.Linear(dim, 5)
        self.flow = nn.ModuleDict({str(i): nn.Linear(dim, 3) for i in across})
        second_half = [str(i) for i in range(first + 2, depth)]
        self.log_depth = nn.ModuleDict({i: nn.Linear(dim, 1) for i in second_half})
        self.cameras = nn.ModuleDict({i: nn.Linear(dim, 6) for i in second_half})
        self._first, self._heard = first, {}
        for i in range(first, depth):
            backbone.blocks[i].register_forward_hook(self._listener(i))

    def _listener(self, index: int):
        def hear(block, args, tokens):
            if block.training:
                self._heard[index] = tokens

        return hear

    def read(self, batch: int, views: int) -> Readings:
        """What was heard since the last call."""
        heard, self._heard = self._heard, {}
        tokens = {i: x.view(batch, views, -1, x.shape[-1]).float() for i, x in heard.items()}
        patches = {i: x[:, :, 1:] for i, x in tokens.items()}
        return Readings(
            self.motion(patches[self._first]),
            [read(patches[int(i)]) for i, read in self.flow.items()],
            [read(patches[int(i)])[..., 0] for i, read in self.log_depth.items()],
            [read(tokens[int(i)][:, :, 0]) for i, read in self.cameras.items()],
        )


def triangulation_losses(readings: Readings, matches: Matches, sample: Sample) -> dict[str, Tensor]:
    """Mean errors: `turn`, `lever` in shares, `flow` in patches, `parallax`, `distance` as ln,
    `place` of the cameras."""
    motion = motion_of(sample.T_ref_cam, sample.K, *sample.depth.shape[-2:])
    depth, valid = patch_centres(sample.depth), patch_centres(sample.valid)
    flow, seen = matches.flow[..., 0, :], matches.seen[..., 0]
    moved = [(said[..., :2] - flow).abs().mean(-1) for said in readings.flow]
    away = [(said - depth.log()).abs() for said in readings.log_depth]
    placed = torch.stack(readings.cameras) - true_cameras(sample)
    losses = {
        "flow": _mean(moved, seen),
        "distance": _mean(away, valid),
        "place": placed.abs().mean(),
    }
    if sample.cameras is not None:
        parallax = log_length(flow - motion.turn)
        apart = [(said[..., 2] - parallax).abs() for said in readings.flow]
        losses["parallax"] = _mean(apart, seen & motion.ahead)
        losses |= motion_losses(readings.motion, motion)
    return losses


def true_cameras(sample: Sample) -> Tensor:
    """(B,N,6) as `Readings.cameras`."""
    turn = quaternion(sample.T_ref_cam[..., :3, :3])[..., :3] / QUATERNION_UNIT
    position = sample.T_ref_cam[..., :3, 3]
    farthest = position.norm(dim=-1).amax(dim=1).clamp_min(1e-3)[:, None, None]
    return torch.cat([turn, position / farthest], dim=-1)


def motion_losses(said: Tensor, motion: Motion) -> dict[str, Tensor]:
    """Errors of readings (B,N,P,5), as shares of the motion, of the views but the reference."""
    others = motion.ahead.clone()
    others[:, 0] = False
    turn = _share(said[..., :2] - motion.turn, motion.turn, 0.3)
    lever = _share(said[..., 2:4] - motion.lever, motion.lever, 1.0)
    length = (said[..., 4] - log_length(motion.lever)).abs()
    return {
        "turn": masked_mean(turn, others),
        "lever": masked_mean(lever + 0.5 * length, others),
    }


def _share(error: Tensor, of: Tensor, least: float) -> Tensor:
    return error.abs().sum(-1) / (least + 0.5 * of.norm(dim=-1))


def motion_of(T_ref_cam: Tensor, K: Tensor, height: int, width: int) -> Motion:
    """T_ref_cam: (B,N,4,4), view 0 the reference. K: (B,N,3,3), px."""
    rays = patch_centres(camera_rays(K, height, width, height, width))
    R, t = T_ref_cam[..., :3, :3], T_ref_cam[..., :3, 3]
    turned = torch.einsum("bnij,bnpj->bnpi", R, rays)
    ahead = turned[..., 2] > LEAST_AHEAD * turned.norm(dim=-1)
    place = turned[..., :2] / turned[..., 2:].clamp_min(LEAST_AHEAD)
    focal = K[..., None, [0, 1], [0, 1]] / PATCH
    centre = K[..., None, :2, 2] / PATCH
    seen_at = place * focal[:, :1] + centre[:, :1]
    own = rays[..., :2] * focal + centre
    lever = (t[:, :, None, :2] - place * t[:, :, None, 2:]) * focal[:, :1]
    return Motion(seen_at - own, lever, ahead)


def log_length(motion: Tensor) -> Tensor:
    return motion.norm(dim=-1).clamp_min(LEAST_MOTION).log()


def _mean(errors: list[Tensor], where: Tensor) -> Tensor:
    return sum(masked_mean(error, where) for error in errors) / len(errors)
