"""What the network is taught: the losses of Depth Anything 3, section 3.3.

Depth and its gradient are compared as logarithms: the network's depth is an exponential, and
in the unit of posed windows it spans two orders of magnitude.
"""

from __future__ import annotations

import torch
from torch.nn import functional as F

from da3_ros.net.camera import quaternion
from tools.training.matching import matching_loss, true_matches
from tools.training.samples import Sample, camera_rays, masked_mean, points_in_reference
from tools.training.triangulation import triangulation_losses

CONFIDENCE_REWARD = 0.2
"""lambda of  c * error - lambda * log c."""

SCALE_WEIGHT = 0.6

WEIGHTS = {
    "depth": 1.0, "gradient": 2.0, "camera": 0.1, "ray": 0.3, "point": 0.3,
    "match": 0.7, "flow": 0.5, "turn": 0.2, "lever": 0.2, "parallax": 0.3, "distance": 0.4,
    "place": 0.2,
}  # fmt: skip
"""Chosen by the gradients that reach the transformer blocks: at equal weights the camera's is
fifty times that of depth, and a small network learns nothing else."""


def total_loss(out: dict, sample: Sample) -> tuple[torch.Tensor, dict]:
    """Weighted sum of the losses, and each of them by name.

    out: `depth`, `conf` (B,n,h,w) of the first n views; `position` (B,N,3), `quat` (B,N,4) xyzw
    of any length, `fov` (B,N,2) vertical, horizontal; perhaps `ray` (B,n,h',w',6); perhaps
    `attention` and `readings`, of `matching.AttentionListener` and
    `triangulation.TriangulationProbe`.
    """
    decoded = sample.first_views(out["depth"].shape[1])
    parts = {
        "depth": depth_loss(out["depth"], out["conf"], decoded),
        "gradient": gradient_loss(out["depth"], decoded),
        "camera": camera_loss(out, sample),
    }
    if "readings" in out and sample.depth.shape[1] > 1:
        matches = true_matches(sample)
        parts["match"] = matching_loss(out["attention"], matches)
        parts |= triangulation_losses(out["readings"], matches, sample)
    if out.get("ray") is not None:
        parts["ray"] = ray_loss(out["ray"], decoded)
        parts["point"] = point_loss(out, decoded)
    return sum(WEIGHTS[k] * v for k, v in parts.items()), {k: v.item() for k, v in parts.items()}


def depth_loss(depth, confidence, sample):
    """Shape, weighted with confidence, and apart from it the scale of each window.

    Without the split the scale, on which all pixels of a window agree, is louder than the shape.
    """
    error = depth.log() - sample.depth.log()
    known = sample.valid.sum((1, 2, 3)).clamp_min(1)
    scale = (error * sample.valid).sum((1, 2, 3)) / known
    shape = (error - scale[:, None, None, None]).abs()
    weighted = confidence * shape - CONFIDENCE_REWARD * confidence.log()
    # The sky has no depth; nobody should trust what is said of it.
    sky = 0.1 * masked_mean(confidence.log(), ~sample.valid)
    return masked_mean(weighted, sample.valid) + SCALE_WEIGHT * scale.abs().mean() + sky


def gradient_loss(depth, sample):
    error = depth.log() - sample.depth.log()
    total = 0.0
    for step in (1, 4):
        across = (error[..., step:] - error[..., :-step]).abs()
        down = (error[..., step:, :] - error[..., :-step, :]).abs()
        total = total + masked_mean(across, sample.valid[..., step:] & sample.valid[..., :-step])
        both = sample.valid[..., step:, :] & sample.valid[..., :-step, :]
        total = total + masked_mean(down, both)
    return 0.5 * total


def camera_loss(out, sample):
    """Position in units of the scene, rotation, field of view."""
    position = sample.T_ref_cam[..., :3, 3]
    spread = position.norm(dim=-1).amax(dim=1).clamp_min(0.3)[:, None, None]
    height, width = sample.images.shape[-2:]
    quat = quaternion(sample.T_ref_cam[..., :3, :3])
    fov_h = 2 * torch.atan(height / 2 / sample.K[..., 1, 1])
    fov_w = 2 * torch.atan(width / 2 / sample.K[..., 0, 0])
    said = F.normalize(out["quat"], dim=-1)
    return (
        ((out["position"] - position) / spread).abs().mean()
        + 10.0 * (said - quat).abs().mean()
        + (out["fov"] - torch.stack([fov_h, fov_w], dim=-1)).abs().mean()
    )


def ray_loss(ray, sample):
    """Directions at depth one, then camera centres, in the reference frame."""
    height, width = sample.images.shape[-2:]
    rows, columns = ray.shape[2:4]
    R, t = sample.T_ref_cam[..., :3, :3], sample.T_ref_cam[..., :3, 3]
    local = camera_rays(sample.K, rows, columns, height, width)
    direction = torch.einsum("bnij,bnhwj->bnhwi", R, local)
    spread = t.norm(dim=-1).amax(dim=1).clamp_min(1.0)[:, None, None, None, None]
    centre_error = (ray[..., 3:] - t[:, :, None, None]) / spread
    return (ray[..., :3] - direction).abs().mean() + 0.3 * centre_error.abs().mean()


def point_loss(out, sample):
    """Points from predicted depth and rays, against true points, in units of the scene."""
    rows, columns = out["ray"].shape[2:4]
    truth = points_in_reference(sample.depth, sample.T_ref_cam, sample.K)
    truth = _resize(truth.movedim(-1, 2), rows, columns).movedim(2, -1)
    depth = _resize(out["depth"][:, :, None], rows, columns)[:, :, 0, ..., None]
    valid = _resize(sample.valid[:, :, None].float(), rows, columns)[:, :, 0] > 0.999
    points = depth * out["ray"][..., :3] + out["ray"][..., 3:]
    size = (truth.norm(dim=-1) * valid).sum((1, 2, 3)) / valid.sum((1, 2, 3)).clamp_min(1)
    error = (points - truth).abs().mean(-1) / size.clamp_min(1e-3)[:, None, None, None]
    return masked_mean(error.clamp_max(3.0), valid)


def _resize(x, rows, columns):
    flat = F.interpolate(x.flatten(0, 1), (rows, columns), mode="bilinear", align_corners=False)
    return flat.view(*x.shape[:2], *flat.shape[1:])
