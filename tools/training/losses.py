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
from tools.training.small_things import loudness
from tools.training.triangulation import triangulation_losses

CONFIDENCE_REWARD = 0.2
"""lambda of  c * error - lambda * log c."""

WEIGHTS = {
    "depth": 1.0, "scale": 0.6, "gradient": 2.0, "camera": 0.1, "ray": 0.3, "point": 0.3,
    "match": 0.7, "flow": 0.5, "turn": 0.2, "lever": 0.2, "parallax": 0.3, "distance": 0.4,
    "place": 0.2,
}  # fmt: skip
"""Chosen by the gradients that reach the transformer blocks: at equal weights the camera's is
fifty times that of depth, and a small network learns nothing else."""

SHAPE = ("depth", "gradient", "match", "camera", "ray")
"""What is left where only shape is taught. Points have the scale in them. What
`triangulation` reads from the tokens is what distance is computed from, by readouts that start
anew beside trained weights and would first teach these noise. The cameras stay: metres rest on
them."""


def total_loss(out: dict, sample: Sample, *, shape_only: bool = False) -> tuple[torch.Tensor, dict]:
    """Weighted sum of the losses, and each of them by name.

    out: `depth`, `conf` (B,n,h,w) of the first n views; `position` (B,N,3), `quat` (B,N,4) xyzw
    of any length, `fov` (B,N,2) vertical, horizontal; perhaps `ray` (B,n,h',w',6); perhaps
    `attention` and `readings`, of `matching.AttentionListener` and
    `triangulation.TriangulationProbe`. shape_only: the losses of `SHAPE`, small things louder.
    """
    decoded = sample.first_views(out["depth"].shape[1])
    error = out["depth"].log() - decoded.depth.log()
    weight = decoded.valid.float()
    if shape_only:
        weight = weight * loudness(decoded.depth, decoded.valid)
    scale = scale_of_windows(error, decoded.valid)
    shape = error - scale[:, None, None, None]
    parts = {
        "depth": shape_loss(shape, out["conf"], weight),
        "scale": scale.abs().mean(),
        "gradient": gradient_loss(error, weight),
        "camera": camera_loss(out, sample),
    }
    if "readings" in out and sample.depth.shape[1] > 1:
        matches = true_matches(sample)
        parts["match"] = matching_loss(out["attention"], matches)
        parts |= triangulation_losses(out["readings"], matches, sample)
    if out.get("ray") is not None:
        parts["ray"] = ray_loss(out["ray"], decoded)
        parts["point"] = point_loss(out, decoded)
    taught = [k for k in parts if not shape_only or k in SHAPE]
    return sum(WEIGHTS[k] * parts[k] for k in taught), {k: parts[k].item() for k in taught}


def scale_of_windows(error, valid):
    """(B,) mean error ln(said / true) of each window.

    Taught apart from shape: without the split the scale, on which all pixels of a window agree, is
    louder than the shape.
    """
    return (error * valid).sum((1, 2, 3)) / valid.sum((1, 2, 3)).clamp_min(1)


def shape_loss(error, confidence, weight):
    """Weighted with confidence. weight: (B,n,h,w), 0 where there is no depth."""
    weighted = confidence * error.abs() - CONFIDENCE_REWARD * confidence.log()
    # The sky has no depth; nobody should trust what is said of it.
    sky = 0.1 * masked_mean(confidence.log(), weight == 0)
    return masked_mean(weighted, weight) + sky


def gradient_loss(error, weight):
    """Of neighbours, and of pixels four apart; each pair as loud as the louder of the two."""
    total = 0.0
    for step in (1, 4):
        for e, w in ((error, weight), (error.mT, weight.mT)):
            louder = torch.maximum(w[..., step:], w[..., :-step])
            both = (w[..., step:] > 0) & (w[..., :-step] > 0)
            total = total + masked_mean((e[..., step:] - e[..., :-step]).abs(), louder * both)
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
