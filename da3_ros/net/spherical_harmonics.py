"""Rotation of real spherical harmonics up to degree two, in the 3DGS basis."""

from __future__ import annotations

import functools

import torch
from torch import Tensor

DEGREE_0 = 0.28209479177387814
"""The harmonic of degree 0, the same in all directions: 1 / (2 sqrt(pi))."""


def rotate_harmonics(coefficients: Tensor, R: Tensor) -> Tensor:
    """Coefficients (..., 9) of the function turned by rotations R (..., 3, 3).

    A function of degree l stays in its degree, so its values at 2 l + 1 or more
    fixed directions determine the turned coefficients.
    """
    directions, inverse = _sampling(R.device, R.dtype)
    turned = directions @ R  # rows are R^T d: where the turned function looks
    values = basis(turned)  # (..., 9 directions, 9)
    degree1 = inverse[1:4] @ values[..., 1:4]
    degree2 = inverse[4:9] @ values[..., 4:9]
    return torch.cat(
        (
            coefficients[..., :1],
            (degree1 @ coefficients[..., 1:4, None])[..., 0],
            (degree2 @ coefficients[..., 4:9, None])[..., 0],
        ),
        dim=-1,
    )


def basis(directions: Tensor) -> Tensor:
    """Real harmonics (..., 9) of degree 0 to 2 at unit directions (..., 3); 3DGS signs."""
    x, y, z = directions.unbind(-1)
    return torch.stack(
        (
            torch.full_like(x, DEGREE_0),
            -0.4886025119029199 * y,
            0.4886025119029199 * z,
            -0.4886025119029199 * x,
            1.0925484305920792 * x * y,
            -1.0925484305920792 * y * z,
            0.31539156525252005 * (2 * z * z - x * x - y * y),
            -1.0925484305920792 * x * z,
            0.5462742152960396 * (x * x - y * y),
        ),
        dim=-1,
    )


@functools.lru_cache(maxsize=4)
def _sampling(device: torch.device, dtype: torch.dtype) -> tuple[Tensor, Tensor]:
    """Twelve directions (the icosahedron) and the pseudo-inverse (9, 12) of their basis."""
    golden = (1 + 5**0.5) / 2
    corners = [(0, a, b * golden) for a in (-1, 1) for b in (-1, 1)]
    corners = [c[i:] + c[:i] for c in corners for i in range(3)]
    directions = torch.tensor(corners, dtype=torch.float64)
    directions = directions / directions.norm(dim=1, keepdim=True)
    inverse = torch.linalg.pinv(basis(directions))
    return directions.to(device, dtype), inverse.to(device, dtype)
