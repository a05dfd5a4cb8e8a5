"""Random robot-like camera paths and intrinsics."""

from __future__ import annotations

import numpy as np

from da3_ros.synthetic.room import look
from da3_ros.synthetic.scene_builder import SceneBuilder

CLEARANCE = 0.22
"""Nearest a camera comes to anything solid, m."""


def random_path(
    rng: np.random.Generator, builder: SceneBuilder, area, views: int
) -> np.ndarray | None:
    """(V,4,4) float64 T_world_cam of a camera on its way, or None where it found no room.

    Drives, walks or is carried: a step of 3 to 40 cm along a smooth curve, a heading that
    follows it or looks aside, some nodding and roll.
    """
    low, high = area
    for _ in range(12):
        path = _walk(rng, low, high, views)
        clear = all(builder.is_free(T[:3, 3], CLEARANCE) for T in path)
        if clear and all(_sees_space(builder, T) for T in path):
            return path
    return None


def _walk(rng, low, high, views):
    height = rng.uniform(low[2], min(high[2], 1.8))
    position = np.append(rng.uniform(low[:2], high[:2]), height)
    step = np.exp(rng.uniform(np.log(0.03), np.log(0.4)))
    course, turn = rng.uniform(0, 2 * np.pi), rng.normal() * rng.choice([0.02, 0.15])
    aside = rng.choice([0.0, rng.normal() * 0.5, rng.uniform(-np.pi, np.pi)], p=[0.4, 0.3, 0.3])
    pan = turn + rng.normal() * 0.05
    pitch, roll = rng.normal(-0.12, 0.17), rng.normal() * rng.choice([0.01, 0.1])
    carried = rng.random() < 0.4
    shake = step * (0.35 if carried else 0.03)
    path, yaw = [], course + aside
    for _ in range(views):
        path.append(look(position, yaw, pitch + rng.normal() * 0.02, roll + rng.normal() * 0.01))
        stride = step * rng.uniform(0.7, 1.3)
        position = position + stride * np.array([np.cos(course), np.sin(course), 0])
        position = position + rng.normal(size=3) * shake
        course, yaw = course + turn, yaw + pan
        pitch += rng.normal() * (0.05 if carried else 0.01)
    return path


def _sees_space(builder, T):
    """False where the picture would be one wall: something within 0.5 m straight ahead."""
    return all(builder.is_free(T[:3, 3] + d * T[:3, 2], 0.02) for d in (0.25, 0.4, 0.55))


def random_intrinsics(rng: np.random.Generator, height: int, width: int) -> np.ndarray:
    """(3,3) K px of a camera 45 to 95 degrees wide along its longer side."""
    angle = np.deg2rad(rng.uniform(45, 95))
    focal = max(width, height) / 2 / np.tan(angle / 2)
    aspect = 1 + rng.normal() * 0.005
    return np.array([
        [focal, 0, (width - 1) / 2 + rng.normal() * 0.01 * width],
        [0, focal * aspect, (height - 1) / 2 + rng.normal() * 0.01 * height],
        [0, 0, 1.0],
    ])  # fmt: skip
