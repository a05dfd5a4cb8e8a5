"""Which depth is published as unknown (NaN) or as out of range (+Inf)."""

from __future__ import annotations

import cv2
import numpy as np

from da3_ros.core.config import OutputConfig
from da3_ros.core.frame import Frame
from da3_ros.core.preprocess import ResizePlan, centre_crop
from da3_ros.net.sky import SKY_SCORE

SURROUNDINGS = 9
"""px, square, whose slope that of a flying point is compared with."""

STEP = 0.6
"""Surroundings with less than this share of the pixel's own slope are a step, no plane."""


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


def flying_points(depth: np.ndarray, ratio: float) -> np.ndarray:
    """(h, w) mask of pixels between two surfaces, on neither of them.

    Like `between_surfaces`, and steeper than their surroundings: the inverse depth of a plane has
    one slope in the picture, however grazing it is seen, while a step ends after a few pixels.
    Bounds by measurement: tools/eval_cloud.py.
    """
    steep = between_surfaces(depth, ratio)
    if not steep.any():
        return steep
    slope = _inverse_range(depth, SURROUNDINGS) / (SURROUNDINGS // 2)
    return steep & (slope < STEP * _inverse_range(depth, 3))


def _inverse_range(depth: np.ndarray, size: int) -> np.ndarray:
    """(h, w) largest minus smallest inverse depth of the known pixels size x size around."""
    known = np.isfinite(depth) & (depth > 0)
    inverse = np.divide(1, depth, out=np.zeros_like(depth), where=known)
    kernel = np.ones((size, size), np.uint8)
    largest = cv2.dilate(inverse, kernel)
    return largest - cv2.erode(np.where(known, inverse, np.float32(np.inf)), kernel)


def mask_unseen(
    depth: np.ndarray, frames: tuple[Frame, ...], plans: tuple[ResizePlan, ...]
) -> np.ndarray:
    """Depth (M, h, w) of frames, in place NaN at pixels that their lens did not wholly see."""
    for i, (frame, plan) in enumerate(zip(frames, plans)):
        if frame.seen is not None:
            white = plan.image(frame.seen * np.uint8(255))
            depth[i][centre_crop(white, depth.shape[1:]) < 255] = np.nan
    return depth
