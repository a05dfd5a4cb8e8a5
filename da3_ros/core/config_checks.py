"""What a parameter's own bounds cannot say: each function looks at one block of the config.

Blocks are `Any`: their classes call these functions.
All raise `ConfigError` in one sentence when values contradict each other.
"""

from __future__ import annotations

import re
from typing import Any

from da3_ros.core.parameter import ConfigError
from da3_ros.net.plain_text import plain
from da3_ros.net.presets import PATCH

_ROS_NAME = re.compile(r"[A-Za-z_]\w*(/[A-Za-z_]\w*)*", re.ASCII)
"""Part of a topic: names of letters, digits and _, joined with /; none begins with a digit."""

MOST_CAMERAS = 100
"""Of a rig: each has a dozen topics. As many frame_ids of images are known."""

LONGEST_CAMERA = 100
"""Characters of a camera's name; DDS ends at 255 of a topic."""


def check_model(model: Any) -> None:
    """`process_res` is 0, or at least one patch; torch's own switches are for torch."""
    if 0 < model.process_res < PATCH:
        raise ConfigError(
            f"model.process_res is {model.process_res}, must be at least {PATCH} px, or 0 "
            "for the model's own size"
        )
    for switch in ("compile", "cuda_graphs"):
        if model.backend == "onnxruntime" and getattr(model, switch):
            raise ConfigError(
                f"model.{switch} is true, which is for model.backend torch: leave it out"
            )
    if model.backend == "torch" and model.provider != "auto":
        raise ConfigError(
            f"model.provider is '{model.provider}', which is for model.backend onnxruntime: leave "
            "it at auto, or set the backend"
        )


def check_input(block: Any) -> None:
    """Names of cameras make topics, each once."""
    names = block.cameras
    if not names:
        raise ConfigError("input.cameras is empty, must name a camera; [''] for a single one")
    if tuple(names) == ("",):
        return
    if len(names) > MOST_CAMERAS:
        raise ConfigError(
            f"input.cameras names {len(names)} cameras, must name at most {MOST_CAMERAS}"
        )
    for name in names:
        if not isinstance(name, str) or len(name) > LONGEST_CAMERA or not _ROS_NAME.fullmatch(name):
            raise ConfigError(
                f"input.cameras has the name {plain(repr(name))}, must be part of a topic: "
                f"letters, digits and _, no digit first, at most {LONGEST_CAMERA} of them; an "
                "empty name is for a single camera"
            )
    twice = [name for name in dict.fromkeys(names) if names.count(name) > 1]
    if twice:
        raise ConfigError(f"input.cameras names '{twice[0]}' twice, must name each camera once")


def check_pose(pose: Any) -> None:
    """The world has a name."""
    if not pose.world_frame.strip("/"):
        raise ConfigError("pose.world_frame is empty, must name a frame, for example odom")


def check_window(window: Any) -> None:
    """No frame is left out between two windows."""
    if window.stride > window.size:
        raise ConfigError(
            f"window.stride is {window.stride}, must be at most window.size ({window.size}): "
            "frames in between would never be seen"
        )


def check_output(output: Any) -> None:
    """There is a range of depth."""
    if output.min_depth >= output.max_depth:
        raise ConfigError(
            f"output.min_depth is {output.min_depth}, must be below output.max_depth "
            f"({output.max_depth})"
        )
