"""Poses from ray maps: the truth where rays are true, upstream's numbers where they are noisy."""

import pytest
import torch

from da3_ros.net.ray_pose import pose_from_rays
from tools import upstream

SIZE = (42, 70)
ROWS, COLUMNS = 24, 40


def true_rays(views, seed=0):
    """Cameras, and the rays (1, N, h', w', 6) that a perfect network would predict for them."""
    cameras = upstream.random_cameras(views, SIZE, seed)
    T_ref_cam = torch.linalg.inv(cameras.T_cam_ref)
    v, u = torch.meshgrid(
        (torch.arange(ROWS) + 0.5) * SIZE[0] / ROWS,
        (torch.arange(COLUMNS) + 0.5) * SIZE[1] / COLUMNS,
        indexing="ij",
    )
    pixels = torch.stack((u, v, torch.ones_like(u)), dim=-1)
    in_camera = torch.einsum("bnij,hwj->bnhwi", cameras.K.inverse(), pixels)
    direction = torch.einsum("bnij,bnhwj->bnhwi", T_ref_cam[..., :3, :3], in_camera)
    centre = T_ref_cam[..., None, None, :3, 3].expand_as(direction)
    return cameras, torch.cat((direction, centre), dim=-1)


def disturb(rays, seed=1):
    """Noise on every ray, nonsense in a fifth of them, and a confidence that mostly knows."""
    generator = torch.Generator().manual_seed(seed)
    noisy = rays + 0.003 * torch.randn(rays.shape, generator=generator)
    nonsense = torch.rand(rays.shape[:-1], generator=generator) < 0.2
    confidence = 1 + torch.rand(nonsense.shape, generator=generator) + 3 * ~nonsense
    return torch.where(
        nonsense[..., None], torch.randn(rays.shape, generator=generator), noisy
    ), confidence


@pytest.mark.parametrize("views", (1, 2, 3, 5))
def test_true_rays_give_the_true_cameras(views):
    cameras, rays = true_rays(views)
    T_cam_ref, K = pose_from_rays(rays, torch.ones(rays.shape[:-1]), SIZE)
    assert torch.allclose(T_cam_ref, cameras.T_cam_ref[..., :3, :], atol=1e-4)
    assert torch.allclose(K, cameras.K, rtol=1e-4, atol=0.02)


def test_noise_and_outliers_hardly_move_the_pose():
    cameras, rays = true_rays(3)
    T_cam_ref, K = pose_from_rays(*disturb(rays), SIZE)
    R = T_cam_ref[..., :3] @ cameras.T_cam_ref[..., :3, :3].mT
    angle = torch.arccos(((R.diagonal(dim1=-2, dim2=-1).sum(-1) - 1) / 2).clamp(-1, 1))
    assert angle.rad2deg().max() < 1.0
    assert (K / cameras.K)[..., [0, 1], [0, 1]].sub(1).abs().max() < 0.03


@pytest.mark.parametrize("views", (1, 2, 5))
def test_equal_to_upstream(views):
    """With the same random draws; upstream draws from torch's global generator."""
    upstream.solve_in_double()
    from depth_anything_3.utils.ray_utils import get_extrinsic_from_camray

    rays, confidence = disturb(true_rays(views)[1])
    torch.manual_seed(0)
    T_ref_cam, focal, centre = get_extrinsic_from_camray(rays.clone(), confidence.clone(), 0, 0)
    T_cam_ref, K = pose_from_rays(rays, confidence, SIZE, seed=0)
    expected = torch.linalg.inv(T_ref_cam)[..., :3, :]
    assert upstream.relative_error(T_cam_ref, expected) < upstream.TOLERANCE
    half = torch.tensor([SIZE[1] / 2, SIZE[0] / 2])
    assert upstream.relative_error(K[..., [0, 1], [0, 1]], focal * half) < upstream.TOLERANCE
    assert upstream.relative_error(K[..., :2, 2], centre * half) < upstream.TOLERANCE


def test_the_same_rays_give_the_same_pose():
    rays, confidence = disturb(true_rays(2)[1])
    first = pose_from_rays(rays, confidence, SIZE)
    torch.rand(5)  # whatever else draws random numbers
    second = pose_from_rays(rays, confidence, SIZE)
    assert all(torch.equal(a, b) for a, b in zip(first, second))
