"""How much larger the unit of one window is than that of the windows before.

From the depth of one view in both, or from the distances between cameras in both. Scale and
spread are weighted medians, so that what moves or is badly seen does not count.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from da3_ros.core.scale.metric_scale import pairwise_distances, weighted_median

DEPTH_STEP = 4
"""Every n-th pixel and row is compared; thousands are enough for a median."""

MIN_BASELINE = 0.02
"""Camera distances below this share of the median depth say nothing about scale."""

MIN_PAIRS = 3
"""Fewer distances cannot disagree with each other."""


@dataclass(frozen=True)
class Ratio:
    """scale: units before per unit now. spread: weighted median of the relative deviations."""

    scale: float
    spread: float


@dataclass(frozen=True, eq=False)
class ThinDepth:
    """Every n-th pixel and row of a depth map, as its logarithm, and the confidence there."""

    log: np.ndarray
    conf: np.ndarray

    @staticmethod
    def of(depth: np.ndarray, conf: np.ndarray | None) -> ThinDepth:
        """From depth and conf (h, w); NaN, 0 and less are unknown."""
        thin = np.s_[::DEPTH_STEP, ::DEPTH_STEP]
        with np.errstate(invalid="ignore", divide="ignore"):
            log = np.log(depth[thin].astype(np.float64))
        return ThinDepth(log, np.ones_like(log) if conf is None else conf[thin].astype(np.float64))

    @property
    def is_known(self) -> bool:
        """Whether any pixel is."""
        return bool(np.isfinite(self.log).any())

    def times(self, scale: float) -> ThinDepth:
        """The same depth in another unit."""
        return ThinDepth(self.log + np.log(scale), self.conf)


def depth_ratio(pairs: list[tuple[ThinDepth | None, ThinDepth | None]]) -> Ratio | None:
    """From maps of the same views, before and now; the less confident half does not count.

    None without a view of which both are known.
    """
    pairs = [(a, b) for a, b in pairs if a and b and a.log.shape == b.log.shape]
    if not pairs:
        return None
    log = np.concatenate([(before.log - now.log).ravel() for before, now in pairs])
    conf = np.concatenate([np.minimum(before.conf, now.conf).ravel() for before, now in pairs])
    usable = np.isfinite(log) & np.isfinite(conf)
    if not usable.any():
        return None
    usable &= conf >= np.median(conf[usable])
    return _ratio(np.exp(log[usable]), conf[usable])


def distance_ratio(
    before: np.ndarray, now: np.ndarray, depths: Sequence[ThinDepth]
) -> Ratio | None:
    """From camera centres (V, 3); None where they are too close for the depth seen now."""
    logs = np.concatenate([d.log.ravel() for d in depths])
    shortest = MIN_BASELINE * np.exp(np.median(logs[np.isfinite(logs)]))
    now, before = pairwise_distances(now), pairwise_distances(before)
    far = now >= shortest
    if far.sum() < MIN_PAIRS:
        return None
    return _ratio(before[far] / now[far], before[far])


def _ratio(ratios: np.ndarray, weights: np.ndarray) -> Ratio:
    scale = weighted_median(ratios, weights)
    with np.errstate(invalid="ignore", divide="ignore"):  # cameras that stood in one place
        return Ratio(scale, weighted_median(np.abs(ratios / scale - 1), weights))
