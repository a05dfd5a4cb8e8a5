"""Parameters of the input: the cameras, and how their images come."""

from __future__ import annotations

import re
from dataclasses import dataclass

from da3_ros.core.parameter import ConfigError, ParameterBlock, parameter
from da3_ros.net.plain_text import plain

_ROS_NAME = re.compile(r"[A-Za-z_]\w*(/[A-Za-z_]\w*)*", re.ASCII)
"""Part of a topic: names of letters, digits and _, joined with /; none begins with a digit."""

MOST_CAMERAS = 100
"""Of a rig: each has a dozen topics. As many frame_ids of images are known."""

LONGEST_CAMERA = 100
"""Characters of a camera's name; DDS ends at 255 of a topic."""


@dataclass(frozen=True)
class InputConfig(ParameterBlock):
    """Images and camera infos."""

    cameras: tuple[str, ...] = parameter(
        ("",),
        "names of the cameras of a rig; one camera with an empty name uses `image` and "
        "`camera_info`, the others `<name>/image` and `<name>/camera_info`",
    )
    compressed: bool = parameter(
        False, "subscribe to `<image>/compressed` (sensor_msgs/CompressedImage)"
    )
    reliability: str = parameter(
        "best_effort", "QoS of the subscriptions", choices=("best_effort", "reliable")
    )
    queue_size: int = parameter(
        10, "images that may wait for their camera info, and for their pose", low=1, high=1000
    )
    sync_tolerance: float = parameter(
        0.0,
        "largest stamp difference within one rig instant; 0 demands equal stamps",
        unit="s",
        low=0.0,
        high=1.0,
    )
    rectify: bool = parameter(
        True,
        "images come straight from the lens and are rectified with their camera info, unless "
        "their topic is named as rectified (`image_rect`) and there is a P; false: they are "
        "rectified already, and its P describes them",
    )
    mask: str = parameter(
        "",
        "picture (PNG) of what the camera sees of its own robot, black: those pixels get no depth "
        "and no points; as the image comes, before it is rectified; `{camera}` in it stands for "
        "the name of a rig's camera",
    )

    def check_together(self) -> None:
        """Names of cameras make topics, each once."""
        names = self.cameras
        if not names:
            raise ConfigError("input.cameras is empty, must name a camera; [''] for a single one")
        if names == ("",):
            return
        if len(names) > MOST_CAMERAS:
            raise ConfigError(
                f"input.cameras names {len(names)} cameras, must name at most {MOST_CAMERAS}"
            )
        for name in names:
            _check_name(name)
        twice = [name for name in dict.fromkeys(names) if names.count(name) > 1]
        if twice:
            raise ConfigError(f"input.cameras names '{twice[0]}' twice, must name each camera once")


def _check_name(name: object) -> None:
    if not isinstance(name, str) or len(name) > LONGEST_CAMERA or not _ROS_NAME.fullmatch(name):
        raise ConfigError(
            f"input.cameras has the name {plain(repr(name))}, must be part of a topic: "
            f"letters, digits and _, no digit first, at most {LONGEST_CAMERA} of them; an "
            "empty name is for a single camera"
        )
