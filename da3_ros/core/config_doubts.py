"""What parameters say against each other: allowed, but hardly meant."""

from __future__ import annotations

from da3_ros.core.config import Config


def config_doubts(config: Config, *, is_metric: bool) -> list[str]:
    """Parameters that have no effect beside others, or contradict them, in a sentence each; and
    that there will be no metres. is_metric: the network's depth is in metres by itself.
    """
    doubts = [_window_doubt(config)]
    if config.pose.publish_tf and config.pose.source != "none":
        doubts.append(
            "pose.publish_tf is true, and has no effect: the node broadcasts poses with "
            f"pose.source none only, and that is {config.pose.source}"
        )
    if config.scale.source == "anchors" and config.pose.source == "none":
        doubts.append(
            "scale.source is anchors, and has no effect: points from outside need poses that are "
            "given, and pose.source is none"
        )
    if config.pose.source == "none" and not is_metric:
        doubts.append(
            "depth is in an unknown unit, not in metres: without given poses (pose.source none) "
            "they come from a metric model only"
        )
    return [doubt for doubt in doubts if doubt]


def _window_doubt(config: Config) -> str:
    """That no window gets full, ever or while the camera stands."""
    window = config.window
    gaps, interval = window.size - 1, window.max_interval
    if gaps and window.max_age == 0:
        return f"window.max_age is 0 s: a window of {window.size} never gets full, raise it"
    # One that is longer than all of the window may be meant: who stands needs no depth.
    if config.pose.source == "none" or not interval < window.max_age < gaps * interval:
        return ""
    return (
        f"while the camera stands there will be no depth: images are kept {interval:g} s apart "
        f"then (window.max_interval), so that a window of {window.size} takes "
        f"{gaps * interval:g} s, and window.max_age is {window.max_age:g} s: raise it, or lower "
        "window.max_interval or window.size"
    )
