"""Columns of 3D Gaussians in a PLY file, as 3D Gaussian Splatting has them (Kerbl et al. 2023)."""

from __future__ import annotations

POSITION = ("x", "y", "z")
DEGREE_0 = tuple(f"f_dc_{i}" for i in range(3))
"""Harmonics of degree 0 of red, green and blue, around grey."""

OPACITY = "opacity"
"""As logit."""

SHAPE = (*(f"scale_{i}" for i in range(3)), *(f"rot_{i}" for i in range(4)))
"""Logarithms of metres; rotation wxyz."""

NEEDED = (*POSITION, *DEGREE_0, OPACITY, *SHAPE)
"""What says all of a Gaussian that has one color, in this order."""


def columns(rest: int) -> tuple[str, ...]:
    """All of a file, in order. rest: harmonics per color beyond degree 0; red first, then green."""
    normal = ("nx", "ny", "nz")
    higher = (f"f_rest_{i}" for i in range(3 * rest))
    return (*POSITION, *normal, *DEGREE_0, *higher, OPACITY, *SHAPE)
