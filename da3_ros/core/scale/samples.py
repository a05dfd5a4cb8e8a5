"""A depth map at points whose depth is known in metres."""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np

from da3_ros.core.camera_model import CameraModel
from da3_ros.core.scale.metric_scale import weighted_median
from da3_ros.core.scale.parallax import cells_of
from da3_ros.core.scale.points import ScenePoints

MODEL_SIGMA = 0.1
"""Share by which the network's depth is wrong from point to point: no point counts for more."""


@dataclass(frozen=True, eq=False)
class Samples:
    """Points in one depth map. place: (P, 2) x and y in widths of the picture, 0 at its corner.

    log_depth: (P,) of the map there. log_ratio: (P,) true over that. weight: (P,).
    """

    place: np.ndarray
    log_depth: np.ndarray
    log_ratio: np.ndarray
    weight: np.ndarray

    def __len__(self) -> int:
        return len(self.log_depth)

    def __getitem__(self, index) -> Samples:
        return Samples(
            self.place[index], self.log_depth[index], self.log_ratio[index], self.weight[index]
        )

    def times(self, factor: float) -> Samples:
        """The same points in a map multiplied by `factor`."""
        log = np.log(factor)
        return Samples(self.place, self.log_depth + log, self.log_ratio - log, self.weight)

    @property
    def median(self) -> float:
        """Weighted median of `log_ratio`."""
        return weighted_median(self.log_ratio, self.weight)

    @property
    def spread(self) -> float:
        """Weighted median of the deviations from that."""
        return weighted_median(np.abs(self.log_ratio - self.median), self.weight)

    @property
    def cells(self) -> int:
        """How many cells of a quarter of the width hold points."""
        return cells_of(self.place)


def pooled(samples: tuple[Samples, ...]) -> Samples:
    """Points of several maps together."""
    parts = zip(*((s.place, s.log_depth, s.log_ratio, s.weight) for s in samples))
    return Samples(*map(np.concatenate, parts))


def sample_depth(
    points: ScenePoints, camera: CameraModel, map_camera: CameraModel, depth: np.ndarray
) -> Samples:
    """What a map (h, w) of `map_camera` says at points of `camera`, where it says something.

    The cameras are one at two sizes.
    """
    rays = np.c_[points.pixels, np.ones(len(points))] @ np.linalg.inv(camera.K).T
    pixels = (rays @ map_camera.K.T)[:, :2]
    said = _look_up(depth, pixels)
    with np.errstate(invalid="ignore"):
        known = (said > 0) & np.isfinite(said)
    log_depth = np.log(said[known])
    return Samples(
        (pixels[known] + 0.5) / map_camera.width,
        log_depth,
        np.log(points.depth[known]) - log_depth,
        1 / (points.sigma[known] ** 2 + MODEL_SIGMA**2),
    )


def _look_up(depth: np.ndarray, pixels: np.ndarray) -> np.ndarray:
    """(P,) bilinear depth at pixels; NaN outside and next to unknown depth."""
    if not len(pixels):
        return np.zeros(0)
    x, y = pixels.astype(np.float32).T[..., None]
    edge = cv2.BORDER_REPLICATE
    said = cv2.remap(depth, x, y, cv2.INTER_LINEAR, borderMode=edge)[:, 0].astype(np.float64)
    height, width = depth.shape
    inside = ((pixels > -0.5) & (pixels < np.array([width, height]) - 0.5)).all(axis=1)
    return np.where(inside, said, np.nan)
