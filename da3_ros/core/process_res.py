"""How large pictures are inside the network: as the user wants, or as its weights were trained."""

from __future__ import annotations

import dataclasses
import logging

from da3_ros.core.config import Config
from da3_ros.net.checkpoint import Weights
from da3_ros.net.model_folder import PictureSize
from da3_ros.net.nested import NestedNetwork
from da3_ros.net.network import Network

_log = logging.getLogger(__name__)


def process_res(config: Config, network: Network | NestedNetwork) -> int:
    """Longest side in px of the pictures in `network`."""
    return config.model.process_res or network.weights.size.process_res


def chosen_res(wanted: int | None, weights: Weights) -> int:
    """The size in px that is wanted, or the weights' own; logs what to expect of a bad one."""
    res = weights.size.process_res if wanted is None else wanted
    if warning := size_warning(weights, res):
        _log.warning(warning)
    return res


def with_process_res(config: Config, size: PictureSize) -> Config:
    """The config with the size that holds for weights of that `size`."""
    res = config.model.process_res or size.process_res
    return dataclasses.replace(config, model=dataclasses.replace(config.model, process_res=res))


def size_warning(weights: Weights, res: int) -> str:
    """What to expect of weights at a size that they are not good at, in a sentence; else empty.

    res: longest side in px of the pictures in the network.
    """
    between = weights.size.good_between
    if between is None or between[0] <= res <= between[1]:
        return ""
    return (
        f"{weights.source} is good between {between[0]} and {between[1]} px, and process_res is "
        f"{res} px: depth may be many times too far; without process_res the model takes its own "
        f"{weights.size.process_res} px"
    )
