"""Which reading of the given poses agrees with what the pictures show.

Points are matched between pairs of pictures. Under the true relative pose every match lies
on its epipolar line and in front of both cameras (Hartley and Zisserman, 9.6); under a pose
that was inverted or belongs to a differently turned frame, it does not.
"""

from __future__ import annotations

import cv2
import numpy as np

from da3_ros.core import poses
from da3_ros.core.camera_model import CameraModel
from da3_ros.core.frame import Frame

T_OPENGL_OPTICAL = np.diag([1.0, -1.0, -1.0, 1.0])
"""Optical axes in a camera of x right, y up, z backwards."""
TOLERANCE_PX = 2.0
"""From an epipolar line, of a match that it explains."""
NO_PARALLAX = 0.005
"""Sine of the angle between rays below which a point's depth has no sign."""
FEWEST_MATCHES = 30

READINGS = {
    "given": lambda T: T,
    "inverted": poses.inverse,
    "body": lambda T: T @ poses.T_BODY_OPTICAL,
    "turned twice": lambda T: T @ poses.inverse(poses.T_BODY_OPTICAL),
    "opengl": lambda T: T @ T_OPENGL_OPTICAL,
}
"""Name -> what T_world_cam would have to be, if the given pose were that."""


def agreement(pictures: list[tuple[Frame, Frame]]) -> dict[str, float]:
    """Share of matches that each reading explains, 0 to 1; empty without enough matches."""
    shares: dict[str, list[float]] = {name: [] for name in READINGS}
    for a, b in pictures:
        rays_a, rays_b = match(a, b)
        if len(rays_a) < FEWEST_MATCHES:
            continue
        tolerance = TOLERANCE_PX / a.camera.K[0, 0]
        for name, reading in READINGS.items():
            T_world_a = a.pose_under(b.T_world_odom)
            T_b_a = poses.inverse(reading(b.T_world_cam)) @ reading(T_world_a)
            shares[name].append(explained(T_b_a, rays_a, rays_b, tolerance))
    return {name: float(np.mean(values)) for name, values in shares.items() if values}


def explained(T_b_a: np.ndarray, rays_a: np.ndarray, rays_b: np.ndarray, tolerance: float) -> float:
    """Share of rays (N, 3) at z = 1 near their epipolar lines and in front of both cameras."""
    R, t = T_b_a[:3, :3], T_b_a[:3, 3]
    turned = rays_a @ R.T
    line_b = np.cross(t, turned)
    line_a = rays_b @ np.cross(t, R.T).T
    value = np.sum(rays_b * line_b, axis=1)
    gradient = np.sum(line_b[:, :2] ** 2, axis=1) + np.sum(line_a[:, :2] ** 2, axis=1)
    near = value**2 <= tolerance**2 * np.maximum(gradient, 1e-18)
    return float(np.mean(near & in_front(turned, rays_b, t)))


def in_front(turned: np.ndarray, rays_b: np.ndarray, t: np.ndarray) -> np.ndarray:
    """(N,) points whose depths in both pictures are positive, or too far to say.

    turned: rays of the first picture in the axes of the second.
    """
    across = np.cross(rays_b, turned)
    square = np.sum(across**2, axis=1)
    safe = np.maximum(square, 1e-18)
    depth_a = -np.sum(across * np.cross(rays_b, t), axis=1) / safe
    depth_b = -np.sum(across * np.cross(turned, t), axis=1) / safe
    lengths = np.sum(rays_b**2, axis=1) * np.sum(turned**2, axis=1)
    is_far = square < NO_PARALLAX**2 * lengths
    same_side = np.sum(rays_b * turned, axis=1) > 0
    return np.where(is_far, same_side, (depth_a > 0) & (depth_b > 0))


def match(a: Frame, b: Frame) -> tuple[np.ndarray, np.ndarray]:
    """Rays (N, 3) at z = 1 of the points found in both pictures."""
    sift = cv2.SIFT_create(1000)
    (points_a, words_a), (points_b, words_b) = (
        sift.detectAndCompute(cv2.cvtColor(p.image, cv2.COLOR_RGB2GRAY), None) for p in (a, b)
    )
    if words_a is None or words_b is None or len(words_b) < 2:
        return np.zeros((0, 3)), np.zeros((0, 3))
    pairs = cv2.BFMatcher().knnMatch(words_a, words_b, k=2)
    good = [first for first, second in pairs if first.distance < 0.7 * second.distance]
    return (
        _rays([points_a[m.queryIdx].pt for m in good], a.camera),
        _rays([points_b[m.trainIdx].pt for m in good], b.camera),
    )


def _rays(pixels: list, camera: CameraModel) -> np.ndarray:
    homogeneous = np.c_[np.reshape(pixels, (-1, 2)), np.ones(len(pixels))]
    return homogeneous @ np.linalg.inv(camera.K).T
