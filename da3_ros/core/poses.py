"""Rigid transforms as (4, 4) float64 matrices.

``T_a_b`` maps points from frame b to frame a: ``p_a = T_a_b @ p_b``; neighbours
cancel: ``T_world_cam @ T_cam_body``. Quaternions are ``xyzw`` (ROS order).
"""

from __future__ import annotations

import numpy as np

ROTATION_TOLERANCE = 1e-3
"""Largest entry of R R^T - I taken for rounding (TF quaternions are often float32)."""


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
    if not np.isfinite(T).all():
        raise PoseError(f"{name}: contains NaN or infinity")
    if T.shape == (4, 4) and np.abs(T[3] - (0, 0, 0, 1)).max() > 1e-6:
        raise PoseError(f"{name}: last row must be 0 0 0 1, got {T[3].tolist()}")
    R = T[:3, :3]
    error = np.abs(R @ R.T - np.eye(3)).max()
    if error > ROTATION_TOLERANCE:
        raise PoseError(f"{name}: rotation is not orthonormal (off by {error:.2g})")
    if np.linalg.det(R) < 0:
        raise PoseError(f"{name}: rotation is a reflection (determinant -1)")
    U, _, Vt = np.linalg.svd(R)
    return compose(U @ Vt, T[:3, 3])


def compose(R: np.ndarray, t: np.ndarray) -> np.ndarray:
    """(4, 4) transform from a rotation (3, 3) and a translation (3,)."""
    T = np.eye(4)
    T[:3, :3] = R
    T[:3, 3] = t
    return T


def from_quat_xyzw(quat_xyzw, translation, name: str = "transform") -> np.ndarray:
    """(4, 4) transform from a quaternion (x, y, z, w) and a translation in metres.

    The quaternion is normalised when its length is within 1 % of one, as ROS
    consumers do; otherwise `PoseError`.
    """
    q = np.asarray(quat_xyzw, dtype=np.float64)
    t = np.asarray(translation, dtype=np.float64)
    if not (np.isfinite(q).all() and np.isfinite(t).all()):
        raise PoseError(f"{name}: contains NaN or infinity")
    length = np.linalg.norm(q)
    if abs(length - 1.0) > 0.01:
        raise PoseError(f"{name}: quaternion length is {length:.3g}, must be 1")
    x, y, z, w = q / length
    R = np.array(
        [
            [1 - 2 * (y * y + z * z), 2 * (x * y - z * w), 2 * (x * z + y * w)],
            [2 * (x * y + z * w), 1 - 2 * (x * x + z * z), 2 * (y * z - x * w)],
            [2 * (x * z - y * w), 2 * (y * z + x * w), 1 - 2 * (x * x + y * y)],
        ]
    )
    return compose(R, t)


def to_quat_xyzw(R: np.ndarray) -> np.ndarray:
    """Unit quaternion (x, y, z, w), w >= 0, of a rotation (3, 3)."""
    # The largest of the four squared components is computed first: it never cancels.
    squared = np.array(
        [
            1 + R[0, 0] - R[1, 1] - R[2, 2],
            1 - R[0, 0] + R[1, 1] - R[2, 2],
            1 - R[0, 0] - R[1, 1] + R[2, 2],
            1 + R[0, 0] + R[1, 1] + R[2, 2],
        ]
    )
    k = int(np.argmax(squared))
    off_diagonal = np.array(
        [
            [squared[0], R[1, 0] + R[0, 1], R[0, 2] + R[2, 0], R[2, 1] - R[1, 2]],
            [R[1, 0] + R[0, 1], squared[1], R[2, 1] + R[1, 2], R[0, 2] - R[2, 0]],
            [R[0, 2] + R[2, 0], R[2, 1] + R[1, 2], squared[2], R[1, 0] - R[0, 1]],
            [R[2, 1] - R[1, 2], R[0, 2] - R[2, 0], R[1, 0] - R[0, 1], squared[3]],
        ]
    )
    q = off_diagonal[k] / np.linalg.norm(off_diagonal[k])
    return -q if q[3] < 0 else q


def rotation_angle(R: np.ndarray) -> float:
    """Angle of a rotation (3, 3) in radians, 0 to pi."""
    sine = np.linalg.norm([R[2, 1] - R[1, 2], R[0, 2] - R[2, 0], R[1, 0] - R[0, 1]]) / 2
    return float(np.arctan2(sine, (np.trace(R) - 1) / 2))


def interpolate(T_a: np.ndarray, T_b: np.ndarray, fraction: float) -> np.ndarray:
    """Pose between two poses: linear in translation, slerp in rotation (tf2's rule)."""
    qa, qb = to_quat_xyzw(T_a[:3, :3]), to_quat_xyzw(T_b[:3, :3])
    cosine = float(qa @ qb)
    if cosine < 0:
        qb, cosine = -qb, -cosine
    angle = np.arccos(min(cosine, 1.0))
    if angle < 1e-6:
        q = (1 - fraction) * qa + fraction * qb
    else:
        q = (np.sin((1 - fraction) * angle) * qa + np.sin(fraction * angle) * qb) / np.sin(angle)
    t = (1 - fraction) * T_a[:3, 3] + fraction * T_b[:3, 3]
    return from_quat_xyzw(q / np.linalg.norm(q), t)
