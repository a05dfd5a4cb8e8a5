"""Camera pose and intrinsics from a predicted ray map (Depth Anything 3, section 3.2).

The directions of a pinhole camera are a homography of the image plane: H = R L with a
rotation R and a lower-triangular L that holds the inverse intrinsics. The homography
is found by weighted RANSAC; drawing is seeded, so that the same rays give the same pose.
"""

from __future__ import annotations

import torch
from torch import Tensor

ITERATIONS = 100
SAMPLE_POINTS = 8
"""Rays of a sample; four would do."""
CANDIDATE_SHARE = 0.3
"""Samples are drawn from this share of the rays, the most confident ones."""
INLIER_DISTANCE = 0.2
"""On the plane at z = 1."""
MAX_REFIT_POINTS = 8000
MIN_Z = 1e-4
"""A ray must point this far ahead to meet that plane."""


def pose_from_rays(
    rays: Tensor, conf: Tensor, size: tuple[int, int], seed: int = 0
) -> tuple[Tensor, Tensor]:
    """T_cam_ref (B, N, 3, 4) and K (B, N, 3, 3) at image (height, width) `size`.

    rays: (B, N, h', w', 6), direction then camera centre; confidence: (B, N, h', w').
    """
    B, N, rows, columns, _ = rays.shape
    directions = rays[..., :3].reshape(B * N, -1, 3)
    weights = conf.reshape(B * N, -1)
    seen = directions[..., 2].abs() > MIN_Z
    weights = torch.where(seen, weights, 0)
    targets = torch.where(seen[..., None], directions / directions[..., 2:], directions)[..., :2]
    plane = _image_plane(rows, columns, rays.device)
    H = _ransac_homographies(plane, targets, weights, seed)
    R, L = _rotation_times_lower(H)
    centres = (rays[..., 3:].reshape(B * N, -1, 3) * weights[..., None]).sum(1)
    centres = centres / weights.sum(1, keepdim=True)
    T = torch.cat((R.mT, -R.mT @ centres[..., None]), dim=-1)
    return T.view(B, N, 3, 4), _intrinsics(L, size).view(B, N, 3, 3)


def _image_plane(rows: int, columns: int, device: torch.device) -> Tensor:
    """(h' w', 2) pixel centres in an image that spans -1 to 1."""
    y = torch.linspace(1 / rows - 1, 1 - 1 / rows, rows, device=device)
    x = torch.linspace(1 / columns - 1, 1 - 1 / columns, columns, device=device)
    y, x = torch.meshgrid(y, x, indexing="ij")
    return torch.stack((x, y), dim=-1).view(-1, 2)


def _ransac_homographies(plane: Tensor, targets: Tensor, weights: Tensor, seed: int) -> Tensor:
    """(V, 3, 3) homographies from plane (P, 2) to targets (V, P, 2), det > 0."""
    # On the computer, whatever the device: the same rays then draw the same everywhere.
    generator = torch.Generator().manual_seed(seed)
    candidates = max(SAMPLE_POINTS, int(len(plane) * CANDIDATE_SHARE))
    draws = torch.stack(
        [torch.randperm(candidates, generator=generator)[:SAMPLE_POINTS] for _ in range(ITERATIONS)]
    ).to(plane.device)
    found = [_ransac_homography(plane, t, w, draws, generator) for t, w in zip(targets, weights)]
    H = torch.stack(found)
    return torch.where(torch.linalg.det(H)[:, None, None] < 0, -H, H)


def _ransac_homography(plane, target, weight, draws, generator) -> Tensor:
    """One view: the sample with the most inlier weight, refitted to its inliers."""
    by_conf = weight.argsort(descending=True)
    sample = by_conf[draws]  # (I, 8)
    H = _fit_homography(plane[sample], target[sample], weight[sample])
    homogeneous = torch.cat((plane, torch.ones_like(plane[:, :1])), dim=1)
    projected = homogeneous @ H.mT  # (I, P, 3)
    distance = (projected[..., :2] / projected[..., 2:] - target).norm(dim=-1)
    inliers = distance < INLIER_DISTANCE
    best = inliers[(inliers * weight).sum(1).argmax()]
    chosen = by_conf[best[by_conf]]
    if len(chosen) > MAX_REFIT_POINTS:
        chosen = chosen[: max(int(len(chosen) * 0.95), MAX_REFIT_POINTS)]
        order = torch.randperm(len(chosen), generator=generator)[:MAX_REFIT_POINTS]
        chosen = chosen[order.to(plane.device)]
    return _fit_homography(plane[chosen], target[chosen], weight[chosen])


def _fit_homography(source: Tensor, target: Tensor, weight: Tensor) -> Tensor:
    """Weighted direct linear transform (..., K, 2) -> (..., 3, 3), last entry 1.

    The null vector of the 9x9 normal matrix, in fp64: the same solution as the singular
    vectors of the tall matrix at a hundredth of the time and memory.
    """
    x, y = source.double().unbind(-1)
    u, v = target.double().unbind(-1)
    one, zero = torch.ones_like(x), torch.zeros_like(x)
    rows_u = torch.stack((-x, -y, -one, zero, zero, zero, x * u, y * u, u), dim=-1)
    rows_v = torch.stack((zero, zero, zero, -x, -y, -one, x * v, y * v, v), dim=-1)
    A = torch.cat((rows_u, rows_v), dim=-2)
    w = torch.cat((weight, weight), dim=-1).double()[..., None]
    _, vectors = torch.linalg.eigh(A.mT @ (A * w))
    H = vectors[..., 0].unflatten(-1, (3, 3))
    return (H / H[..., 2:, 2:]).to(source.dtype)


def _rotation_times_lower(H: Tensor) -> tuple[Tensor, Tensor]:
    """H (V, 3, 3) = R L with L lower triangular, positive diagonal, last entry scaled to 1."""
    Q, U = torch.linalg.qr(H.flip(-1))
    R, L = Q.flip(-1), U.flip(-1).flip(-2)
    signs = L.diagonal(dim1=-2, dim2=-1).sign()
    R, L = R * signs[:, None, :], L * signs[:, :, None]
    return R, L / L[:, 2:, 2:]


def _intrinsics(L: Tensor, size: tuple[int, int]) -> Tensor:
    """K (V, 3, 3) in pixels from the triangular factors on the -1 to 1 image plane."""
    half = torch.tensor([size[1] / 2, size[0] / 2], device=L.device)
    K = torch.zeros_like(L)
    K[:, 0, 0], K[:, 1, 1] = (half / L.diagonal(dim1=-2, dim2=-1)[:, :2]).unbind(1)
    K[:, 0, 2], K[:, 1, 2] = ((L[:, 2, :2] + 1) * half).unbind(1)
    K[:, 2, 2] = 1
    return K
