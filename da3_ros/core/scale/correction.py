"""What makes the network's depth agree with points that are known in metres.

Five kinds, the simplest first, all on the logarithm of depth:

    none    the depth is right as it is
    scale   one factor, the weighted median of the points
    shift   scale and shift of the inverse depth, ``1 / corrected = a / depth + b``
    curve   a smooth curve over depth
    field   a smooth field over the picture, and the scale where no point is near (field.py)

Which one is taken, the points themselves decide: each kind is fitted without a quarter of
them, four times, and has to say the depth of those left out. The simplest kind wins that is
not clearly worse than the best. What it missed the points left out by is the error of the
corrected depth, measured by something that the network has never seen.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from typing import Protocol

import numpy as np

from da3_ros.core.scale.field import Neighbourhoods
from da3_ros.core.scale.samples import Samples

KINDS = ("none", "scale", "shift", "curve", "field")
KINDS_OF = {"auto": KINDS, "scale": ("scale",), "field": ("scale", "field"), "none": ("none",)}
"""What is tried, by the parameter scale.correction; a field takes more points than a scale."""

FEWEST = {"none": 0, "scale": 10, "shift": 30, "curve": 40, "field": 40}
"""Points below which a kind is not tried."""

FOLDS = 4
"""Parts of the points, each of which is left out once."""

BEARABLE = 2.0
"""Standard errors by which a simpler kind may miss more than the best one."""

KNOTS = 6
"""Of a curve."""

STIFFNESS = 3.0
"""Weight of a curve's bends, in points."""


class Correction(Protocol):
    """ln of what depth is multiplied with, by depth and place."""

    def __call__(self, log_depth: np.ndarray, place: np.ndarray) -> np.ndarray:
        """log_depth: (...,); place: (..., 2) as in `Samples`; returns (...,)."""


@dataclass(frozen=True)
class Scale:
    """One factor. log: its logarithm."""

    log: float = 0.0

    def __call__(self, log_depth: np.ndarray, place: np.ndarray) -> np.ndarray:
        return np.full(log_depth.shape, self.log, log_depth.dtype)

    @staticmethod
    def fit(samples: Samples) -> Scale:
        """Their weighted median."""
        return Scale(samples.median)


@dataclass(frozen=True)
class Shift:
    """1 / corrected = a / depth + b."""

    a: float
    b: float

    def __call__(self, log_depth: np.ndarray, place: np.ndarray) -> np.ndarray:
        # Where the shift would leave nothing of the inverse depth, a tenth of it stays.
        scaled = self.a * np.exp(-log_depth)
        return -np.log(np.maximum(scaled + self.b, 0.1 * scaled)) - log_depth

    @staticmethod
    def fit(samples: Samples) -> Shift:
        """Gauss-Newton on the logarithm of the inverse depth, outliers counting little."""
        inverse = np.exp(-samples.log_depth)
        true = -samples.log_depth - samples.log_ratio
        a, b = np.exp(-samples.median), 0.0
        for _ in range(5):
            said = np.maximum(a * inverse + b, 0.1 * a * inverse)
            rest = true - np.log(said)
            slope = np.stack([inverse, np.ones_like(inverse)], axis=1) / said[:, None]
            step_a, step_b = _solve(slope, rest, samples.weight * _trust(rest), np.zeros((2, 2)))
            a, b = max(a + step_a, 0.2 * a), b + step_b
        return Shift(a, b)


@dataclass(frozen=True, eq=False)
class Curve:
    """Piecewise linear in ln depth. knots, values: (KNOTS,); level beyond the ends."""

    knots: np.ndarray
    values: np.ndarray

    def __call__(self, log_depth: np.ndarray, place: np.ndarray) -> np.ndarray:
        return np.interp(log_depth, self.knots, self.values)

    @staticmethod
    def fit(samples: Samples) -> Curve:
        """Least squares with a penalty on bends and slopes, outliers counting little."""
        low, high = np.percentile(samples.log_depth, (3, 97))
        knots = np.linspace(low, max(high, low + 0.1), KNOTS)
        hats = np.stack([np.interp(samples.log_depth, knots, e) for e in np.eye(KNOTS)], axis=1)
        bends, steps = np.diff(np.eye(KNOTS), 2, axis=0), np.diff(np.eye(KNOTS), axis=0)
        stiff = STIFFNESS * samples.weight.mean() * (bends.T @ bends + 0.1 * steps.T @ steps)
        values = np.full(KNOTS, samples.median)
        for _ in range(4):
            rest = samples.log_ratio - hats @ values
            values = _solve(hats, samples.log_ratio, samples.weight * _trust(rest), stiff)
        return Curve(knots, values)


def _solve(columns, values, weight, penalty) -> np.ndarray:
    """Least squares with weights and a quadratic penalty."""
    weighted = columns * weight[:, None]
    normal = weighted.T @ columns + penalty
    normal += 1e-9 * np.trace(normal) * np.eye(len(normal))
    return np.linalg.solve(normal, weighted.T @ values)


def _trust(rest: np.ndarray) -> np.ndarray:
    """(P,) 0..1: what lies far from the others counts little (Cauchy)."""
    middle = len(rest) // 2
    unit = 2 * max(1.4826 * np.partition(np.abs(rest), middle)[middle], 0.01)
    return 1 / (1 + (rest / unit) ** 2)


@dataclass(frozen=True, eq=False)
class ChosenCorrection:
    """The correction taken. error: mean relative error of the depth of points left out of its
    fit; NaN when there were too few to leave any out."""

    kind: str
    correction: Correction
    error: float


def choose(
    samples: Samples, height: float, kinds: tuple[str, ...], log_scale: float = 0.0
) -> ChosenCorrection:
    """The simplest of `kinds` that the points bear out. height: of the picture, in widths.

    log_scale: ln of the factor where there are fewer points than a scale of their own needs: that
    of all views together. It is not applied where `none` is the only kind.
    """
    if len(samples) < FEWEST["scale"]:
        only_measured = kinds == ("none",)
        kind, correction = ("none", Scale()) if only_measured else ("scale", Scale(log_scale))
        return ChosenCorrection(kind, correction, np.nan)
    tried = [kind for kind in kinds if len(samples) >= FEWEST[kind]]
    around = Neighbourhoods(samples) if "field" in tried else None
    missed = {kind: np.abs(_held_out(kind, samples, around)) for kind in tried}
    share = samples.weight / samples.weight.sum()
    best = min(tried, key=lambda kind: share @ missed[kind])
    kind = next(k for k in tried if k == best or _is_borne(missed[k], missed[best], share))
    correction = around.field(height) if kind == "field" else FITS[kind](samples)
    return ChosenCorrection(kind, correction, float(share @ np.expm1(missed[kind])))


FITS = {"none": lambda samples: Scale(), "scale": Scale.fit, "shift": Shift.fit, "curve": Curve.fit}


def _held_out(kind: str, samples: Samples, around: Neighbourhoods | None) -> np.ndarray:
    """(P,) ln of true over corrected depth, each point by a fit without its quarter."""
    fold = np.arange(len(samples)) % FOLDS
    if kind == "field":
        return samples.log_ratio - around.held_out(fold)
    rest = np.empty(len(samples))
    for k in range(FOLDS):
        out = samples[fold == k]
        correction = FITS[kind](samples[fold != k])
        rest[fold == k] = out.log_ratio - correction(out.log_depth, out.place)
    return rest


def _is_borne(missed: np.ndarray, by_best: np.ndarray, share: np.ndarray) -> bool:
    """Whether a kind misses no more than chance would have it; share: (P,) weights, sum 1."""
    more = missed - by_best
    mean = share @ more
    error = np.sqrt(share**2 @ (more - mean) ** 2)
    return bool(mean <= BEARABLE * error)


def factor_map(correction: Correction, depth: np.ndarray, start: float) -> np.ndarray:
    """(h, w) float32 that depth (h, w) is multiplied with: `start`, and then the correction."""
    with np.errstate(invalid="ignore", divide="ignore"):
        log = np.log(depth.astype(np.float32, copy=False)) + np.float32(np.log(start))
        factor = np.exp(correction(log, _places(*depth.shape)))
    return (factor * np.float32(start)).astype(np.float32, copy=False)


@lru_cache(maxsize=4)
def _places(height: int, width: int) -> np.ndarray:
    """(h, w, 2) float32 x and y of pixels, in widths of the picture."""
    x, y = np.meshgrid((np.arange(width) + 0.5) / width, (np.arange(height) + 0.5) / width)
    places = np.stack([x, y], axis=-1).astype(np.float32)
    places.flags.writeable = False
    return places
