"""Networks with equal random weights, made on the device, and frames for them."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import cache

import torch

from da3_ros.core.camera_model import CameraModel
from da3_ros.core.frame import Frame
from da3_ros.core.prediction import WindowDepth
from da3_ros.core.sliding_window import Window
from da3_ros.net.checkpoint import Weights, network_from, random_network
from da3_ros.net.cuda_graphs import GraphedNetwork
from da3_ros.net.precision import compile_stages, pack_weights, set_precision
from da3_ros.net.presets import APACHE, PRESETS
from da3_ros.synthetic.room import CAMERA, RoomView, demo_path, render_room
from tools import upstream
from tools.bench.streaming import Stream

RES = 504
SHAPES = {"504x378": (4, 3), "504x280": (9, 5)}
"""Pictures in the network, and the sides of a camera that make them."""

WAY = 60
"""Views on the way through the demo room."""


GRAPHS = "CUDA graphs"
AHEAD = "CUDA graphs, next picture sent ahead"
COMPILED = "compiled"
COMPILED_GRAPHS = "compiled, CUDA graphs"
WAYS = (GRAPHS, AHEAD, COMPILED, COMPILED_GRAPHS)
"""How the node can run besides its default; what is compiled stays so, and comes last."""


@dataclass(frozen=True)
class Case:
    """One row. shape: of `SHAPES`. process_res: longest side in the network, px. how: ours runs
    as the node does by default, or in one of the `WAYS`."""

    preset: str
    views: int
    shape: str = "504x378"
    process_res: int = RES
    how: str = ""

    @property
    def key(self) -> str:
        """Names the row in a file."""
        return f"{self.preset} {self.views} {self.shape}" + (
            f" {self.process_res}" * (self.process_res != RES) + f" {self.how}" * bool(self.how)
        )

    @property
    def width(self) -> int:
        """Of the camera's pictures, px; a rehearsal's are small."""
        return CAMERA.width if self.process_res == RES else 2 * self.process_res

    @property
    def camera(self) -> CameraModel:
        """See `camera`."""
        return camera(self.shape, self.width)

    def view(self, i: int) -> RoomView:
        """See `room_view`."""
        return room_view(self.shape, self.width, i % WAY)

    def frames(self, count: int) -> list[Frame]:
        """Frames of the demo room, well apart."""
        views = [self.view(i) for i in range(count)]
        return [Frame("camera", i, v.image, v.camera, v.T_world_cam) for i, v in enumerate(views)]


def camera(shape: str, width: int) -> CameraModel:
    """As wide as the room's, of one of the `SHAPES`, with pictures of this width."""
    x, y = SHAPES[shape]
    height = width * y // x
    K = CAMERA.scaled(width=width, height=CAMERA.height * width // CAMERA.width).K.copy()
    K[1, 2] = (height - 1) / 2
    return CameraModel(width, height, K)


@cache
def room_view(shape: str, width: int, i: int) -> RoomView:
    """View i of the demo room; a picture takes a second of the CPU, and many rows show it."""
    return render_room(demo_path(WAY)[i], camera(shape, width))


def step(network, case: Case, frames: list[Frame]) -> Callable[[], object]:
    """What one row times of ours.

    From a picture in to depth out; for `AHEAD` from one depth to the next while pictures go on
    coming: when a window is computed the picture of the one after it is already on its way.
    """
    if case.how in (COMPILED, COMPILED_GRAPHS) and not is_compiled(network):
        compile_stages(network)
    if case.how in ("", COMPILED):
        return Stream(network, case, frames).step
    graphed = Stream(with_graphs(network), case, frames)
    return SentAhead(graphed).step if case.how == AHEAD else graphed.step


def is_compiled(network) -> bool:
    """Whether it will not run as it is any more."""
    return any(m._compiled_call_impl is not None for m in network.modules())


def with_graphs(network) -> GraphedNetwork:
    """The same with its stages recorded; in a rehearsal they just run again, for nothing."""
    on_gpu = next(network.parameters()).device.type == "cuda"
    return GraphedNetwork(network, None if on_gpu else lambda work: (work, work()))


class SentAhead:
    """A stream whose pictures are a window ahead of the network."""

    def __init__(self, stream: Stream):
        self._stream = stream
        self._due = self._begun()

    def _begun(self) -> Window:
        window = self._stream.window()
        self._stream.pipeline.begin(window)
        return window

    def step(self) -> WindowDepth:
        """The picture after next on its way, and the depth of the next."""
        window, self._due = self._due, self._begun()
        return self._stream.pipeline.process(window)


def as_the_node_runs_it(preset: str, device: str):
    """Ours alone with random weights, made on the device: there that takes no time."""
    with torch.device(device):
        network = random_network(PRESETS[preset])
    return made_ready(network)


def made_ready(network):
    """The same, as `load_model` leaves it by default."""
    set_precision(network, "auto")
    pack_weights(network)
    return network


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
    named = Weights(f"{preset} (random weights)", APACHE, random=True)
    ours = network_from(tensors, PRESETS[preset], named.source)
    ours.weights = named
    return theirs, ours
