"""Cameras in and out of the network (Depth Anything 3, sections 3.1 and 3.2).

A camera is nine numbers: position (3), quaternion xyzw (4), and the vertical and
horizontal field of view in radians, of the camera-to-reference pose.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor, nn

from da3_ros.net.layers import Block, Mlp

ENCODER_HEADS = 16


@dataclass(frozen=True)
class Cameras:
    """Cameras that condition the network; view 0 is the reference.

    T_cam_ref: (B, N, 4, 4) float32, reference to camera (w2c), distances normalised.
    K: (B, N, 3, 3) float32, pixels at the size of the network's images.
    """

    T_cam_ref: Tensor
    K: Tensor

    def __post_init__(self):
        B, N = self.T_cam_ref.shape[:2]
        if self.T_cam_ref.shape != (B, N, 4, 4) or self.K.shape != (B, N, 3, 3):
            raise ValueError(
                "cameras must be T_cam_ref (B, N, 4, 4) and K (B, N, 3, 3), "
                f"got {tuple(self.T_cam_ref.shape)} and {tuple(self.K.shape)}"
            )


class CameraEncoder(nn.Module):
    """Cameras -> one token per view; the views attend to each other."""

    def __init__(self, dim: int, blocks: int):
        super().__init__()
        self.pose_branch = Mlp(9, dim // 2, dim)
        self.token_norm = nn.LayerNorm(dim)
        self.trunk = nn.Sequential(
            *(Block(dim, ENCODER_HEADS, scale=0.01, eps=1e-5) for _ in range(blocks))
        )
        self.trunk_norm = nn.LayerNorm(dim)

    def forward(self, cameras: Cameras, size: tuple[int, int]) -> Tensor:
        """Tokens (B, N, C) for images of this (height, width)."""
        encoding = encode_cameras(cameras, size)
        return self.trunk_norm(self.trunk(self.token_norm(self.pose_branch(encoding))))


class CameraDecoder(nn.Module):
    """Camera tokens of the last layer -> poses and intrinsics."""

    def __init__(self, dim: int):
        super().__init__()
        self.backbone = nn.Sequential(
            nn.Linear(dim, dim), nn.ReLU(), nn.Linear(dim, dim), nn.ReLU()
        )
        self.fc_t = nn.Linear(dim, 3)
        self.fc_qvec = nn.Linear(dim, 4)
        self.fc_fov = nn.Sequential(nn.Linear(dim, 2), nn.ReLU())

    def forward(self, tokens: Tensor, size: tuple[int, int]) -> tuple[Tensor, Tensor]:
        """Tokens (B, N, 2C) -> T_cam_ref (B, N, 3, 4), K (B, N, 3, 3) at this (height, width)."""
        x = self.backbone(tokens)
        return decode_cameras(self.fc_t(x), self.fc_qvec(x), self.fc_fov(x), size)


def encode_cameras(cameras: Cameras, size: tuple[int, int]) -> Tensor:
    """(B, N, 9): position, quaternion xyzw, fields of view (vertical, horizontal)."""
    R, t = invert_rigid(cameras.T_cam_ref)
    height, width = size
    fov_h = 2 * torch.atan((height / 2) / cameras.K[..., 1, 1])
    fov_w = 2 * torch.atan((width / 2) / cameras.K[..., 0, 0])
    return torch.cat((t, quaternion(R), fov_h[..., None], fov_w[..., None]), dim=-1)


def decode_cameras(
    position: Tensor, quat_xyzw: Tensor, fov: Tensor, size: tuple[int, int]
) -> tuple[Tensor, Tensor]:
    """T_cam_ref (B, N, 3, 4) and K (B, N, 3, 3) with the principal point in the centre."""
    R = rotation_matrix(quat_xyzw)
    height, width = size
    fov_h, fov_w = fov.unbind(-1)
    fx = (width / 2) / torch.tan(fov_w / 2).clamp(1e-6)
    fy = (height / 2) / torch.tan(fov_h / 2).clamp(1e-6)
    zero = torch.zeros_like(fx)
    K = (fx, zero, zero + width / 2, zero, fy, zero + height / 2, zero, zero, zero + 1)
    K = torch.stack(K, dim=-1).unflatten(-1, (3, 3))
    return torch.cat((R.mT, -R.mT @ position[..., None]), dim=-1), K


def invert_rigid(T: Tensor) -> tuple[Tensor, Tensor]:
    """Rotation (..., 3, 3) and translation (..., 3) of the inverse of T (..., 3|4, 4)."""
    R = T[..., :3, :3].mT
    return R, (-R @ T[..., :3, 3:])[..., 0]


def rotation_matrix(quat_xyzw: Tensor) -> Tensor:
    """Rotation (..., 3, 3) of a quaternion (..., 4) of any length but zero."""
    x, y, z, w = quat_xyzw.unbind(-1)
    s = 2.0 / (quat_xyzw * quat_xyzw).sum(-1)
    rows = (
        (1 - s * (y * y + z * z), s * (x * y - z * w), s * (x * z + y * w)),
        (s * (x * y + z * w), 1 - s * (x * x + z * z), s * (y * z - x * w)),
        (s * (x * z - y * w), s * (y * z + x * w), 1 - s * (x * x + y * y)),
    )
    return torch.stack([torch.stack(row, dim=-1) for row in rows], dim=-2)


def quaternion(R: Tensor) -> Tensor:
    """Unit quaternion (..., 4) xyzw with w >= 0 of a rotation (..., 3, 3)."""
    (m00, m01, m02), (m10, m11, m12), (m20, m21, m22) = (r.unbind(-1) for r in R.unbind(-2))
    # Four times the products of the components; the row of the largest component is exact.
    products = torch.stack(
        [
            torch.stack((1 + m00 - m11 - m22, m10 + m01, m02 + m20, m21 - m12), -1),
            torch.stack((m10 + m01, 1 - m00 + m11 - m22, m12 + m21, m02 - m20), -1),
            torch.stack((m20 + m02, m21 + m12, 1 - m00 - m11 + m22, m10 - m01), -1),
            torch.stack((m21 - m12, m02 - m20, m10 - m01, 1 + m00 + m11 + m22), -1),
        ],
        dim=-2,
    )
    squares = products.diagonal(dim1=-2, dim2=-1)
    largest = squares.argmax(dim=-1)[..., None]
    row = products.gather(-2, largest[..., None].expand(*largest.shape, 4))[..., 0, :]
    quat = row / (2 * squares.gather(-1, largest).clamp(min=1e-2).sqrt())
    return torch.where(quat[..., 3:] < 0, -quat, quat)
