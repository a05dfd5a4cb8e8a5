"""Which depth is published as unknown (NaN) or as out of range (+Inf)."""

from __future__ import annotations

import cv2
import numpy as np

from da3_ros.core.config import OutputConfig
from da3_ros.net.sky import SKY_SCORE


def mask_depth(
    depth: np.ndarray,
    conf: np.ndarray | None,
    sky: np.ndarray | None,
    config: OutputConfig,
    *,
    is_metric: bool = True,
) -> np.ndarray:
    """Depth (h, w) float32 by the rules of the output parameters; the input is kept.

    NaN: sky, the least confident pixels, pixels between two surfaces, nearer than
    `min_depth`. +Inf: farther than `max_depth` (REP-117); these two are metres, and do not
    apply to depth that is not. conf, sky: (h, w) or None.
    """
    nearest, farthest = (config.min_depth, config.max_depth) if is_metric else (0.0, np.inf)
    unknown = ~(depth >= nearest)
    if sky is not None:
        unknown |= sky >= SKY_SCORE
    if conf is not None and config.min_confidence > 0:
        unknown |= conf < np.percentile(conf, config.min_confidence)
    if config.edge_ratio > 0:
        unknown |= between_surfaces(depth, config.edge_ratio)
    masked = np.where(depth > farthest, np.float32(np.inf), depth)
    masked[unknown] = np.nan
    return masked


def between_surfaces(depth: np.ndarray, edge_ratio: float) -> np.ndarray:
    """(h, w) mask of pixels that hang between a nearer and a farther neighbour.

    Of the 3x3 neighbours one is nearer and one is farther, each by more than half of
    `edge_ratio`. The pixels of the two surfaces themselves stay.
    """
    kernel = np.ones((3, 3), np.uint8)
    nearest = cv2.erode(np.where(np.isfinite(depth), depth, np.float32(np.inf)), kernel)
    farthest = cv2.dilate(np.where(np.isfinite(depth), depth, np.float32(0)), kernel)
    half = 1 + edge_ratio / 2
    return (depth / half > nearest) & (depth * half < farthest)
