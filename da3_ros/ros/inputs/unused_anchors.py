"""Why metres do not rest on points from outside, where the parameters say that they shall."""

from __future__ import annotations

from da3_ros.core.config import Config
from da3_ros.core.prediction import WindowDepth
from da3_ros.core.scale.placement import TOO_FEW
from da3_ros.ros.inputs.anchor_input import AnchorInput
from da3_ros.ros.inputs.subscriptions import Inputs


def unused_anchors(config: Config, inputs: Inputs, newest: WindowDepth | None) -> str:
    """What is wrong with the anchors of the newest window, in a sentence; empty if they are used,
    or are not asked for by name, and where none come, which `Silence` says.
    """
    if not (inputs.hears_points and inputs.anchors.counts["received"]):  # 5 s go by at the start
        return ""
    evidence = newest.evidence if newest else None
    if config.scale.source != "anchors" or evidence is None or evidence.fault != TOO_FEW:
        return ""
    why = _why(config, inputs.anchors, newest)
    return f"scale.source is anchors, but {why}; metres rest on {evidence.source}"


def _why(config: Config, anchors: AnchorInput, newest: WindowDepth) -> str:
    if not anchors.heard_ns:
        return "no message with points from outside can be used: see what the log says of them"
    stamp_ns, age = min(frame.stamp_ns for frame in newest.frames), config.scale.anchor_age
    if (behind := (stamp_ns - anchors.heard_ns) * 1e-9) > age:
        return (
            f"the newest points from outside are {behind:.1f} s older than the image, "
            f"scale.anchor_age is {age:g} s: synchronise the clocks, or raise it"
        )
    if (stamp_ns - anchors.newest_ns) * 1e-9 > age:
        return "no points from outside have a place in the world: see what the log says of them"
    return (
        f"the picture shows {newest.evidence.points or 'none'} of the points from outside, which "
        "is too few: check their frame, and their stamps against those of the images"
    )
