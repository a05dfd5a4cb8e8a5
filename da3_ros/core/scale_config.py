"""Parameters of the scale: what metres rest on."""

from __future__ import annotations

from dataclasses import dataclass

from da3_ros.core.parameter import ParameterBlock, parameter


@dataclass(frozen=True)
class ScaleConfig(ParameterBlock):
    """What metres rest on."""

    source: str = parameter(
        "auto",
        "what metres rest on: points from outside (`anchors`), points followed through the "
        "pictures (`parallax`), or only distances of `cameras`; `auto`: the first that there is",
        choices=("auto", "anchors", "parallax", "cameras"),
        live=True,
    )
    correction: str = parameter(
        "auto",
        "how depth is made to agree with the points; `auto`: the simplest way that they bear out, "
        "`none`: they only measure the error",
        choices=("auto", "scale", "field", "none"),
        live=True,
    )
    max_residual: float = parameter(
        2.0,
        "median distance of points from their epipolar lines above which poses, calibration or "
        "time stamps do not fit the pictures: a warning, and the points are not used",
        unit="px",
        low=0.1,
        high=100.0,
        live=True,
    )
    anchor_age: float = parameter(
        1.0,
        "points from outside whose stamp is farther than this from the image's are not used",
        unit="s",
        low=0.0,
        high=3600.0,
        live=True,
    )
    min_baseline: float = parameter(
        0.05,
        "camera distances below this say nothing about scale",
        unit="m",
        low=0.0,
        high=100.0,
        live=True,
    )
    max_spread: float = parameter(
        0.3,
        "a window whose pairs disagree by more than this keeps the last good scale",
        low=0.0,
        high=10.0,
        live=True,
    )
    max_age: float = parameter(
        30.0,
        "a held scale older than this is not trusted: depth becomes NaN",
        unit="s",
        low=0.0,
        high=86400.0,
        live=True,
    )
