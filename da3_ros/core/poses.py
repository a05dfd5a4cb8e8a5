"""Rigid transforms as (4, 4) float64 matrices.

``T_a_b`` maps points from frame b to frame a: ``p_a = T_a_b @ p_b``; neighbours
cancel: ``T_world_cam @ T_cam_body``. Quaternions are ``xyzw`` (ROS order).
"""

from __future__ import annotations

import numpy as np
from scipy.spatial.transform import Rotation, Slerp

FARTHEST = 1e12
"""m: beyond it float64 has no digits left for what a camera sees; the Sun is nearer."""

ROTATION_TOLERANCE = 1e-3
"""Largest entry of R R^T - I taken for rounding (TF quaternions are often float32)."""

LENGTH_TOLERANCE = 0.01
"""Largest difference of a quaternion's length from 1 taken for rounding, as in ROS."""

T_BODY_OPTICAL = np.array([[0.0, 0, 1, 0], [-1, 0, 0, 0], [0, -1, 0, 0], [0, 0, 0, 1]])
"""Optical axes (x right, y down, z forward) in a body of x forward, y left, z up (REP-103)."""


class PoseError(ValueError):
    """A matrix or quaternion that is not a rigid transform."""


def inverse(T: np.ndarray) -> np.ndarray:
    """Inverse of rigid transforms (..., 4, 4)."""
    R = np.swapaxes(T[..., :3, :3], -1, -2)
    out = np.zeros_like(T)
    out[..., :3, :3] = R
    out[..., :3, 3] = -(R @ T[..., :3, 3:])[..., 0]
    out[..., 3, 3] = 1.0
    return out


def rigid(T, name: str = "transform") -> np.ndarray:
    """Check one transform and return it as (4, 4) float64 with an exact rotation.

    Accepts (3, 4) or (4, 4). Rotations off by no more than `ROTATION_TOLERANCE`
    are projected onto SO(3); anything else raises `PoseError` naming what is wrong.
    """
    T = np.asarray(T, dtype=np.float64)
    if T.shape not in ((3, 4), (4, 4)):
        raise PoseError(f"{name}: expected shape (4, 4) or (3, 4), got {T.shape}")
    require_finite(T, name)
    if T.shape == (4, 4) and np.abs(T[3] - (0, 0, 0, 1)).max() > 1e-6:
        raise PoseError(f"{name}: last row must be 0 0 0 1, got {T[3].tolist()}")
    R = T[:3, :3]
    error = np.abs(R @ R.T - np.eye(3)).max()
    if error > ROTATION_TOLERANCE:
        scale = np.cbrt(abs(np.linalg.det(R)))
        is_scaled = scale > 0 and np.abs(R @ R.T / scale**2 - np.eye(3)).max() < ROTATION_TOLERANCE
        hint = f"; it is scaled by {scale:.6g}: divide its 3x3 part by that" if is_scaled else ""
        raise PoseError(f"{name}: rotation is not orthonormal (off by {error:.2g}){hint}")
    if np.linalg.det(R) < 0:
        raise PoseError(f"{name}: rotation is a reflection (determinant -1)")
    require_near(T[:3, 3], name)
    return compose(nearest_rotation(R), T[:3, 3])


def nearest_rotation(M: np.ndarray) -> np.ndarray:
    """The rotation nearest to each of M (..., 3, 3), never a reflection (Kabsch 1976)."""
    U, _, Vt = np.linalg.svd(M)
    U[..., :, 2] *= np.linalg.det(U @ Vt)[..., None]
    return U @ Vt


def compose(R: np.ndarray, t: np.ndarray) -> np.ndarray:
    """(4, 4) transform from a rotation (3, 3) and a translation (3,)."""
    T = np.eye(4)
    T[:3, :3] = R
    T[:3, 3] = t
    return T


def require_finite(numbers: np.ndarray, name: str) -> None:
    """Raise `PoseError` for NaN and infinity."""
    if not np.isfinite(numbers).all():
        raise PoseError(f"{name}: contains NaN or infinity")


def require_near(position: np.ndarray, name: str) -> None:
    """Raise `PoseError` for a position (3,) in m that is farther than `FARTHEST`, or no number."""
    require_finite(position, name)
    if (farthest := np.abs(position).max()) > FARTHEST:
        raise PoseError(
            f"{name}: lies {farthest:.3g} m from the origin, must be within {FARTHEST:g} m; check "
            "who publishes it"
        )


def unit_quaternion(quat_xyzw, name: str = "transform") -> np.ndarray:
    """Quaternion (x, y, z, w) with length 1.

    It is normalised when its length is within 1 % of one, as ROS consumers do; otherwise
    `PoseError`.
    """
    q = np.asarray(quat_xyzw, dtype=np.float64)
    require_finite(q, name)
    length = np.linalg.norm(q)
    if abs(length - 1.0) > LENGTH_TOLERANCE:
        raise PoseError(f"{name}: quaternion length is {length:.3g}, must be 1")
    return q / length


def from_quat_xyzw(quat_xyzw, translation, name: str = "transform") -> np.ndarray:
    """(4, 4) transform from a quaternion (x, y, z, w), see `unit_quaternion`, and a translation
    in metres. Raises `PoseError`.
    """
    t = np.asarray(translation, dtype=np.float64)
    require_finite(t, name)
    return compose(Rotation.from_quat(unit_quaternion(quat_xyzw, name)).as_matrix(), t)


def to_quat_xyzw(R: np.ndarray) -> np.ndarray:
    """Unit quaternion (x, y, z, w), w >= 0, of a rotation (3, 3)."""
    return Rotation.from_matrix(R).as_quat(canonical=True)


def rotation_angle(R: np.ndarray) -> float | np.ndarray:
    """Angle in radians, 0 to pi, of a rotation (3, 3), or angles (N,) of rotations (N, 3, 3)."""
    return Rotation.from_matrix(R).magnitude()


def interpolate(T_a: np.ndarray, T_b: np.ndarray, fraction: float) -> np.ndarray:
    """Pose between two poses: linear in translation, slerp in rotation (tf2's rule)."""
    ends = Rotation.from_matrix(np.stack([T_a[:3, :3], T_b[:3, :3]]))
    t = (1 - fraction) * T_a[:3, 3] + fraction * T_b[:3, 3]
    return compose(Slerp([0, 1], ends)(fraction).as_matrix(), t)
