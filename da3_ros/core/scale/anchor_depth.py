"""Depth of a prediction, made to agree with points that are known: the API's side of the scale."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

from da3_ros.core.camera_model import CameraModel
from da3_ros.core.prediction import Prediction
from da3_ros.core.scale.anchors import project
from da3_ros.core.scale.correction import FEWEST, KINDS_OF, choose, factor_map
from da3_ros.core.scale.samples import Samples, pooled, sample_depth


@dataclass(frozen=True)
class AnchorFit:
    """What was done to one view. correction: its kind (none, scale, shift, curve, field).
    points: how many the view sees. error: mean relative error of the corrected depth at points
    left out of the fit; NaN when there were too few to leave any out."""

    correction: str
    points: int
    error: float


def anchor_depth(
    prediction: Prediction, points: np.ndarray, *, correction: str = "auto"
) -> tuple[Prediction, tuple[AnchorFit, ...]]:
    """Correct depth by points of the scene: of structure from motion, a lidar, a survey.

    points: (P, 3) in the world of `prediction.extrinsics` and in its unit. correction: `auto`
    (the simplest that points left out bear out), `scale`, `field` or `none` (measure only). Each
    view takes the points that it sees and that nothing nearer hides; one that sees too few is
    scaled as all views together. Returns the corrected prediction and a fit per view.

    Raises `ValueError`: no cameras, no (P, 3) points, too few of them in all views, or Gaussians
    (which would stay behind).
    """
    _check(prediction, correction)
    points = np.asarray(points, np.float64)
    if points.ndim != 2 or points.shape[1] != 3:
        raise ValueError(f"points must be (P, 3), got {points.shape}")
    points = points[np.isfinite(points).all(axis=1)]
    samples = tuple(_samples(prediction, view, points) for view in range(len(prediction.depth)))
    together = pooled(samples)
    if len(together) < FEWEST["scale"]:
        raise ValueError(
            f"the views see {len(together)} of the points, at least {FEWEST['scale']} are needed: "
            "do points and extrinsics share one world and one unit?"
        )
    height, width = prediction.depth.shape[1:]
    kinds, high = KINDS_OF[correction], height / width
    choices = [choose(s, high, kinds, together.median) for s in samples]
    factors = [factor_map(c.correction, d, 1.0) for c, d in zip(choices, prediction.depth)]
    fits = tuple(AnchorFit(c.kind, len(s), c.error) for c, s in zip(choices, samples))
    depth = (prediction.depth * np.stack(factors)).astype(np.float32)
    return replace(prediction, depth=depth), fits


def _check(prediction: Prediction, correction: str) -> None:
    if prediction.extrinsics is None or prediction.intrinsics is None:
        raise ValueError("the prediction has no cameras: points cannot be seen in its views")
    if prediction.gaussians is not None:
        raise ValueError("Gaussians would not follow the depth; run inference without infer_gs")
    if correction not in KINDS_OF:
        raise ValueError(f"correction is '{correction}', must be one of {', '.join(KINDS_OF)}")


def _samples(prediction: Prediction, view: int, points: np.ndarray) -> Samples:
    height, width = prediction.depth.shape[1:]
    camera = CameraModel(width, height, np.float64(prediction.intrinsics[view]))
    T_cam_world = np.float64(prediction.extrinsics[view])
    R, t = T_cam_world[:3, :3], T_cam_world[:3, 3]
    return sample_depth(project(points @ R.T + t, camera), camera, camera, prediction.depth[view])
