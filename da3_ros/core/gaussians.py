"""Gaussians of one scene: out of the network's batch, and into another frame."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
import torch
from torch.nn import functional as F

from da3_ros.core.far_world import FAR
from da3_ros.core.scale.align import Similarity
from da3_ros.net.camera import Cameras, quaternion, rotation_matrix
from da3_ros.net.gaussians import Gaussians, pose_scales
from da3_ros.net.network import NetOutput
from da3_ros.net.spherical_harmonics import rotate_harmonics
from da3_ros.net.stage_types import map_tensors

WITHOUT_FLOAT64 = ("mps", "xpu")
"""Kinds of devices of which some have none."""


def unbatched(gaussians: Gaussians) -> Gaussians:
    """The one scene of a batch: means (G, 3) and so on."""
    if gaussians.means.dim() == 2:
        return gaussians
    if len(gaussians.means) != 1:
        raise ValueError(f"expected the Gaussians of one scene, got {len(gaussians.means)}")
    return map_tensors(gaussians, lambda values: values[0])


def moved(gaussians: Gaussians, similarity: Similarity) -> Gaussians:
    """Gaussians carried from the similarity's source frame into its target frame.

    Sizes, orientations and view-dependent colors come along. A scale of None counts as 1. Far
    from the target's origin the means are float64, and all is on the CPU where the device has none.
    """
    is_far = np.abs(similarity.t).max() > FAR
    if is_far and gaussians.means.device.type in WITHOUT_FLOAT64:
        gaussians = map_tensors(gaussians, torch.Tensor.cpu)
    precision = torch.float64 if is_far else gaussians.means.dtype
    R = torch.from_numpy(similarity.R).to(gaussians.means.dtype).to(gaussians.means.device)
    t = torch.from_numpy(similarity.t).to(precision).to(gaussians.means.device)
    scale = similarity.scale or 1.0
    xyzw = gaussians.rotations.roll(-1, dims=-1)
    turned = quaternion(R @ rotation_matrix(F.normalize(xyzw, dim=-1)))
    return Gaussians(
        means=(scale * gaussians.means @ R.T).to(precision) + t,
        scales=scale * gaussians.scales,
        rotations=turned.roll(1, dims=-1),
        harmonics=rotate_harmonics(gaussians.harmonics, R),
        opacities=gaussians.opacities,
    )


def around(gaussians: Gaussians, origin: np.ndarray) -> Gaussians:
    """The same with float32 means whose zero is at `origin` (3,) of their frame."""
    means = gaussians.means - torch.from_numpy(origin).to(gaussians.means)
    return replace(gaussians, means=means.float())


def of_views(gaussians: Gaussians, order: Sequence[int]) -> Gaussians:
    """Those (1, N * pixels, ...) of N views, view after view in another order."""
    return Gaussians(
        **{
            name: values.unflatten(1, (len(order), -1))[:, list(order)].flatten(1, 2)
            for name, values in vars(gaussians).items()
        }
    )


def with_gaussians_at_depth(out: NetOutput, cameras: Cameras) -> NetOutput:
    """The network lays Gaussians out in the size of the given poses, not of depth and its own
    poses; the output with Gaussians that lie where its depth does.
    """
    if out.gaussians is None:
        return out
    T_cam_ref = out.T_cam_ref.clone()
    T_cam_ref[..., 3] /= 1.0 if out.scale_factor is None else out.scale_factor[0].nan_to_num(1.0)
    size = float(pose_scales(T_cam_ref, cameras.T_cam_ref)[0])
    shrink = Similarity(np.eye(3), np.zeros(3), 1 / size)
    return replace(out, gaussians=moved(out.gaussians, shrink))
