"""A checkered floor, a wall and a ball, with exact depth; and a prediction made of them."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import torch

from da3_ros.core import poses
from da3_ros.core.prediction import Prediction
from da3_ros.net.gaussians import Gaussians

HEIGHT, WIDTH = 70, 98
BALL, RADIUS = np.array([0.2, 2.5, 0.5]), 0.5
WALL_Y = 4.1  # between two fields of the checker


def camera_pose(x: float) -> np.ndarray:
    """T_world_cam 1.2 m above the floor, looking along +y (world z up), turned a little."""
    yaw = 0.15 * x
    R_yaw = np.array([[np.cos(yaw), -np.sin(yaw), 0], [np.sin(yaw), np.cos(yaw), 0], [0, 0, 1]])
    return poses.compose(R_yaw @ np.array([[1.0, 0, 0], [0, 0, 1], [0, -1, 0]]), [x, 0.1 * x, 1.2])


def intrinsics() -> np.ndarray:
    return np.array([[80.0, 0, 48.5], [0, 82.0, 34.5], [0, 0, 1]])


def look(T_world_cam: np.ndarray, K: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """depth (H, W) float32 along z, NaN for the sky, and image (H, W, 3) uint8."""
    u, v = np.meshgrid(np.arange(WIDTH), np.arange(HEIGHT))
    rays = np.stack([u, v, np.ones_like(u)], axis=-1) @ np.linalg.inv(K).T @ T_world_cam[:3, :3].T
    origin = T_world_cam[:3, 3]
    with np.errstate(divide="ignore", invalid="ignore"):
        floor = -origin[2] / rays[..., 2]
        wall = (WALL_Y - origin[1]) / rays[..., 1]
        a, b = np.sum(rays**2, axis=-1), rays @ (origin - BALL)
        ball = (-b - np.sqrt(b * b - a * (np.sum((origin - BALL) ** 2) - RADIUS**2))) / a
    hits = np.stack([floor, wall, ball])
    hits[~(hits > 0)] = np.inf
    which, depth = hits.argmin(axis=0), hits.min(axis=0)
    point = origin + rays * depth[..., None]
    checker = (np.floor(point[..., :2] * 2).sum(axis=-1) % 2)[..., None]
    colors = np.array([[200, 190, 170], [90, 140, 210], [220, 60, 40]])[which]
    image = np.where(checker == 1, colors, colors * 0.6)
    sky = (which == 1) & (point[..., 2] > 2.0)
    image[sky] = [160, 200, 250]
    return np.where(sky, np.nan, depth).astype(np.float32), image.astype(np.uint8)


def prediction(count: int = 3, *, gaussians: bool = False, metric: bool = True) -> Prediction:
    """What a perfect model would return for `count` views, 0.4 m apart."""
    T_world_cam = np.stack([camera_pose(0.4 * (i - (count - 1) / 2)) for i in range(count)])
    K = np.tile(intrinsics(), (count, 1, 1))
    depth, images = map(np.stack, zip(*(look(T, k) for T, k in zip(T_world_cam, K))))
    far = np.nanmax(depth)
    rows = np.linspace(3, 1, HEIGHT, dtype=np.float32)[None, :, None]
    found = Prediction(
        depth=np.where(np.isnan(depth), far, depth),
        conf=np.where(np.isnan(depth), 1.0, rows + np.zeros_like(depth)).astype(np.float32),
        extrinsics=poses.inverse(T_world_cam)[:, :3].astype(np.float32),
        intrinsics=K.astype(np.float32),
        processed_images=images,
        sky=np.isnan(depth).astype(np.float32),
        is_metric=metric,
        aux={"feat_layer_3": features(images)},
    )
    return replace(found, gaussians=splats(found)) if gaussians else found


def features(images: np.ndarray) -> np.ndarray:
    """(N, H/14, W/14, 32): a linear image of the patch colors, with a little noise."""
    rng = np.random.default_rng(0)
    patches = images.reshape(len(images), HEIGHT // 14, 14, WIDTH // 14, 14, 3).mean(axis=(2, 4))
    noise = rng.normal(scale=0.5, size=(*patches.shape[:3], 32))
    return (patches @ rng.normal(size=(3, 32)) + noise).astype(np.float32)


def splats(found: Prediction) -> Gaussians:
    """One round, opaque Gaussian per pixel, on the surface."""
    count = found.depth.size
    u, v = np.meshgrid(np.arange(WIDTH), np.arange(HEIGHT))
    pixels = np.stack([u + 0.5, v + 0.5, np.ones_like(u)], axis=-1)
    means = []
    for depth, K, E in zip(found.depth, found.intrinsics, found.extrinsics):
        points = pixels @ np.linalg.inv(K).T * depth[..., None]
        means.append((points - E[:, 3]) @ E[:, :3])
    colors = found.processed_images.reshape(-1, 3) / 255
    sigma = found.depth.reshape(-1, 1) / 80 * 0.6
    harmonics = np.zeros((count, 3, 9))
    harmonics[..., 0] = (colors - 0.5) / 0.28209479177387814
    values = {
        "means": np.concatenate(means).reshape(-1, 3),
        "scales": np.tile(sigma, (1, 3)),
        "rotations": np.tile([1.0, 0, 0, 0], (count, 1)),
        "harmonics": harmonics,
        "opacities": np.full(count, 0.9),
    }
    return Gaussians(**{k: torch.from_numpy(np.float32(v))[None] for k, v in values.items()})


def random_gaussians(count=60, seed=0):
    """In front of a camera at the origin that looks along +z; some behind it."""
    rng = torch.Generator().manual_seed(seed)
    means = torch.randn(count, 3, generator=rng) * torch.tensor([1.0, 0.8, 1.0])
    means[:, 2] += 3
    means[:3, 2] = -1
    return Gaussians(
        means=means,
        scales=0.02 + 0.25 * torch.rand(count, 3, generator=rng),
        rotations=torch.randn(count, 4, generator=rng),
        harmonics=0.6 * torch.randn(count, 3, 9, generator=rng),
        opacities=torch.rand(count, generator=rng),
    )
