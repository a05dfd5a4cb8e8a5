"""Metres from points of the scene: followed through posed pictures, or known from outside.

Another source has placed the window by what the network says of its cameras. Here the points
have the last word: their depth is known in metres whatever the network thinks, and what makes
the network's depth agree with them is the correction. In this order, the first that there is:

    anchors    points from outside
    parallax   points followed from frame to frame
    cameras    the other source, as it measured this window
    held       the scale of the newest window that measured one, with its age

Points that contradict each other (a person fills the picture), or poses that do not fit the
pictures, are worse than none: the held scale then comes before the cameras.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

from da3_ros.core.config import ScaleConfig
from da3_ros.core.frame import Frame
from da3_ros.core.scale.anchors import AnchorStore
from da3_ros.core.scale.correction import KINDS, KINDS_OF, ChosenCorrection, choose, factor_map
from da3_ros.core.scale.parallax import Parallax, are_too_few
from da3_ros.core.scale.placement import (
    CONTRADICTION,
    MISFIT,
    TOO_FEW,
    DepthMaps,
    Evidence,
    NetworkPoses,
    Placement,
    ScaleEstimate,
    ScaleSource,
)
from da3_ros.core.scale.points import Residuals, ScenePoints
from da3_ros.core.scale.samples import Samples, pooled, sample_depth
from da3_ros.core.sliding_window import Window

MEDIAN_SIGMA = 1.86
"""Standard deviation of a median of n values, in their median deviation over sqrt(n)."""

SURE = 3.0
"""Standard deviations that count as uncertainty."""


@dataclass(frozen=True)
class _Measurement:
    """log_ratio: ln of metres per network unit, per metre of divisor; doubt: its deviation."""

    log_ratio: float
    doubt: float
    spread: float
    stamp_ns: int
    source: str


@dataclass(frozen=True, eq=False)
class _Points:
    """The points of all published views. samples: one per view, in the maps' unit.

    together: those of all views. fault: why they cannot be used; empty when they can.
    """

    source: str
    samples: tuple[Samples, ...]
    together: Samples
    residuals: Residuals
    fault: str


class SceneScale:
    """Corrects the answer of `base` by points of the scene.

    keeps_unit: the network's unit follows its input from window to window, so that a scale can
    be held; false of a one-view network without metres.
    """

    def __init__(self, config: ScaleConfig, base: ScaleSource, *, keeps_unit: bool):
        self.config = config
        self.anchors = AnchorStore()
        self._base = base
        self._keeps_unit = keeps_unit
        self._parallax = Parallax()
        self.clear()

    def clear(self) -> None:
        """Forget points, held scale and the base's, as after a jump back in time."""
        self._base.clear()
        self._parallax.clear()
        self.anchors.clear()
        self._held: _Measurement | None = None
        self._before: _Measurement | None = None

    def views(self, window: Window) -> tuple[int, ...]:
        """The views to decode: as the base asks for."""
        return self._base.views(window)

    def place(self, window: Window, output: NetworkPoses, maps: DepthMaps) -> Placement:
        """The base's placement, its depth corrected where enough points agree."""
        base = self._base.place(window, output, maps)
        if self.config.source == "cameras":
            return self._unaided(base, window, output.divisor, None)
        points = self._points(window, maps.of(window.views))
        nothing_to_correct = self.config.correction == "none" and np.isnan(base.scale.scale)
        if points.fault or nothing_to_correct:
            return self._unaided(base, window, output.divisor, points)
        return self._corrected(base, window, output.divisor, points, maps.of(window.views))

    def _points(self, window: Window, maps: DepthMaps) -> _Points:
        """Those of the first source that has enough; of the last one otherwise."""
        points = None
        for source in ("anchors", "parallax"):
            if self.config.source in ("auto", source):
                points = self._points_of(source, window, maps)
                if not points.fault:
                    break
        return points

    def _points_of(self, source: str, window: Window, maps: DepthMaps) -> _Points:
        seen = [
            self._anchors(window.frames[i]) if source == "anchors" else self._tracked(window, i)
            for i in maps.views
        ]
        frames = [window.frames[i] for i in maps.views]
        samples = tuple(
            sample_depth(points, frame.camera, maps.cameras[m], maps.depth[m])
            for m, (frame, (points, _)) in enumerate(zip(frames, seen))
        )
        together = pooled(samples)
        residuals = _median_of([r for _, r in seen])
        fault = self._fault(together, max(s.cells for s in samples), residuals)
        return _Points(source, samples, together, residuals, fault)

    def _anchors(self, frame: Frame) -> tuple[ScenePoints, Residuals]:
        return self.anchors.seen_by(frame, self.config.anchor_age), Residuals(np.nan, np.nan, 0)

    def _tracked(self, window: Window, view: int) -> tuple[ScenePoints, Residuals]:
        return self._parallax.look(window, view, self.config.min_baseline)

    def _fault(self, together: Samples, cells: int, residuals: Residuals) -> str:
        """Why the points cannot be used; empty when they can. cells: most of one view."""
        if self._parallax.is_misfit(residuals, self.config.max_residual):
            return MISFIT
        if are_too_few(len(together), cells):
            return TOO_FEW
        if together.spread > self.config.max_spread:
            return CONTRADICTION
        return ""

    def _corrected(
        self, base: Placement, window: Window, divisor: float, points: _Points, maps: DepthMaps
    ) -> Placement:
        log_scale, spread = points.together.median, points.together.spread
        start = base.scale.scale if np.isfinite(base.scale.scale) else None
        choices = [self._choose(s, maps.depth[0].shape, start, log_scale) for s in points.samples]
        doubt = MEDIAN_SIGMA * spread / np.sqrt(points.together.cells)
        now = _Measurement(
            log_scale - np.log(divisor), doubt, spread, window.stamp_ns, points.source
        )
        corrects = self.config.correction != "none"
        evidence = self._evidence(
            points.source if corrects else _source_of(base.scale),
            now,
            points,
            correction=max((c.kind for c in choices), key=KINDS.index),
            spread=spread,
            depth_error=_mean_error(choices),
        )
        self._remember(now)
        self._held = now if self._keeps_unit else None
        if not corrects:
            return replace(base, evidence=evidence)
        factors = [factor_map(c.correction, d, start or 1.0) for c, d in zip(choices, maps.depth)]
        scale = ScaleEstimate(float(np.exp(log_scale)), spread, 0.0, True, spread)
        return replace(
            base, scale=scale, factor=np.stack(factors), evidence=evidence, is_metric=True
        )

    def _choose(
        self, samples: Samples, size, start: float | None, log_scale: float
    ) -> ChosenCorrection:
        """Correction of depth that is multiplied with `start` (nothing, when unknown)."""
        kinds = KINDS_OF[self.config.correction]
        if start is None:
            kinds, start = tuple(k for k in kinds if k != "none"), 1.0
        height = size[0] / size[1]
        return choose(samples.times(start), height, kinds, log_scale - np.log(start))

    def _evidence(self, source: str, now: _Measurement, points: _Points | None, **more) -> Evidence:
        """more: the fields of `Evidence` that the points and the last window do not say."""
        if points:
            more |= {
                "points": len(points.together),
                "across": points.residuals.across,
                "along": points.residuals.along,
                "sightings": points.residuals.sightings,
                "delay": self._parallax.misfit.delay,
                "focal": self._parallax.misfit.focal,
            }
        return Evidence(source, **more, **self._change(now))

    def _unaided(
        self, base: Placement, window: Window, divisor: float, points: _Points | None
    ) -> Placement:
        """Without usable points: the base, or what was held."""
        distrusted = points is not None and points.fault != TOO_FEW
        if distrusted and self._parallax.misfit.is_large and self._parallax.misfit.lasting:
            self._held = None  # measured with the same error
        held = self._hold(window, divisor)
        if held and (distrusted or not base.scale.measured) and not _is_younger(base.scale, held):
            base = replace(base, scale=held, factor=held.scale)
            source = "held"
        else:
            source = _source_of(base.scale)
        spread = base.scale.spread
        log_ratio = np.log(base.scale.scale) - np.log(divisor)
        now = _Measurement(log_ratio, spread, spread, window.stamp_ns, source)
        evidence = self._evidence(source, now, points, fault=points.fault if points else "")
        self._remember(now)
        return replace(base, evidence=evidence)

    def _hold(self, window: Window, divisor: float) -> ScaleEstimate | None:
        if self._held is None:
            return None
        age = (window.stamp_ns - self._held.stamp_ns) * 1e-9
        if age > self.config.max_age:
            return None
        scale = float(np.exp(self._held.log_ratio) * divisor)
        return ScaleEstimate(scale, self._held.spread, age, measured=False)

    def _change(self, now: _Measurement) -> dict:
        if self._before is None or not self._keeps_unit:
            return {}
        return {
            "change": float(now.log_ratio - self._before.log_ratio),
            "doubt": float(SURE * np.hypot(now.doubt, self._before.doubt)),
            "before": self._before.source,
        }

    def _remember(self, now: _Measurement) -> None:
        if np.isfinite(now.log_ratio):
            self._before = now


def _median_of(residuals: list[Residuals]) -> Residuals:
    known = [r for r in residuals if r.sightings] or residuals
    return Residuals(
        float(np.median([r.across for r in known])),
        float(np.median([r.along for r in known])),
        sum(r.sightings for r in residuals),
    )


def _mean_error(choices: list[ChosenCorrection]) -> float:
    errors = [c.error for c in choices if np.isfinite(c.error)]
    return float(np.mean(errors)) if errors else np.nan


def _is_younger(base: ScaleEstimate, held: ScaleEstimate) -> bool:
    return not base.measured and np.isfinite(base.spread) and base.age < held.age


def _source_of(scale: ScaleEstimate) -> str:
    if scale.measured:
        return "cameras"
    if not np.isfinite(scale.scale):
        return "none"
    return "held" if np.isfinite(scale.spread) else "network"
