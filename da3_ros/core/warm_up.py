"""Windows as they will come, of grey pictures: memory is found, libraries choose their kernels."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from da3_ros.core.camera_model import CameraModel
from da3_ros.core.config import Config
from da3_ros.core.frame import Frame
from da3_ros.core.pipeline import Pipeline
from da3_ros.core.prediction import WindowDepth
from da3_ros.core.process_res import process_res
from da3_ros.core.sliding_window import Instant, make_window
from da3_ros.net.nested import NestedNetwork
from da3_ros.net.network import Network


def warm_up(network: Network | NestedNetwork, config: Config) -> WindowDepth:
    """What came of the last of them; raises what the network raises."""
    *_, last = warm_up_windows(network, config)
    return last


def warm_up_windows(network: Network | NestedNetwork, config: Config) -> Iterator[WindowDepth]:
    """What comes of each, as it is asked for; raises what the network raises.

    Where graphs are recorded there is a second one: then only what is new is encoded.
    """
    size, stride = config.window.size, config.window.stride
    windows = 1 + config.model.cuda_graphs
    instants = _grey_instants(config, process_res(config, network), size + (windows - 1) * stride)
    pipeline, fresh = Pipeline(network, config), size
    for first in range(0, windows * stride, stride):
        shown = instants[first : first + size]
        yield pipeline.process(make_window(shown, config.window, shown[-fresh:]))
        fresh = stride


def _grey_instants(config: Config, side: int, count: int) -> list[Instant]:
    """What every camera sees, with pictures of 4:3."""
    camera = CameraModel(side, side * 3 // 4, np.diag([side, side, 1.0]))
    image = np.zeros((camera.height, camera.width, 3), np.uint8)
    pose = None if config.pose.source == "none" else np.eye(4)
    names = config.input.cameras
    return [tuple(Frame(n, i + 1, image, camera, pose) for n in names) for i in range(count)]
