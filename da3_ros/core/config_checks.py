"""What a parameter's own bounds cannot say: names of cameras, and parameters that go together."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from da3_ros.core.parameter import ConfigError

if TYPE_CHECKING:
    from da3_ros.core.config import Config

LEAST_RES = 14
"""One patch of the network."""

_ROS_NAME = re.compile(r"[A-Za-z_]\w*(/[A-Za-z_]\w*)*", re.ASCII)
"""Part of a topic: names of letters, digits and _, joined with /; none begins with a digit."""


def check_together(config: Config) -> None:
    """Raise `ConfigError` in one sentence when values contradict each other."""
    _check_cameras(config.input.cameras)
    if 0 < config.model.process_res < LEAST_RES:
        raise ConfigError(
            f"model.process_res is {config.model.process_res}, must be at least {LEAST_RES} px, "
            "or 0 "
            "for the model's own size"
        )
    if not config.pose.world_frame.strip("/"):
        raise ConfigError("pose.world_frame is empty, must name a frame, for example odom")
    if config.window.stride > config.window.size:
        raise ConfigError(
            f"window.stride is {config.window.stride}, must be at most window.size "
            f"({config.window.size}): frames in between would never be seen"
        )
    if config.output.min_depth >= config.output.max_depth:
        raise ConfigError(
            f"output.min_depth is {config.output.min_depth}, must be below output.max_depth "
            f"({config.output.max_depth})"
        )


def _check_cameras(names: list[str]) -> None:
    if not names:
        raise ConfigError("input.cameras is empty, must name a camera; [''] for a single one")
    if names == [""]:
        return
    for name in names:
        if not isinstance(name, str) or not _ROS_NAME.fullmatch(name):
            raise ConfigError(
                f"input.cameras has the name {name!r}, must be part of a topic: letters, digits "
                "and _, no digit first; an empty name is for a single camera"
            )
    twice = [name for name in dict.fromkeys(names) if names.count(name) > 1]
    if twice:
        raise ConfigError(f"input.cameras names '{twice[0]}' twice, must name each camera once")
