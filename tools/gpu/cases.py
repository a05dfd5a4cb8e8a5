"""Networks with equal random weights, made on the device, and frames for them."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache

import torch
from torch.nn.attention import SDPBackend, sdpa_kernel
from torch.utils.flop_counter import FlopCounterMode

from da3_ros.core.camera_model import CameraModel
from da3_ros.core.frame import Frame
from da3_ros.core.preprocess import plan_resize
from da3_ros.net.camera import Cameras
from da3_ros.net.checkpoint import network_from, random_network
from da3_ros.net.presets import PRESETS
from da3_ros.synthetic.room import CAMERA, RoomView, demo_path, render_room
from tools import upstream

RES = 504
SHAPES = {"504x378": (4, 3), "504x280": (9, 5)}
"""Pictures in the network, and the sides of a camera that make them."""

WAY = 60
"""Views on the way through the demo room."""


@dataclass(frozen=True)
class Case:
    """One row. shape: of `SHAPES`. process_res: longest side in the network, px."""

    preset: str
    views: int
    shape: str = "504x378"
    process_res: int = RES

    @property
    def key(self) -> str:
        """Names the row in a file."""
        return f"{self.preset} {self.views} {self.shape}" + (
            f" {self.process_res}" * (self.process_res != RES)
        )

    @property
    def camera(self) -> CameraModel:
        """See `camera`."""
        return camera(self.shape)

    def frames(self, count: int) -> list[Frame]:
        """Frames of the demo room, well apart."""
        views = [room_view(self.shape, i % WAY) for i in range(count)]
        return [Frame("camera", i, v.image, v.camera, v.T_world_cam) for i, v in enumerate(views)]


def camera(shape: str) -> CameraModel:
    """As wide as the room's, of one of the `SHAPES`."""
    x, y = SHAPES[shape]
    height = CAMERA.width * y // x
    K = CAMERA.K.copy()
    K[1, 2] = (height - 1) / 2
    return CameraModel(CAMERA.width, height, K)


@cache
def room_view(shape: str, i: int) -> RoomView:
    """View i of the demo room; a picture takes seconds of the CPU, and many rows show it."""
    return render_room(demo_path(WAY)[i], camera(shape))


def same_weights(preset: str, device: str):
    """The published network, as its API object, and ours; they share the tensors until ours are
    lowered."""
    upstream.import_upstream()
    from depth_anything_3.api import DepthAnything3

    with torch.device(device):
        theirs = DepthAnything3(preset)
    theirs = theirs.to(device).eval()
    upstream.randomise(theirs.model)
    tensors = {f"model.{k}": v.detach() for k, v in theirs.model.state_dict().items()}
    return theirs, network_from(tensors, PRESETS[preset], f"{preset} (random weights)")


def count_flops(case: Case) -> float:
    """Floating point operations of one step of a stream, counted without computing them."""
    height, width = plan_resize(case.camera.height, case.camera.width, case.process_res).size
    with torch.device("meta"):
        network = random_network(PRESETS[case.preset])
        images = torch.empty(1, 1, 3, height, width)
        cameras = Cameras(torch.empty(1, case.views, 4, 4), torch.empty(1, case.views, 3, 3))
    with torch.inference_mode():
        one = network.encode(images)
        with FlopCounterMode(display=False) as counter, sdpa_kernel(SDPBackend.MATH):
            network.encode(images)
            window = type(one).stack([one] * case.views)
            features = network.aggregate(window, cameras, reference="first", views=[0])
            network.decode(features)
    return counter.get_total_flops()
