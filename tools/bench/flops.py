"""The work in one step of a stream, counted without doing it."""

from __future__ import annotations

from functools import cache

import torch
from torch.nn.attention import SDPBackend, sdpa_kernel
from torch.utils.flop_counter import FlopCounterMode

from da3_ros.core.camera_model import CameraModel
from da3_ros.core.preprocess import plan_resize
from da3_ros.net.camera import Cameras
from da3_ros.net.checkpoint import random_network
from da3_ros.net.presets import PRESETS


def count_flops(preset: str, views: int, process_res: int, camera: CameraModel) -> int:
    """Floating point operations of matrix products, convolutions and attention: one new picture
    of `camera` in, `views` looked at, one view decoded. On a device attention that is counted
    would need gigabytes for its scores.
    """
    return _count(preset, views, *plan_resize(camera.height, camera.width, process_res).size)


@cache
def _count(preset: str, views: int, height: int, width: int) -> int:
    with torch.device("meta"):
        network = random_network(PRESETS[preset])
        images = torch.empty(1, 1, 3, height, width)
        cameras = Cameras(torch.empty(1, views, 4, 4), torch.empty(1, views, 3, 3))
    with torch.inference_mode():
        one = network.encode(images)
        with FlopCounterMode(display=False) as counter, sdpa_kernel(SDPBackend.MATH):
            network.encode(images)
            window = type(one).stack([one] * views)
            features = network.aggregate(window, cameras, reference="first", views=[0])
            network.decode(features)
    return counter.get_total_flops()
